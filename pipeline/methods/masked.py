"""The masked autoencoder: the image is drawn from a few of its patches, and the others cost nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config import JsonObject
from pipeline.errors import PipelineError, require
from pipeline.methods import Method, Parts

if TYPE_CHECKING:
    from pipeline.models.masked import MaskedAutoencoder


@dataclass(frozen=True)
class Settings:
    """The settings that a masked autoencoder alone has.

    Attributes:
        hidden: Share of the patches that the encoder does not see.
    """

    hidden: float = 0.75

    def __post_init__(self) -> None:
        require(0 < self.hidden < 1, "hidden", self.hidden, "a share between 0 and 1")


def _make_model(parts: Parts) -> MaskedAutoencoder:
    from pipeline.models.encoders import PatchEncoder
    from pipeline.models.masked import MaskedAutoencoder

    if not isinstance(parts.encoder, PatchEncoder):
        raise PipelineError(
            f"pretrain.encoder.name: {parts.config.encoder.name!r} cannot leave out patches of an image; the method "
            "masked needs the encoder patches (--pretrain.encoder.name patches)"
        )
    return MaskedAutoencoder(parts.encoder, parts.make_decoder(), parts.make_corruption(), parts.settings.hidden)


def _explain(outcome: JsonObject, settings: JsonObject) -> list[str]:
    """Say which share of the patches was hidden, and in which images."""
    share = f"In training, {100 * settings['args']['hidden']:g} % of each image's patches were hidden"
    return [f"{share}; of the left-out images, none." if "holdout_loss" in outcome else f"{share}."]


METHOD = Method(
    summary="masked autoencoder",
    make_model=_make_model,
    settings=Settings,
    decodes=True,
    loss="reconstruction loss, summed over pixels,",
    when="where little is known of what leaves a class as it is, or time is short: hidden patches cost nothing. Where "
    "the invariances are known, the denoising autoencoder learns more from them.",
    reference="He et al. 2022, https://arxiv.org/abs/2111.06377",
    explain=_explain,
)
