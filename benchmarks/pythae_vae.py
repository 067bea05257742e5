"""Our VAE beside pythae's: the same layers, images, epochs and batch size, trained in turn on the same machine.

Both train on the grey levels of MNIST's training images; both are then measured by the same function on the test
images. What differs is what a user gets from either by default: the optimiser's schedule (ours: AdamW, one cycle;
pythae's: Adam at a constant 1e-3, as in its examples), the loop and the loader.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.sides import Comparison, rate
from benchmarks.subjects import mlp_vae, mnist, new_model, train, training_images
from pipeline.config import PretrainConfig
from pipeline.models.vae import VAE, evaluate_bound

Training = Callable[[PretrainConfig], VAE]


def comparisons() -> Iterator[Comparison]:
    """Speed with 784-400-20 at batch 128 and 784-512-16 at batch 256; the bound that the first reaches in 10 epochs."""
    from pythae.trainers import BaseTrainer  # noqa: F401  # is it installed?

    classic = mlp_vae((400,), 20, 128, epochs=2)
    for name, config in (("784-400-20, batch 128", classic), ("784-512-16, batch 256", mlp_vae((512,), 16, 256, 2))):
        yield Comparison(
            f"VAE {name}, float32: ours, pythae (images/s)",
            functools.partial(_rate, _train_ours, config),
            functools.partial(_rate, train_pythae, config),
            goal=2,
        )
    longer = dataclasses.replace(classic, epochs=10)
    yield Comparison(
        "VAE 784-400-20, 10 epochs: ours, pythae (negative ELBO of the test images, nats: less is better)",
        functools.partial(_negative_elbo, _train_ours, longer),
        functools.partial(_negative_elbo, train_pythae, longer),
        timed=False,
    )


def _rate(training: Training, config: PretrainConfig) -> float:
    return rate(config.epochs * len(training_images()), lambda: training(config))


def _negative_elbo(training: Training, config: PretrainConfig) -> float:
    return -float(evaluate_bound(training(config), mnist().test.images).elbo)


def _train_ours(config: PretrainConfig) -> VAE:
    model = train(config, training_images())
    assert isinstance(model, VAE)
    return model


def new_pair(config: PretrainConfig) -> tuple[VAE, Any]:
    """Return our model with random weights, and pythae's model of the same networks, which trains them."""
    from pythae import models as pythae_models
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    model: VAE = new_model(config)

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
    return model, theirs


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep pythae, which logs its settings and every epoch, from drowning the figures."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def train_pythae(config: PretrainConfig, callbacks: Sequence[Any] = (), pair: tuple[VAE, Any] | None = None) -> VAE:
    """Let pythae train the networks, as it does in its examples: Adam at a constant 1e-3.

    Args:
        config: Layers, epochs, size of batches and seed.
        callbacks: Callbacks of pythae.
        pair: From ``new_pair``; None makes it.
    """
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    model, theirs = pair or new_pair(config)
    pixels = training_images().float() / 255
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()), _silence():
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
            callbacks=list(callbacks),
        )
        trainer.train()
    return model.eval()
