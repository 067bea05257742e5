"""What a training is told and given, without torch, so that a finished one is recognised without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config import FitConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.modes import find_mode

if TYPE_CHECKING:
    import torch


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
        settings: FitConfig = getattr(self.train, self.mode)
        return settings

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
    """

    weights: dict[str, torch.Tensor]
    embeddings: torch.Tensor
