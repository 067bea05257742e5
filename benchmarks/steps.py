"""The cost of a step of the default pretraining, by its parts: corruption, precision, compilation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.sides import Comparison, Figure, rate
from benchmarks.subjects import DEFAULT, train, training_images
from pipeline.config import InvariancesConfig, NetworkConfig, PretrainConfig, RuntimeConfig
from pipeline.learning.step_time import StepTimes, measure_steps
from pipeline.models.encoders import Shape

CONV, MLP = NetworkConfig("conv", (16, 32, 64), (512,)), NetworkConfig("mlp", (512,))
SHAPES: dict[str, tuple[PretrainConfig, Shape]] = {
    "default networks, 28 x 28": (DEFAULT, (1, 28, 28)),
    "default networks, 28 x 28, batch 64": (replace(DEFAULT, batch_size=64), (1, 28, 28)),
    "four channels, 28 x 28": (replace(DEFAULT, encoder=NetworkConfig("conv", (4, 4, 4), (64,))), (1, 28, 28)),
    "default encoder, colour, 96 x 96": (replace(DEFAULT, encoder=CONV, batch_size=64), (3, 96, 96)),
    "convolutional decoder, 32 x 32": (replace(DEFAULT, decoder=CONV), (3, 32, 32)),
    "fully connected, 28 x 28": (replace(DEFAULT, encoder=MLP, decoder=MLP), (1, 28, 28)),
    "ResNet-18, 64 x 64": (
        replace(DEFAULT, encoder=NetworkConfig("torchvision", args={"model": "resnet18"}), batch_size=64),
        (3, 64, 64),
    ),
}


def comparisons() -> Iterator[Comparison]:
    """Yield the default autoencoder with and without corruption, and in the precision that "auto" forgoes."""
    images, plain = training_images(), replace(DEFAULT, corruption=0)
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
    for name, (settings, shape) in SHAPES.items():
        yield Comparison(f"{name}: bfloat16, float32 (steps/s)", *_both_ways(settings, shape))


def _both_ways(settings: PretrainConfig, shape: Shape) -> tuple[Figure, Figure]:
    """Return functions that measure steps a second in bfloat16 and in float32, once for both."""
    times: list[StepTimes] = []

    def bfloat16() -> float:
        times.append(measure_steps(settings, InvariancesConfig("digits"), RuntimeConfig(), shape))
        return 1 / times[-1].bfloat16

    return bfloat16, lambda: 1 / times[-1].float32
