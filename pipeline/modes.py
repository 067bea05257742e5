"""The modes: which encoder a classifier starts from, what of it is trained, and at which rates.

A mode is an entry of this table, a ``Mode`` that an installed package names as an entry point of the group
``pipeline.modes``, or one that a config names by its import path, ``module:OBJECT``. All three are treated alike:
``train.modes`` of a config changes single settings of any of them.

References: ``finetune`` fits the head first, as Kumar et al. 2022 (arXiv 2202.10054) advise. ``propagate`` is label
spreading (Zhou et al. 2004) with the weights of Iscen et al. 2019 (arXiv 1904.04717). ``self_train`` takes spread
labels as pseudo-labels wherever the teacher predicts the same class (co-training, Blum and Mitchell 1998); the teacher
is the exponential moving average (EMA) of the network (mean teacher, Tarvainen and Valpola 2017, arXiv 1703.01780).
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata

from pipeline import plugins
from pipeline.errors import require

ENTRY_POINTS = "pipeline.modes"


@dataclass(frozen=True)
class FitConfig:
    """The training settings that each mode has for itself; all others are in the section ``train``, for every mode.

    Attributes:
        encoder_lr: Highest learning rate of the encoder (AdamW); 0 where the encoder is frozen.
        head_lr: Highest learning rate of the head; not used by a mode that fits the head alone, to convergence.
        head_first: Whether the head is fitted on the frozen encoder before both are trained. Otherwise the gradients of
            a random head harm a good encoder if labels are few.
    """

    encoder_lr: float = 0.0
    head_lr: float = 0.003
    head_first: bool = False

    def __post_init__(self) -> None:
        require(self.encoder_lr >= 0, "encoder_lr", self.encoder_lr, "at least 0")
        require(self.head_lr > 0, "head_lr", self.head_lr, "a positive rate")


@dataclass(frozen=True)
class FitChanges:
    """The changes that a config makes to a mode's ``FitConfig``; a setting that is null keeps the mode's value."""

    encoder_lr: float | None = None
    head_lr: float | None = None
    head_first: bool | None = None


@dataclass(frozen=True)
class Mode:
    """One way to train a classifier.

    Attributes:
        pretrained: Whether the encoder starts from its pretrained weights; otherwise from random ones.
        trains_encoder: Whether the encoder is trained along with the head; otherwise it stays frozen.
        summary: A few words that describe the mode in tables and in the help.
        spreads_labels: Whether labels are spread over a graph of the pretrained embeddings, so that the classifier also
            learns from images without labels. If the encoder is trained, too, a spread label is learnt only while the
            classifier's EMA predicts the same class.
        fit: The default settings of its training, which a config may change.
        classifier: Import path of a class with another loss, and no weights of its own: a subclass of ``Classifier``,
            or of ``SelfTrainingClassifier`` for a mode that self-trains. "" uses these classes themselves.

    Raises:
        PipelineError: If the flags contradict one another.

    Examples:
        >>> gentle = Mode(True, True, "fine-tuned slowly", fit=FitConfig(encoder_lr=1e-5, head_first=True))
        >>> gentle.changed(FitChanges(head_lr=0.01)).fit.encoder_lr
        1e-05
        >>> Mode(False, True, "from random weights", fit=FitConfig(encoder_lr=0.1, head_first=True))
        Traceback (most recent call last):
        ...
        pipeline.errors.PipelineError: head_first: True is not allowed; expected false without a pretrained encoder
    """

    pretrained: bool
    trains_encoder: bool
    summary: str
    spreads_labels: bool = False
    fit: FitConfig = field(default_factory=FitConfig)
    classifier: str = ""

    def __post_init__(self) -> None:
        fit = self.fit
        if not self.pretrained:
            require(self.trains_encoder, "trains_encoder", False, "true without a pretrained encoder")
            require(not self.spreads_labels, "spreads_labels", True, "false without a pretrained encoder")
            require(not fit.head_first, "head_first", True, "false without a pretrained encoder")
        if self.trains_encoder:
            require(fit.encoder_lr > 0, "encoder_lr", fit.encoder_lr, "a positive rate where the encoder is trained")
        else:
            require(fit.encoder_lr == 0, "encoder_lr", fit.encoder_lr, "0 where the encoder is frozen")
            require(not fit.head_first, "head_first", True, "false where the encoder is frozen")

    @property
    def self_trains(self) -> bool:
        """Whether the encoder, too, learns the spread labels, as far as the classifier's EMA predicts the same."""
        return self.spreads_labels and self.trains_encoder

    def changed(self, changes: FitChanges) -> Mode:
        """Return the mode with some of its training settings changed.

        Raises:
            PipelineError: If a changed setting is out of range or contradicts the mode's flags.
        """
        given = {name: value for name, value in vars(changes).items() if value is not None}
        return dataclasses.replace(self, fit=dataclasses.replace(self.fit, **given))


BUILT_IN = {
    "frozen": Mode(
        pretrained=True,
        trains_encoder=False,
        summary="pretrained encoder frozen, head trained",
    ),
    "finetune": Mode(
        pretrained=True,
        trains_encoder=True,
        summary="pretrained encoder and head trained",
        fit=FitConfig(encoder_lr=0.001, head_first=True),
    ),
    "scratch": Mode(
        pretrained=False,
        trains_encoder=True,
        summary="same network from random weights",
        fit=FitConfig(encoder_lr=0.003),
    ),
    "propagate": Mode(
        pretrained=True,
        trains_encoder=False,
        summary="labels spread over a graph of embeddings, head trained on them",
        spreads_labels=True,
    ),
    "self_train": Mode(
        pretrained=True,
        trains_encoder=True,
        summary="all trained on the labels and, augmented, on spread labels that the EMA confirms",
        spreads_labels=True,
        fit=FitConfig(encoder_lr=0.002, head_lr=0.002, head_first=True),
    ),
}


def names() -> list[str]:
    """Return the names of the built-in modes and of those that installed packages add."""
    return list(dict.fromkeys([*BUILT_IN, *_added(tuple(sys.path))]))


@functools.cache
def _added(path: tuple[str, ...]) -> list[str]:
    """Return the names of modes that installed packages add; searching all packages of the path takes a while."""
    return sorted(entry.name for entry in metadata.entry_points(group=ENTRY_POINTS))


def check_name(setting: str, name: str) -> None:
    """Refuse what cannot be the name of a mode; one at an import path is imported, and checked, when it is used.

    Raises:
        PipelineError: If it is no name of a mode and no import path; the message begins with the setting.
    """
    require(
        ":" in name or name in names(), setting, name, f"one of {', '.join(names())}, or the import path of your own"
    )


def find_mode(name: str) -> Mode:
    """Return the mode of this name, with its default settings.

    Raises:
        PipelineError: If there is no such mode, or its module cannot be imported.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    return plugins.find_instance(Mode, "mode", name, dict.fromkeys(BUILT_IN, ""), ENTRY_POINTS)


def in_order(modes: Iterable[str]) -> list[str]:
    """Sort names of modes in the order of the table; those at import paths come last, in the given order."""
    places = {name: place for place, name in enumerate(names())}
    return sorted(modes, key=lambda mode: places.get(mode, len(places)))


PCA_FEATURES = 50
NEIGHBOURS = 3

# classical classifiers that stage compare trains beside the modes, by their names in results.csv
BASELINES = {
    "logistic": "logistic regression on pixels",
    "pca_logistic": f"logistic regression on {PCA_FEATURES} PCA features",
    "knn": f"{NEIGHBOURS} nearest neighbours on pixels",
}
