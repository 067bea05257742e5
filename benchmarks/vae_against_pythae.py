"""Our VAE beside pythae's: the same layers, images, epochs and batch size, trained in turn on the same machine.

    pip install pythae && python -m benchmarks.vae_against_pythae

Both train a 784-400-20 on the grey levels of MNIST's training images; both are then measured by the same function on
the test images. What differs is what a user gets from either by default: the optimiser's schedule (ours: AdamW, one
cycle; pythae's: Adam at a constant 1e-3, as in its examples), the loop and the loader. Writes runs/bench/bench.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import runs
from pipeline.config import DataConfig, Experiment, NetworkConfig, PretrainConfig, RuntimeConfig
from pipeline.datasets import base
from pipeline.datasets.batches import InMemoryData
from pipeline.methods import find_method
from pipeline.models.vae import VAE, evaluate_bound
from pipeline.training import fit, seed_everything


def settings(epochs: int, seed: int) -> PretrainConfig:
    """Those of configs/mnist_vae_400_20.yaml."""
    network = NetworkConfig("mlp", (400,))
    return PretrainConfig(
        method="vae",
        latent=20,
        encoder=network,
        decoder=network,
        corruption=None,
        epochs=epochs,
        batch_size=128,
        learning_rate=0.003,
        seed=seed,
    )


def new_model(config: PretrainConfig) -> Any:
    """A VAE with random weights, the same for the same seed."""
    seed_everything(config.seed)
    method = find_method(config)
    return method.make_model(config, (1, 28, 28), method.make_backbone(config, (1, 28, 28)).encoder)


def train_ours(config: PretrainConfig, images: Tensor) -> tuple[VAE, float]:
    """The trained model, and seconds."""
    model = new_model(config)
    labels, index = torch.zeros(len(images), dtype=torch.int64), torch.arange(len(images))
    data = InMemoryData(images, labels, index, config.batch_size, config.seed)
    started = time.monotonic()
    fit(model, data, RuntimeConfig(precision="32", progress=False), config.epochs, dict)
    return model.eval(), time.monotonic() - started


def train_pythae(config: PretrainConfig, images: Tensor) -> tuple[VAE, float]:
    """The same networks trained by pythae, and seconds."""
    from pythae import models as pythae_models
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    model = new_model(config)

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = model.encoder.network

        def forward(self, x: Tensor) -> Any:
            mean, logvar = self.network(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=logvar)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network: nn.Module = model.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.network(z).sigmoid())

    theirs = pythae_models.VAE(
        pythae_models.VAEConfig(input_dim=(1, 28, 28), latent_dim=config.latent, reconstruction_loss="bce"),
        Encoder(),
        Decoder(),
    )
    pixels = images.float() / 255
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        trainer = BaseTrainer(
            model=theirs,
            train_dataset=BaseDataset(pixels, torch.zeros(len(pixels))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=config.epochs,
                per_device_train_batch_size=config.batch_size,
                learning_rate=1e-3,
                optimizer_cls="Adam",
                seed=config.seed,
                no_cuda=True,
            ),
        )
        started = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - started
    return model.eval(), seconds


def main() -> None:
    """Train in turn, print each round, write the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    base.prepare(DataConfig())
    dataset = base.load(DataConfig())
    images = dataset.train.images
    rates: dict[str, list[float]] = {"ours": [], "pythae": []}
    bounds: dict[str, list[float]] = {"ours": [], "pythae": []}
    for seed in range(arguments.rounds):
        config = settings(arguments.epochs, seed)
        for name, train in (("ours", train_ours), ("pythae", train_pythae)):
            model, seconds = train(config, images)
            rates[name].append(arguments.epochs * len(images) / seconds)
            bounds[name].append(-float(evaluate_bound(model, dataset.test.images).elbo))
            print(
                f"round {seed}, {name}: {rates[name][-1]:.0f} images/s, negative ELBO {bounds[name][-1]:.2f}",
                flush=True,
            )
    rows = [row("VAE 784-400-20, training, images/s", rates), row("VAE 784-400-20, test negative ELBO, nats", bounds)]
    for line in rows:
        low, high = line["spread"]
        print(
            f"{line['what']}: ours {line['ours']:.2f}, pythae {line['other']:.2f}, "
            f"ratio {line['ratio']:.3f} ({low:.3f} to {high:.3f})"
        )
    target = Path(Experiment().runs) / "bench" / "bench.json"
    runs.write_json(target, rows)
    print(target)


def row(what: str, values: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of both sides, and the ratio round by round: its median and its extremes."""
    ratios = [ours / other for ours, other in zip(values["ours"], values["pythae"], strict=True)]
    return {
        "what": what,
        "ours": statistics.median(values["ours"]),
        "other": statistics.median(values["pythae"]),
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
    }


if __name__ == "__main__":
    main()
