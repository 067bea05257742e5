"""The cost of the Trainer: pretraining through it beside the same model in a bare loop of PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from benchmarks.sides import Comparison, rate
from benchmarks.subjects import DEFAULT, mlp_autoencoder, train, train_bare, training_images
from pipeline.config import PretrainConfig


def comparisons() -> Iterator[Comparison]:
    """Yield the fully connected autoencoder with two batch sizes, and the default one without its corruption."""
    yield _beside_bare("MLP autoencoder, batch 256", mlp_autoencoder(256))
    yield _beside_bare("MLP autoencoder, batch 1024", mlp_autoencoder(1024))
    yield _beside_bare("default autoencoder without corruption", dataclasses.replace(DEFAULT, corruption=0))


def _beside_bare(name: str, config: PretrainConfig) -> Comparison:
    images = training_images()
    return Comparison(
        f"{name}: Trainer, bare loop (images/s)",
        lambda: rate(len(images), lambda: train(config, images)),
        lambda: rate(len(images), lambda: train_bare(config, images)),
        goal=0.9,
    )
