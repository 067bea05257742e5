"""No pretraining: the encoder is taken as it is, such as one whose weights are those of ImageNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods import Method, Parts

if TYPE_CHECKING:
    from pipeline.models.pretraining import Pretraining


def _make_model(parts: Parts) -> Pretraining:
    from pipeline.models.pretraining import Pretraining

    return Pretraining(parts.encoder)


METHOD = Method(
    summary="encoder as it is",
    make_model=_make_model,
    trains=False,
    corrupts=False,
    when="to see what features from elsewhere are worth here, such as those of ImageNet; with random weights, to see "
    "what the network alone is worth.",
    reference="Yosinski et al. 2014, https://arxiv.org/abs/1411.1792",
)
