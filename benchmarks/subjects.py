"""The subjects of the benchmarks: MNIST, networks as a config names them, a bare loop, and stages of the pipeline."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline import methods
from pipeline.config import DataConfig, InvariancesConfig, NetworkConfig, PretrainConfig, RuntimeConfig
from pipeline.datasets import loading
from pipeline.datasets.batches import Batches, InMemoryData
from pipeline.datasets.image_data import Dataset
from pipeline.models.inputs import as_input
from pipeline.models.pretraining import Pretraining
from pipeline.training.precision import resolve_precision
from pipeline.training.recording import Rounds
from pipeline.training.trainer import fit, seed_everything

CONFIG = "configs/mnist.yaml"  # the main job
DEFAULT = PretrainConfig(epochs=1)


def mlp_autoencoder(batch_size: int) -> PretrainConfig:
    """784-512-16 and back, plain, one epoch."""
    network = NetworkConfig("mlp", (512,))
    return PretrainConfig(latent=16, encoder=network, decoder=network, corruption=0, epochs=1, batch_size=batch_size)


def mlp_vae(widths: tuple[int, ...], latent: int, batch_size: int, epochs: int, seed: int = 0) -> PretrainConfig:
    """Return a fully connected VAE."""
    network = NetworkConfig("mlp", widths)
    return PretrainConfig(
        method="vae",
        latent=latent,
        encoder=network,
        decoder=network,
        corruption=0,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=0.003,
        seed=seed,
    )


@functools.cache
def mnist() -> Dataset:
    """Return the data set."""
    loading.prepare(DataConfig())
    return loading.load(DataConfig())


def training_images() -> Tensor:
    """60,000 images, uint8, shape (60000, 1, 28, 28)."""
    images: Tensor = mnist().train.images[:]
    return images


def new_model(config: PretrainConfig) -> Any:
    """Make a model with random weights, the same for the same seed."""
    seed_everything(config.seed)
    return methods.new_model(
        config, InvariancesConfig(), (1, 28, 28), methods.new_backbone(config, (1, 28, 28)).encoder
    )


def train(
    config: PretrainConfig,
    images: Tensor,
    precision: Any = "32",
    compiled: bool = False,
    measure: Callable[[Pretraining], dict[str, float]] = lambda model: {},
) -> Pretraining:
    """Pretrain as the pipeline does, without holding images out."""
    model: Pretraining = new_model(config)
    labels, index = torch.full((len(images),), -1), torch.arange(len(images))
    data = InMemoryData(images, labels, index, config.batch_size, config.seed)
    runtime = RuntimeConfig(precision=precision, progress=False, compile=compiled)
    fit(model, data, runtime, Rounds(config.epochs), lambda: measure(model))
    return model.eval()


def train_bare(config: PretrainConfig, images: Tensor, precision: Any = "32") -> Pretraining:
    """Return the same training of an autoencoder as a loop of plain PyTorch, to the same bits in float32."""
    model: Any = new_model(config).to(memory_format=torch.channels_last)
    epoch = 0
    labels, index = torch.full((len(images),), -1), torch.arange(len(images))
    batches = Batches(images, labels, index, config.batch_size, config.seed, lambda: epoch)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.learning_rate, total_steps=config.epochs * len(batches), pct_start=0.15
    )
    half = resolve_precision(RuntimeConfig(precision=precision)) == "bf16"
    for epoch in range(config.epochs):  # noqa: B007  # the batches ask for it
        for pixels, _ in batches:
            clean = as_input(pixels)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = model.reconstruction_loss(model.decoder(model.encoder(model.corruption(clean))), clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    trained: Pretraining = model.eval()
    return trained


def run(stages: Sequence[str], settings: Sequence[str]) -> None:
    """Run stages of the pipeline, each in a process of its own."""
    for stage in stages:
        subprocess.run([sys.executable, "-m", "pipeline", stage, *settings], check=True, stdout=subprocess.DEVNULL)
