"""The pretraining methods: how each makes its encoder and its model. A method is an entry in this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import NetworkConfig, PretrainConfig, as_dict
from pipeline.store import disk

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pipeline.models.classifier import Backbone
    from pipeline.models.pretraining import Pretraining

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Method:
    """One way to pretrain an encoder.

    Attributes:
        summary: What it is called in tables.
        unused: Settings of the section pretrain that it does not read; changing them does not pretrain again.
        has_prior: Whether latents are drawn towards N(0, 1), so that decoding samples of that makes images.
        make_backbone: The encoder with random weights, and room for standardisation.
        make_model: The model around that encoder.
        examine: What is said of the finished model, in eval mode, on images that it was not trained on: numbers for
            the outcome; whatever is more goes into the folder.
    """

    summary: str
    unused: tuple[str, ...]
    has_prior: bool
    make_backbone: Callable[[PretrainConfig, Shape], Backbone]
    make_model: Callable[[PretrainConfig, Shape, nn.Module], Pretraining]
    examine: Callable[[PretrainConfig, Any, torch.Tensor, Path], dict[str, float]]


def find_method(config: PretrainConfig) -> Method:
    """The method that the settings name."""
    return METHODS[config.method]


def inputs(config: PretrainConfig) -> dict[str, Any]:
    """The settings that the method reads."""
    return {name: value for name, value in as_dict(config).items() if name not in find_method(config).unused}


def architecture(config: PretrainConfig) -> dict[str, Any]:
    """The settings that a backbone with random weights is made from."""
    settings = as_dict(config.encoder) | {"latent": config.latent}
    return settings if config.method == "autoencoder" else settings | {"method": config.method}


def from_architecture(settings: dict[str, Any]) -> PretrainConfig:
    """Settings that make the same backbone: the inverse of ``architecture``."""
    encoder: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in settings.items()}
    method, latent = encoder.pop("method", "autoencoder"), encoder.pop("latent")
    return PretrainConfig(method=method, latent=latent, encoder=NetworkConfig(**encoder))


# --- autoencoder ----------------------------------------------------------------------------------------------


def _autoencoder_backbone(config: PretrainConfig, shape: Shape) -> Backbone:
    from pipeline.models.classifier import Backbone
    from pipeline.training.trainer import make_encoder

    return Backbone(make_encoder(config.encoder, shape, config.latent))


def _autoencoder(config: PretrainConfig, shape: Shape, encoder: nn.Module) -> Pretraining:
    from pipeline.models.autoencoder import Autoencoder
    from pipeline.training.trainer import make_decoder, make_distortion

    return Autoencoder(
        encoder,
        make_decoder(config.decoder, config.latent, shape),
        make_distortion(config.corruption),
        config.loss,
        config.learning_rate,
        config.weight_decay,
    )


def _nothing_more(config: PretrainConfig, model: Any, images: torch.Tensor, folder: Path) -> dict[str, float]:
    return {}


# --- variational autoencoder ----------------------------------------------------------------------------------


def _vae_backbone(config: PretrainConfig, shape: Shape) -> Backbone:
    from pipeline.evaluation.variational import ACTIVE
    from pipeline.models.classifier import Backbone
    from pipeline.models.vae import MeanEncoder
    from pipeline.training.trainer import make_encoder

    # a silent dimension must not be blown up to the size of one that speaks: on MNIST that costs a linear head on
    # 100 labels 4 points of error
    return Backbone(MeanEncoder(make_encoder(config.encoder, shape, 2 * config.latent)), epsilon=ACTIVE)


def _vae(config: PretrainConfig, shape: Shape, encoder: Any) -> Pretraining:
    from pipeline.models.vae import VAE
    from pipeline.training.trainer import make_decoder, make_distortion

    return VAE(
        encoder,
        make_decoder(config.decoder, config.latent, shape),
        make_distortion(config.corruption),
        config.vae.likelihood,
        config.vae.beta,
        config.vae.kl_warmup,
        config.vae.free_bits,
        config.vae.reconstruction,
        config.learning_rate,
        config.weight_decay,
    )


def _examine_vae(config: PretrainConfig, model: Any, images: torch.Tensor, folder: Path) -> dict[str, float]:
    from pipeline.evaluation.variational import importance_weighted_bound, latent_use

    use = latent_use(model, images)
    disk.write_csv(folder / "latents.csv", use.rows())
    samples = config.vae.importance_samples
    return {
        "holdout_log_likelihood": importance_weighted_bound(model, images, samples),
        "importance_samples": samples,
        "active_units": int(use.active.sum()),
        "mean_sigma": float(use.sigma.mean()),
        "mean_spread": float(use.spread.mean()),
    }


METHODS = {
    "autoencoder": Method("autoencoder", ("vae",), False, _autoencoder_backbone, _autoencoder, _nothing_more),
    "vae": Method("variational autoencoder", ("loss",), True, _vae_backbone, _vae, _examine_vae),
}
