"""The modes: which encoder a classifier starts from, and what of it is trained. A mode is an entry in this table."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Mode:
    """One way to train a classifier.

    Attributes:
        pretrained: Whether the encoder starts from its pretrained weights; otherwise from random ones.
        trains_encoder: Whether the encoder is trained along with the head.
        summary: A few words for tables and help.
        propagates: Whether the labels are first spread over the images without labels, which are then trained on.
    """

    pretrained: bool
    trains_encoder: bool
    summary: str
    propagates: bool = False


MODES = {
    "frozen": Mode(pretrained=True, trains_encoder=False, summary="pretrained encoder frozen, head trained"),
    "finetune": Mode(pretrained=True, trains_encoder=True, summary="pretrained encoder and head trained"),
    "scratch": Mode(pretrained=False, trains_encoder=True, summary="same network from random weights"),
    "propagate": Mode(
        pretrained=True,
        trains_encoder=False,
        summary="labels spread over a graph of embeddings, head trained on them",
        propagates=True,
    ),
}


def find_mode(name: str) -> Mode:
    """The mode of this name.

    Raises:
        PipelineError: There is none.
    """
    if name not in MODES:
        raise PipelineError(f"mode: {name!r} is unknown; expected one of {', '.join(MODES)}")
    return MODES[name]


PCA_FEATURES = 50
NEIGHBOURS = 3

# classical classifiers that compare trains beside the modes, by the names they have in results.csv
BASELINES = {
    "logistic": "logistic regression on pixels",
    "pca_logistic": f"logistic regression on {PCA_FEATURES} PCA features",
    "knn": f"{NEIGHBOURS} nearest neighbours on pixels",
}
