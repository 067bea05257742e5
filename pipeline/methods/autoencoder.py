"""The autoencoder, plain or denoising: draw the image again from a latent that is too narrow to copy it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.config import JsonObject
from pipeline.methods import Method, Parts

if TYPE_CHECKING:
    from pipeline.models.autoencoder import Autoencoder


@dataclass(frozen=True)
class Settings:
    """The settings that an autoencoder alone has.

    Attributes:
        loss: "bce", binary cross-entropy on grey levels, or "mse", squared error; both are summed over pixels.
    """

    loss: Literal["bce", "mse"] = "bce"


def _make_model(parts: Parts) -> Autoencoder:
    from pipeline.models.autoencoder import Autoencoder

    return Autoencoder(parts.encoder, parts.make_decoder(), parts.make_corruption(), parts.settings.loss)


def _explain(outcome: JsonObject, settings: JsonObject) -> list[str]:
    """Return which images the two figures are of."""
    if settings["corruption"] and "holdout_loss" in outcome:
        return ["The left-out images are not corrupted, and BatchNorm's statistics are those of such images."]
    return []


METHOD = Method(
    summary="autoencoder",
    make_model=_make_model,
    settings=Settings,
    decodes=True,
    loss="reconstruction loss, summed over pixels,",
    when="first of all; its latents suit a graph and a linear head alike, and it needs little tuning.",
    reference="Vincent et al. 2010, https://jmlr.org/papers/v11/vincent10a.html",
    explain=_explain,
)
