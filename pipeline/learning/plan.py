"""What a training is told and given, without torch, so that a finished one is recognised without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.config import DistortionConfig, FitConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.datasets.splits import Indices, LabelSplit, fold_splits, label_split
from pipeline.modes import BUILT_IN, Mode, find_mode

if TYPE_CHECKING:
    import torch


def fit_settings(train: TrainConfig, mode: str) -> FitConfig:
    """How a mode trains."""
    if mode in BUILT_IN:
        settings: FitConfig = getattr(train, mode)
        return settings
    return train.added.get(mode, find_mode(mode).fit)


@dataclass(frozen=True)
class Plan:
    """How one classifier is trained.

    Attributes:
        mode: Key of ``MODES``.
        pretrain: The encoder's architecture, and how it was pretrained if it was.
        train: How classifiers are trained.
        runtime: Device and precision.
        seed: Of the head's weights and the order of batches; without pretraining, of the encoder's weights too.
    """

    mode: str
    pretrain: PretrainConfig
    train: TrainConfig
    runtime: RuntimeConfig
    seed: int

    @property
    def settings(self) -> FitConfig:
        """How this mode trains."""
        return fit_settings(self.train, self.mode)

    @property
    def candidates(self) -> list[Plan]:
        """This plan, and the same with the settings of each trial."""
        return [replace(self, train=train) for train in self.train.candidates(self.mode)]

    @property
    def float32_runtime(self) -> RuntimeConfig:
        """The same device in float32, for heads on a frozen encoder.

        What the encoder makes of an image is then the same in training and afterwards, and whether it is computed once
        or at every step.
        """
        return replace(self.runtime, precision="32")

    @property
    def head_mode(self) -> str | None:
        """The mode by whose settings the head is fitted alone, before the encoder is trained too, if that ever is.

        None where the head is never fitted alone.
        """
        mode = find_mode(self.mode)
        if not mode.trains_encoder:
            return self.mode
        if not self.settings.head_first:
            return None
        return "propagate" if mode.propagates else "frozen"

    def augment(self, settings: FitConfig) -> DistortionConfig | None:
        """How a fit with these settings distorts the labelled images; None for not at all."""
        return self.train.augment if settings.augment else None

    @property
    def stackable(self) -> bool:
        """Whether such classifiers are linear heads on embeddings, of which many can be trained as one computation."""
        mode = find_mode(self.mode)
        if not mode.pretrained or mode.trains_encoder or mode.propagates or mode.classifier != Mode.classifier:
            return False
        if self.train.validation != "holdout":
            return False
        lengths = {(own.train.batch_size, own.settings.max_epochs, own.settings.patience) for own in self.candidates}
        return len(lengths) == 1 and all(
            own.augment(own.settings) is None and own.settings.ema_decay is None and not own.head_widths
            for own in self.candidates
        )

    @property
    def augments(self) -> bool:
        """Whether any of its fits does."""
        mode, fits = find_mode(self.mode), []
        if self.head_mode is not None:
            fits.append(fit_settings(self.train, self.head_mode))
        if mode.trains_encoder and not mode.agrees:
            fits.append(self.settings)
        return any(self.augment(settings) is not None for settings in fits)

    @property
    def head_widths(self) -> tuple[int, ...]:
        """Hidden layers of the head."""
        return self.train.graph.head_widths if find_mode(self.mode).propagates else self.train.head_widths


@dataclass(frozen=True)
class Pretrained:
    """What of a pretrained encoder a classifier starts from.

    Attributes:
        weights: Of the ``Backbone``: encoder and standardisation.
        embeddings: Standardised features of all training images, float32, shape (N, features).
        decoder: Weights of what drew images from latents.
    """

    weights: dict[str, torch.Tensor]
    embeddings: torch.Tensor
    decoder: dict[str, torch.Tensor]


def split_budget(train: TrainConfig, labels: Indices, budget: int, seed: int, classes: int) -> list[LabelSplit]:
    """How a label budget is spent: one split into training and validation, or one for each fold.

    Args:
        train: Says which, and how many.
        labels: Labels of all training images, shape (N,), -1 for unlabelled.
        budget: Labels to be seen in all.
        seed: Which draw.
        classes: Number of classes.

    Raises:
        PipelineError: The budget is out of range or cannot be divided so.
    """
    if train.validation == "kfold":
        return fold_splits(labels, budget, train.folds, seed, classes)
    return [label_split(labels, budget, train.val_fraction, seed, classes)]
