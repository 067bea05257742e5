"""Trainings whose steps are replayed as CUDA graphs, beside the same launched from Python; the same without a GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from unittest import mock

from benchmarks.sides import Comparison, Figure, rate
from benchmarks.subjects import DEFAULT, mnist, train, training_images
from pipeline.config import InvariancesConfig, RuntimeConfig, TrainConfig
from pipeline.datasets.splits import Draw, label_split
from pipeline.learning.classify import train_classifier
from pipeline.learning.examples import Examples
from pipeline.learning.plan import Plan
from pipeline.models import cuda_graphs

EPOCHS, STEPS, LABELS = 4, 2000, 100


def comparisons() -> Iterator[Comparison]:
    """Yield the default pretraining and a classifier from scratch, in the precision "auto"."""
    for name, ours in (("default pretraining (images/s)", _pretraining), ("scratch, batch 64 (steps/s)", _scratch)):
        yield Comparison(f"{name}: replayed, launched", ours, _launched(ours))


def _pretraining() -> float:
    images, longer = training_images(), dataclasses.replace(DEFAULT, epochs=EPOCHS)
    return rate(EPOCHS * len(images), lambda: train(longer, images, "auto"))


def _scratch() -> float:
    data = mnist().train
    classes, settings = len(data.class_names), TrainConfig(length=STEPS / LABELS**0.5, patience=0)
    plan = Plan("scratch", DEFAULT, settings, InvariancesConfig("digits"), RuntimeConfig(progress=False), seed=0)
    split = label_split(data.labels.numpy(), classes, Draw(LABELS, 0), settings.val_fraction)
    examples = Examples(data.images, data.labels, classes, [split])
    return rate(STEPS, lambda: train_classifier(plan, examples))


def _launched(ours: Figure) -> Figure:
    """Return the figure without CUDA graphs."""

    def other() -> float:
        with mock.patch.object(cuda_graphs, "KNOWN", ()):  # no network is known to launch the same at every step
            return ours()

    return other
