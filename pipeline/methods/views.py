"""The autoencoder with agreement of views: latents that two changed copies of an image share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config import JsonObject
from pipeline.errors import PipelineError, require
from pipeline.methods import Method, Parts, corrupts

if TYPE_CHECKING:
    from pipeline.models.views import ViewAutoencoder

WEIGHTS = ("invariance", "variance", "covariance", "reconstruction")  # the settings that weigh a term of the loss


@dataclass(frozen=True)
class Settings:
    """The settings that an autoencoder with agreement of views alone has.

    Attributes:
        invariance: Weight of the squared difference between the projections of two views of an image.
        variance: Weight of what the standard deviation of each projected feature lacks of 1.
        covariance: Weight of the squared covariances between projected features.
        reconstruction: Weight of drawing the clean image from each view, in nats an image.
        projector: Units of the layers between latents and agreement, which are not kept.
    """

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    reconstruction: float = 0.1
    projector: tuple[int, ...] = (512, 256)

    def __post_init__(self) -> None:
        for name in WEIGHTS:
            value = getattr(self, name)
            require(0 <= value < math.inf, name, value, "a number of at least 0")
        if not self.projector or min(self.projector) < 2:
            raise PipelineError(f"projector: {self.projector!r} is not allowed; expected layers of at least 2 units")


def _make_model(parts: Parts) -> ViewAutoencoder:
    from pipeline.models.views import ViewAutoencoder

    if not corrupts(parts.config, parts.invariances):
        raise PipelineError(
            f"pretrain.corruption: {parts.config.corruption} with the invariances {parts.invariances.preset!r} makes "
            "views that are all alike; expected a strength above 0 and invariances that change something"
        )
    settings = parts.settings
    weights = {name: getattr(settings, name) for name in WEIGHTS}
    return ViewAutoencoder(parts.encoder, parts.make_decoder(), parts.make_corruption(), settings.projector, weights)


def _explain(outcome: JsonObject, settings: JsonObject) -> list[str]:
    """Return how well clean images are drawn, and how far apart two views are."""
    if "holdout_loss" not in outcome:
        return []
    weight = settings["args"]["invariance"]
    return [
        f"On the left-out images the disagreement of two views is {outcome['holdout_invariance']:.2f} in that loss, of "
        f"weight {weight:g}; undistorted, they are drawn again at {outcome['holdout_reconstruction']:.2f} nats an "
        "image."
    ]


METHOD = Method(
    summary="autoencoder with agreement of views",
    make_model=_make_model,
    settings=Settings,
    decodes=True,
    when="where the invariances truly leave the class alone, for a frozen encoder with a linear head; where they do "
    "not, it does harm, and a graph of neighbours prefers the plain autoencoder.",
    reference="VICReg: Bardes et al. 2022, https://arxiv.org/abs/2105.04906",
    explain=_explain,
)
