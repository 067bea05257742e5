"""The variational autoencoder: an autoencoder whose latents follow N(0, 1), so that new images can be drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.config import JsonObject, NetworkConfig
from pipeline.errors import PipelineError, require
from pipeline.methods import Method, Parts, Shape
from pipeline.store import disk

if TYPE_CHECKING:
    from pipeline.models.classifier import Backbone
    from pipeline.models.inputs import Images
    from pipeline.models.vae import VAE


@dataclass(frozen=True)
class Settings:
    """The settings that a variational autoencoder alone has.

    Attributes:
        likelihood: "bernoulli", cross-entropy on grey levels; "binarised", the same on black and white images drawn
            anew from the grey levels at each step; "gaussian", squared error with a learnt scale.
        reconstruction: Weight of the reconstruction; 0 leaves the KL divergence alone.
        beta: Weight of the KL divergence from the prior; 1 is the evidence lower bound, more is the beta-VAE.
        kl_warmup: Epochs over which that weight rises linearly from 0; fractions are allowed.
        free_bits: Nats of KL that each latent dimension may use free of charge, against dimensions falling silent.
        importance_samples: Samples an image of the importance-weighted estimate of log p(x), made once at the end.
    """

    likelihood: Literal["bernoulli", "binarised", "gaussian"] = "bernoulli"
    reconstruction: float = 1.0
    beta: float = 1.0
    kl_warmup: float = 0.0
    free_bits: float = 0.0
    importance_samples: int = 100

    def __post_init__(self) -> None:
        for name in ("reconstruction", "beta", "kl_warmup", "free_bits"):
            value = getattr(self, name)
            require(0 <= value < math.inf, name, value, "a number of at least 0")
        require(self.importance_samples > 0, "importance_samples", self.importance_samples, "at least 1")


def _make_backbone(encoder: NetworkConfig, latent: int, shape: Shape) -> Backbone:
    from pipeline.evaluation.variational import ACTIVE
    from pipeline.models.classifier import Backbone
    from pipeline.models.vae import MeanEncoder
    from pipeline.training.networks import make_encoder

    # a silent dimension must not be blown up to the size of one that speaks: on MNIST that costs a linear head on
    # 100 labels 4 points of error
    return Backbone(MeanEncoder(make_encoder(encoder, shape, 2 * latent)), epsilon=ACTIVE)


def _make_model(parts: Parts) -> VAE:
    from pipeline.models.vae import VAE, MeanEncoder

    settings, epochs = parts.settings, parts.config.epochs
    if settings.kl_warmup > epochs:
        raise PipelineError(
            f"pretrain.args.kl_warmup: {settings.kl_warmup} is not allowed; expected at most pretrain.epochs, {epochs}"
        )
    assert isinstance(parts.encoder, MeanEncoder)
    return VAE(
        parts.encoder,
        parts.make_decoder(),
        parts.make_corruption(),
        settings.likelihood,
        settings.beta,
        settings.kl_warmup,
        settings.free_bits,
        settings.reconstruction,
    )


def _examine(settings: Settings, model: VAE, images: Images, folder: Path) -> dict[str, float]:
    """Return how likely held-out images are, and how much of the latent they use."""
    from pipeline.evaluation.variational import importance_weighted_bound, latent_use

    use = latent_use(model, images)
    disk.write_csv(folder / "latents.csv", use.rows())
    return {
        "holdout_log_likelihood": importance_weighted_bound(model, images, settings.importance_samples),
        "importance_samples": settings.importance_samples,
        "active_units": int(use.active.sum()),
        "mean_sigma": float(use.sigma.mean()),
        "mean_spread": float(use.spread.mean()),
    }


def _evaluate(settings: Settings, model: VAE, images: Images) -> dict[str, float]:
    """Return both bounds on the test images, in nats an image."""
    from pipeline.evaluation.variational import importance_weighted_bound
    from pipeline.models.vae import evaluate_bound

    bound, samples = evaluate_bound(model, images), settings.importance_samples
    return {
        "negative_elbo": -float(bound.elbo),
        "reconstruction": float(bound.reconstruction),
        "kl": float(bound.kl.sum()),
        "negative_log_likelihood": -importance_weighted_bound(model, images, samples),
        "importance_samples": samples,
    }


def _explain(outcome: JsonObject, settings: JsonObject) -> list[str]:
    """Return the parts of the bound, and how much of the latent is used; nothing without held-out images."""
    sentences, own = [], settings["args"]
    if own["beta"] != 1 or own["free_bits"] > 0 or own["kl_warmup"] > 0:
        sentences.append(
            "In that loss the KL divergence is weighted by beta, which the warm-up raises, and free bits are not "
            "counted; the figures that follow are of the ELBO itself."
        )
    if "holdout_elbo" in outcome:
        sentences.append(
            f"On the left-out images the ELBO is {outcome['holdout_elbo']:.2f} nats an image: "
            f"{outcome['holdout_reconstruction']:.2f} of reconstruction and {outcome['holdout_kl']:.2f} of KL "
            f"divergence from the prior. {outcome['importance_samples']} importance samples an image put log p(x) at "
            f"{outcome['holdout_log_likelihood']:.2f}. {outcome['active_units']} of its {settings['latent']} latent "
            "dimensions are active: their means vary by more than 0.01 over the images."
        )
    return sentences


METHOD = Method(
    summary="variational autoencoder",
    make_model=_make_model,
    settings=Settings,
    decodes=True,
    has_prior=True,
    make_backbone=_make_backbone,
    loss="loss, the negative ELBO in nats,",
    when="to draw new images, or to ask how likely an image is; its means serve a linear head badly.",
    reference="Kingma and Welling 2014, https://arxiv.org/abs/1312.6114",
    examine=_examine,
    evaluate=_evaluate,
    explain=_explain,
)
