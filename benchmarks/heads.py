"""Frozen cells: heads on embeddings that were computed once; many at once, one by one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

from benchmarks.sides import Comparison, rate, seconds
from benchmarks.subjects import DEFAULT, mnist, training_images
from pipeline import methods
from pipeline.config import InvariancesConfig, RuntimeConfig, TrainConfig
from pipeline.datasets.splits import label_split
from pipeline.learning.classify import train_classifier
from pipeline.learning.fitting import Examples
from pipeline.learning.plan import Plan, Pretrained
from pipeline.learning.stacked_heads import train_stacked
from pipeline.models.classifier import Backbone
from pipeline.models.inputs import infer
from pipeline.training.trainer import seed_everything, threads

DRAWS = 10


def comparisons() -> Iterator[Comparison]:
    """Embedding all images; then cells of 100 and 1000 labels, together and one by one."""
    images = training_images()
    yield Comparison(
        "embedding 60,000 images with the default encoder: two threads, one (images/s)",
        lambda: rate(len(images), lambda: _embed_with(2)),
        lambda: rate(len(images), lambda: _embed_with(1)),
    )
    for labels in (100, 1000):
        yield Comparison(
            f"frozen cells of {labels} labels, {DRAWS} draws: as one computation, one by one (cells/s)",
            functools.partial(_draws_a_second, labels, train_stacked),
            functools.partial(_draws_a_second, labels, _one_by_one),
        )


def _embed_with(count: int) -> None:
    with threads(count):
        infer(_backbone(), training_images())


@functools.cache
def _backbone() -> Backbone:
    """Random weights serve, the same ones each time: how many epochs a cell takes depends on them."""
    seed_everything(0)
    return methods.new_backbone(DEFAULT, (1, 28, 28)).eval()


@functools.cache
def _pretrained() -> Pretrained:
    embeddings = infer(_backbone(), training_images())
    _backbone().calibrate(embeddings)
    return Pretrained(_backbone().state_dict(), infer(_backbone(), training_images()))


def _cells_a_second(labels: int, settings: TrainConfig) -> float:
    return 1 / cell_seconds(labels, settings)


def cell_seconds(labels: int, settings: TrainConfig | None = None) -> float:
    """How long the training of a frozen cell takes; data and embeddings are there already, as within a grid."""
    (plan, examples), pretrained = _draw(labels, settings or TrainConfig(), 0), _pretrained()
    with threads(1):
        return seconds(lambda: train_classifier(plan, examples, pretrained))


def _draws_a_second(labels: int, train: Callable[..., object]) -> float:
    draws = [_draw(labels, TrainConfig(), seed) for seed in range(DRAWS)]
    plans, examples = zip(*draws, strict=True)
    pretrained = _pretrained()
    with threads(1):
        return rate(DRAWS, lambda: train(plans, examples, pretrained))


def _one_by_one(plans: Sequence[Plan], examples: Sequence[Examples], pretrained: Pretrained) -> None:
    for plan, own in zip(plans, examples, strict=True):
        train_classifier(plan, own, pretrained)


def _draw(labels: int, settings: TrainConfig, seed: int) -> tuple[Plan, Examples]:
    train = mnist().train
    split = label_split(train.labels.numpy(), labels, settings.val_fraction, seed, 10)
    plan = Plan("frozen", DEFAULT, settings, InvariancesConfig(), RuntimeConfig(precision="32", progress=False), seed)
    return plan, Examples(train.images, train.labels, 10, [split])
