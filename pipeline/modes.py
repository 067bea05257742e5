"""The modes: which encoder a classifier starts from, and what of it is trained.

A mode is an entry in this table, or a ``Mode`` that an installed package names as an entry point ``pipeline.modes``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata

from pipeline import plugins
from pipeline.config import FitConfig
from pipeline.errors import PipelineError

ENTRY_POINTS = "pipeline.modes"


@dataclass(frozen=True)
class Mode:
    """One way to train a classifier.

    Attributes:
        pretrained: Whether the encoder starts from its pretrained weights; otherwise from random ones.
        trains_encoder: Whether the encoder is trained along with the head.
        summary: A few words for tables and help.
        propagates: Whether the labels are first spread over the images without labels, which are then trained on.
        fit: How it trains; of those in the table, ``TrainConfig`` says it.
        classifier: Import path of the ``Classifier`` that is trained, or of a subclass with another loss and no weights
            of its own.
    """

    pretrained: bool
    trains_encoder: bool
    summary: str
    propagates: bool = False
    fit: FitConfig = field(default_factory=FitConfig)
    classifier: str = "pipeline.models.classifier:Classifier"


BUILT_IN = {
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


class _Modes(Mapping[str, Mode]):
    """Those built in, and then those of installed packages, which are imported when they are asked for."""

    def __getitem__(self, name: str) -> Mode:
        if name in BUILT_IN:
            return BUILT_IN[name]
        if name not in self._added():
            raise KeyError(name)
        mode = plugins.find("mode", name, {}, ENTRY_POINTS)
        if not isinstance(mode, Mode):
            raise PipelineError(f"mode: {name!r} is a {type(mode).__name__}; expected a pipeline.modes.Mode")
        return mode

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*BUILT_IN, *self._added()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in BUILT_IN or name in self._added()

    @staticmethod
    def _added() -> list[str]:
        return sorted(entry.name for entry in metadata.entry_points(group=ENTRY_POINTS))


MODES = _Modes()


def find_mode(name: str) -> Mode:
    """The mode of this name.

    Raises:
        PipelineError: There is none, or the package that adds it cannot be imported.
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
