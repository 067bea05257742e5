"""Frozen cells: embedding all images once, and fitting a head to convergence."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from benchmarks.sides import Comparison, rate, seconds
from benchmarks.subjects import DEFAULT, mnist, training_images
from pipeline import methods
from pipeline.config import InvariancesConfig, RuntimeConfig, TrainConfig
from pipeline.datasets.splits import Draw, label_split
from pipeline.learning.classify import train_classifier
from pipeline.learning.examples import Examples
from pipeline.learning.heads import GRADIENT, ITERATIONS, fit_path
from pipeline.learning.plan import Plan, Pretrained
from pipeline.models.classifier import Backbone, Classifier, Rates, make_head
from pipeline.models.inputs import infer
from pipeline.training.device import threads
from pipeline.training.trainer import seed_everything


def comparisons() -> Iterator[Comparison]:
    """Embedding all images; then heads of 100 and 1000 labels, beside scikit-learn's."""
    images = training_images()
    yield Comparison(
        "embedding 60,000 images with the default encoder: two threads, one (images/s)",
        lambda: rate(len(images), lambda: _embed_with(2)),
        lambda: rate(len(images), lambda: _embed_with(1)),
    )
    for labels in (100, 1000):
        yield Comparison(
            f"heads of {labels} labels, {len(TrainConfig.l2)} strengths: here, scikit-learn's (heads/s)",
            functools.partial(_heads_a_second, labels, _fit_here),
            functools.partial(_heads_a_second, labels, _fit_there),
        )


def _embed_with(count: int) -> None:
    with threads(count):
        infer(_backbone(), training_images())


@functools.cache
def _backbone() -> Backbone:
    """Random weights serve, the same ones each time: how long a cell takes depends on them."""
    seed_everything(0)
    return methods.new_backbone(DEFAULT, (1, 28, 28)).eval()


@functools.cache
def _pretrained() -> Pretrained:
    embeddings = infer(_backbone(), training_images())
    _backbone().calibrate(embeddings)
    return Pretrained(_backbone().state_dict(), infer(_backbone(), training_images()))


def cell_seconds(labels: int, settings: TrainConfig | None = None) -> float:
    """Return how long the training of a frozen cell takes; data and embeddings are there already, as within a grid."""
    (plan, examples), pretrained = _draw(labels, settings or TrainConfig(), 0), _pretrained()
    with threads(1):
        return seconds(lambda: train_classifier(plan, examples, pretrained))


def _heads_a_second(labels: int, fit: Callable[[Tensor, Tensor], None]) -> float:
    _, examples = _draw(labels, TrainConfig(), 0)
    train = examples.splits[0].train
    embeddings, classes = _pretrained().embeddings[train], examples.labels[train]
    with threads(1):
        return rate(len(TrainConfig.l2), lambda: fit(embeddings, classes))


def _fit_here(embeddings: Tensor, classes: Tensor) -> None:
    seed_everything(0)
    head = Classifier(nn.Identity(), make_head(embeddings.shape[1], 10), False, nn.Identity(), Rates())
    fit_path([head], [(embeddings, classes)], TrainConfig.l2, dict)


def _fit_there(embeddings: Tensor, classes: Tensor) -> None:
    for strength in TrainConfig.l2:
        LogisticRegression(C=1 / strength, tol=GRADIENT, max_iter=ITERATIONS).fit(embeddings.numpy(), classes.numpy())


def _draw(labels: int, settings: TrainConfig, seed: int) -> tuple[Plan, Examples]:
    train = mnist().train
    split = label_split(train.labels.numpy(), 10, Draw(labels, seed), settings.val_fraction)
    plan = Plan("frozen", DEFAULT, settings, InvariancesConfig(), RuntimeConfig(precision="32", progress=False), seed)
    return plan, Examples(train.images, train.labels, 10, [split])
