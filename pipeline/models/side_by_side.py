"""Classifiers trained side by side: the folds of a cross-validation in one training, or a single classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from pipeline.models.classifier import Classifier


class Share(nn.Module):
    """A classifier and what it learns of batches that others learn of too.

    Args:
        classifier: To be trained.
        targets: What its loss takes for labels, shape (N, ...), of all training images.
        index: The images that it is trained on, shape (n,).
    """

    targets: Tensor
    inside: Tensor

    def __init__(self, classifier: Classifier, targets: Tensor, index: Tensor) -> None:
        super().__init__()
        self.classifier = classifier
        inside = torch.zeros(len(targets), dtype=torch.bool)
        inside[index] = True
        self.register_buffer("targets", targets, persistent=False)
        self.register_buffer("inside", inside, persistent=False)

    def loss(self, x: Tensor, index: Tensor) -> Tensor | None:
        """Loss of the part of a batch that it is trained on; None where BatchNorm could make nothing of that part."""
        mine = self.inside[index]
        if not mine.all():
            x, index = x[mine], index[mine]
        return self.classifier.loss(x, self.targets[index]) if len(x) > 1 else None


class SideBySide(pl.LightningModule):
    """Classifiers that see the same batches at the same time and share nothing else, under one AdamW.

    Args:
        shares: The classifiers, each with its part of the images.
    """

    def __init__(self, shares: Sequence[Share]) -> None:
        super().__init__()
        self.shares = nn.ModuleList(shares)
        self.train()  # Lightning trains a module in the modes it finds, and a new backbone is in training mode

    @property
    def classifiers(self) -> list[Classifier]:
        """The classifiers, in the order handed in."""
        return [cast(Share, share).classifier for share in self.shares]

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Sum of the losses of a batch of inputs and their places among all training images."""
        x, index = batch
        losses = [loss for share in self.shares if (loss := cast(Share, share).loss(x, index)) is not None]
        total = torch.stack(losses).sum()
        self.log("train_loss", total / len(losses), on_step=False, on_epoch=True, batch_size=len(x))
        return total

    def on_train_batch_end(self, *_: Any) -> None:
        """Let the averages follow."""
        for classifier in self.classifiers:
            classifier.after_step()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with each classifier's rates."""
        groups = [group for classifier in self.classifiers for group in classifier.groups()]
        return torch.optim.AdamW(groups, weight_decay=self.classifiers[0].rates.weight_decay, fused=True)
