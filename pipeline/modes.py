"""The modes: which encoder a classifier starts from, and what of it is trained.

A mode is an entry in this table, or a ``Mode`` that an installed package names as an entry point ``pipeline.modes``.

Where they come from: ``finetune`` fits the head first, as Kumar et al. 2022 (arXiv 2202.10054) advise;
``probe_finetune`` adds to that rates that fall from layer to layer (Howard and Ruder 2018, arXiv 1801.06146) and
averaged weights (Polyak and Juditsky 1992). ``propagate`` is label spreading (Zhou et al. 2004) with the weights of
Iscen et al. 2019 (arXiv 1904.04717). ``consistency`` is FixMatch (Sohn et al. 2020, arXiv 2001.07685) with the
averaged network of mean teacher (Tarvainen and Valpola 2017, arXiv 1703.01780) for a judge and, as a setting, the
Ladder network's reconstruction (Rasmus et al. 2015, arXiv 1507.02672). ``self_train`` learns like that from the labels
that were spread, as far as the averaged network names the same class (co-training, Blum and Mitchell 1998).
"""

from __future__ import annotations

import functools
import sys
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
        propagates: Whether the labels are first spread over the images without labels, which are then learnt from.
        agrees: Whether the classifier also learns from images without labels to agree with itself, however distorted.
        fit: How it trains; of those in the table, ``TrainConfig`` says it.
        classifier: Import path of the ``Classifier`` that is trained, or of a subclass with another loss and no weights
            of its own.
    """

    pretrained: bool
    trains_encoder: bool
    summary: str
    propagates: bool = False
    agrees: bool = False
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
    "probe_finetune": Mode(
        pretrained=True,
        trains_encoder=True,
        summary="head fitted first, then all trained, lower layers slower, weights averaged",
    ),
    "consistency": Mode(
        pretrained=True,
        trains_encoder=True,
        summary="all trained on the labels and to agree with itself on distorted images without labels",
        agrees=True,
    ),
    "self_train": Mode(
        pretrained=True,
        trains_encoder=True,
        summary="all trained on the labels and, distorted, on those spread over the graph that it agrees with",
        propagates=True,
        agrees=True,
    ),
}


class _Modes(Mapping[str, Mode]):
    """Those built in, and then those of installed packages, which are imported when they are asked for."""

    def __getitem__(self, name: str) -> Mode:
        if name in BUILT_IN:
            return BUILT_IN[name]
        if name not in _added(tuple(sys.path)):
            raise KeyError(name)
        mode = plugins.find("mode", name, {}, ENTRY_POINTS)
        if not isinstance(mode, Mode):
            raise PipelineError(f"mode: {name!r} is a {type(mode).__name__}; expected a pipeline.modes.Mode")
        return mode

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*BUILT_IN, *_added(tuple(sys.path))]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in BUILT_IN or name in _added(tuple(sys.path))


@functools.cache
def _added(path: tuple[str, ...]) -> list[str]:
    """Names that the packages on this path of imports add; looking through all of them takes a while."""
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
