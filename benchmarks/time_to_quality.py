"""Trainings of a VAE 784-400-20 to a negative ELBO of 105 nats on MNIST's test images: how many an hour of either side.

All sides train the same layers. Ours takes the batch, rate and schedule below; pythae its trainer with Adam at 1e-3 and
batches of 128, as in its examples; the recipe torchvision's MNIST in a DataLoader under Lightning's Trainer, with the
same Adam. The clock starts before the model is made, stands still while the test images are measured after each epoch,
and stops when they reach the target. Each round has another seed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from benchmarks.pythae_vae import new_pair, train_pythae
from benchmarks.recipe import train_plainly
from benchmarks.sides import Comparison
from benchmarks.subjects import mlp_vae, mnist, new_model, train, training_images
from pipeline.config import DataConfig, PretrainConfig
from pipeline.errors import PipelineError
from pipeline.models.vae import VAE, evaluate_bound

TARGET = 105.0  # nats
EPOCHS = 40  # after which a side that has not reached it has failed
OURS = dataclasses.replace(mlp_vae((400,), 20, batch_size=256, epochs=8), learning_rate=0.005)
THEIRS = dataclasses.replace(mlp_vae((400,), 20, batch_size=128, epochs=EPOCHS), learning_rate=0.001)

Measure = Callable[[], bool]  # whether the target has been reached by now
Training = Callable[[PretrainConfig, "Clock"], None]


class ReachedError(Exception):
    """Ends a training that cannot be asked to end."""


class Clock:
    """Seconds of a training until the test images reach the target, without those of measuring them."""

    def __init__(self) -> None:
        self.started, self.paused = time.perf_counter(), 0.0
        self.reached: float | None = None

    def measure(self, model: VAE) -> bool:
        """Measure the model as it is now; return whether the target has been reached."""
        begun, training = time.perf_counter(), model.training
        quality = negative_elbo(model.eval())
        model.train(training)
        if self.reached is None and quality <= TARGET:
            self.reached = begun - self.started - self.paused
        self.paused += time.perf_counter() - begun
        return self.reached is not None


def negative_elbo(model: VAE) -> float:
    """Return that of the test images, in nats, from a model in eval mode."""
    return -float(evaluate_bound(model, mnist().test.images).elbo)


def comparisons() -> Iterator[Comparison]:
    """Ours beside pythae and beside the recipe; in the precision of this machine, and in float32."""
    from pythae.trainers import BaseTrainer  # noqa: F401  # is it installed?

    mnist()  # unpacked, where the recipe looks for it
    for precision, goals in (("auto", (3, 4)), ("32", (2, 3))):
        for goal, (name, training) in zip(goals, {"pythae": _pythae, "Lightning": _recipe}.items(), strict=True):
            yield Comparison(
                f"VAE 784-400-20 to {TARGET:.1f} nats: ours in precision {precision}, {name} (trainings an hour)",
                _side(_ours(precision), OURS),
                _side(training, THEIRS),
                goal,
            )


def _side(training: Training, config: PretrainConfig) -> Callable[[], float]:
    """Return a function that trains to the target, each time with the next seed; it gives trainings an hour."""
    seeds = itertools.count()

    def measured() -> float:
        clock = Clock()
        training(dataclasses.replace(config, seed=next(seeds)), clock)
        if clock.reached is None:
            raise PipelineError(f"{TARGET} nats were not reached in {config.epochs} epochs")
        return 3600 / clock.reached

    return measured


def _ours(precision: str) -> Training:
    def training(config: PretrainConfig, clock: Clock) -> None:
        def measure(model: Any) -> dict[str, float]:
            clock.measure(model)
            return {}

        train(config, training_images(), precision, measure=measure)

    return training


def _pythae(config: PretrainConfig, clock: Clock) -> None:
    from pythae.trainers.training_callbacks import TrainingCallback

    pair = new_pair(config)

    class Stop(TrainingCallback):  # type: ignore[misc]
        def on_epoch_end(self, training_config: Any, **rest: Any) -> None:
            if clock.measure(pair[0]):
                raise ReachedError

    with contextlib.suppress(ReachedError):
        train_pythae(config, [Stop()], pair)


class _Adam(pl.LightningModule):
    """The module that the recipe trains: the same network, Adam at a constant rate."""

    def __init__(self, network: VAE, learning_rate: float) -> None:
        super().__init__()
        self.network, self.learning_rate = network, learning_rate

    def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
        """The negative ELBO of a batch."""
        images, _ = batch
        return -self.network.bound(images, images).elbo

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


def _recipe(config: PretrainConfig, clock: Clock) -> None:
    model: VAE = new_model(config)

    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            trainer.should_stop = clock.measure(model)

    dataset = MNIST(Path(DataConfig().root), train=True, transform=ToTensor())
    loader: Any = DataLoader(dataset, config.batch_size, shuffle=True)
    train_plainly(_Adam(model, config.learning_rate), loader, config.epochs, [Stop()])
