"""Pretraining with runtime.compile and without: the rate once compiled, and from how many images on it pays."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator

import torch
import torch._inductor.config

from benchmarks.sides import Comparison
from benchmarks.subjects import DEFAULT, mlp_vae, train, training_images
from pipeline.config import PretrainConfig
from pipeline.models.pretraining import Pretraining

IMAGES = 25_600  # a hundred whole batches: a rest of another size would be compiled anew


def comparisons() -> Iterator[Comparison]:
    """Yield the default autoencoder and a fully connected VAE."""
    for name, config in (("default autoencoder", DEFAULT), ("VAE 784-512-16", mlp_vae((512,), 16, 256, epochs=1))):
        yield Comparison(
            f"{name}: compiled, not compiled (images/s after the first epoch)",
            functools.partial(_later_rate, config, True),
            functools.partial(_later_rate, config, False),
        )
        yield Comparison(
            f"{name}: compiled, not compiled (seconds of the first epoch: less is better)",
            functools.partial(_first_epoch, config, True),
            functools.partial(_first_epoch, config, False),
            timed=False,
        )


def _later_rate(config: PretrainConfig, compiled: bool) -> float:
    ends = _epoch_ends(config, compiled, epochs=3)
    return (len(ends) - 2) * IMAGES / (ends[-1] - ends[1])


def _first_epoch(config: PretrainConfig, compiled: bool) -> float:
    start, end = _epoch_ends(config, compiled, epochs=1)
    return end - start


def _epoch_ends(config: PretrainConfig, compiled: bool, epochs: int) -> list[float]:
    """When the training began and when each epoch ended; nothing that was compiled before is used again."""
    torch.compiler.reset()
    moments = [time.perf_counter()]

    def note(model: Pretraining) -> dict[str, float]:
        moments.append(time.perf_counter())
        return {}

    longer = dataclasses.replace(config, epochs=epochs)
    with torch._inductor.config.patch(force_disable_caches=True):
        train(longer, training_images()[:IMAGES], compiled=compiled, measure=note)
    return moments
