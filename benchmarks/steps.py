"""The cost of a step of the default pretraining, by its parts: corruption, precision, compilation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from benchmarks.sides import Comparison, rate
from benchmarks.subjects import DEFAULT, train, training_images


def comparisons() -> Iterator[Comparison]:
    """Yield the default autoencoder with and without corruption, and in the precision that "auto" forgoes."""
    images, plain = training_images(), dataclasses.replace(DEFAULT, corruption=0)
    yield Comparison(
        "default autoencoder: with corruption, without (images/s)",
        lambda: rate(len(images), lambda: train(DEFAULT, images)),
        lambda: rate(len(images), lambda: train(plain, images)),
        goal=0.75,
    )
    yield Comparison(
        "default autoencoder: precision auto, float32 (images/s)",
        lambda: rate(len(images), lambda: train(DEFAULT, images, "auto")),
        lambda: rate(len(images), lambda: train(DEFAULT, images)),
    )
    yield Comparison(
        "default autoencoder: bfloat16, float32 (images/s)",
        lambda: rate(len(images), lambda: train(DEFAULT, images, "bf16")),
        lambda: rate(len(images), lambda: train(DEFAULT, images)),
    )
