"""The common recipe, torchvision's MNIST with ToTensor in a DataLoader under Lightning's Trainer, beside ours.

The module that is trained is the same one; the recipe gets its Trainer without bar, logger and checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from benchmarks.sides import Comparison, rate
from benchmarks.subjects import mlp_vae, new_model, train, training_images
from pipeline.config import DataConfig, PretrainConfig
from pipeline.training.trainer import expected_warnings


def comparisons() -> Iterator[Comparison]:
    """Yield a VAE 784-512-16 at batch 256, in float32 with 0 and 2 workers, then in our precision at batch 1024."""
    config, images = mlp_vae((512,), 16, 256, epochs=1), training_images()
    large = mlp_vae((512,), 16, 1024, epochs=1)

    def ours() -> float:
        return rate(len(images), lambda: train(config, images))

    for workers in (0, 2):
        yield Comparison(
            f"VAE 784-512-16, float32, batch 256: ours, Lightning + torchvision with {workers} workers (images/s)",
            ours,
            _theirs(config, workers),
            goal=4,
        )
    yield Comparison(
        "VAE 784-512-16: ours with our defaults, auto and batch 1024, the recipe with 0 workers as above (images/s)",
        lambda: rate(len(images), lambda: train(large, images, "auto")),
        _theirs(config, 0),
    )


def _theirs(config: PretrainConfig, workers: int) -> Any:
    dataset = MNIST(Path(DataConfig().root), train=True, transform=ToTensor())
    loader: Any = DataLoader(
        dataset, config.batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )

    def epoch() -> None:
        train_plainly(new_model(config), loader, config.epochs)

    return lambda: rate(len(dataset), epoch)


def train_plainly(model: pl.LightningModule, loader: Any, epochs: int, callbacks: Sequence[pl.Callback] = ()) -> None:
    """Train a module as the recipe does: by Lightning's Trainer on the CPU, without bar, logger and checkpoints."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )
    with expected_warnings():
        trainer.fit(model, loader)
