"""How a classifier is trained, as plain values without torch, so that a finished training is recognised without it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import InvariancesConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.datasets.splits import Draw, Indices, LabelSplit, drawn, fold_splits, label_split
from pipeline.modes import FitConfig, Mode

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Plan:
    """How one classifier is trained.

    Attributes:
        mode: Name of the mode.
        pretrain: The encoder's architecture, and how it was pretrained if it was.
        train: How classifiers are trained.
        invariances: The changes that leave an image's class as it is.
        runtime: Device and precision.
        seed: Seed of the head's weights and the order of batches; without pretraining, of the encoder's weights too.
    """

    mode: str
    pretrain: PretrainConfig
    train: TrainConfig
    invariances: InvariancesConfig
    runtime: RuntimeConfig
    seed: int

    @property
    def definition(self) -> Mode:
        """The mode, with the settings that the config gives it."""
        return self.train.mode(self.mode)

    @property
    def settings(self) -> FitConfig:
        """The settings of the mode's training."""
        return self.definition.fit

    @property
    def refits(self) -> bool:
        """Whether the classifier is trained again on all labels, after some were left out to choose by."""
        return self.train.validation == "kfold" or (self.train.validation == "holdout" and self.train.refit)

    @property
    def l2_without_validation(self) -> float:
        """The strength of the penalty of a head with no label to choose it by: the middle one of those in ``l2``."""
        return sorted(self.train.l2)[len(self.train.l2) // 2]

    @property
    def weight_decay(self) -> float:
        """AdamW's weight decay, which is less where images without labels are learnt from, too."""
        train = self.train
        return train.unlabelled_weight_decay if self.definition.spreads_labels else train.weight_decay

    def steps(self, budget: int) -> int:
        """Return how many steps a training on so many labels, validation included, takes if it is not stopped early.

        It is a multiple of ``train.evaluations``.
        """
        train = self.train
        wanted = train.unlabelled_steps if self.definition.spreads_labels else train.length * math.sqrt(budget)
        return train.evaluations * max(1, round(wanted / train.evaluations))

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
    def head_widths(self) -> tuple[int, ...]:
        """Hidden layers of the head."""
        return self.train.graph.head_widths if self.definition.spreads_labels else self.train.head_widths


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder that a classifier starts from.

    Attributes:
        weights: Weights of the ``Backbone``: encoder and standardisation.
        embeddings: Standardised features of all training images, float32, shape (N, features).
    """

    weights: dict[str, torch.Tensor]
    embeddings: torch.Tensor


def split_budget(
    train: TrainConfig, labels: Indices, classes: int, draw: Draw, groups: Indices | None = None
) -> list[LabelSplit]:
    """Return how a label budget is spent: one split into training and maybe validation, or one for each fold.

    Labels, classes, draw and groups are those of ``datasets.splits.label_split``.

    Raises:
        PipelineError: If the budget is out of range or cannot be divided so.
    """
    if train.validation == "none":
        return [LabelSplit(np.sort(drawn(labels, classes, draw)), np.empty(0, dtype=np.int64))]
    if train.validation == "kfold":
        return fold_splits(labels, classes, draw, train.folds, groups)
    return [label_split(labels, classes, draw, train.val_fraction, groups)]
