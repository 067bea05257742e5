"""Classifiers trained side by side: the folds of a cross-validation in one training, or a single classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

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
        self.automatic_optimization = False  # see training_step
        self.shares = nn.ModuleList(shares)
        self.train()  # Lightning trains a module in the modes it finds, and a new backbone is in training mode

    @property
    def classifiers(self) -> list[Classifier]:
        """The classifiers, in the order handed in."""
        return [cast(Share, share).classifier for share in self.shares]

    def training_step(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """Train for a whole epoch in one call; the mean of the classifiers' losses and of the batches.

        A step of a linear head takes a tenth of the time that the Trainer's own bookkeeping adds to it.

        Args:
            batches: Inputs, and their places among all training images.
        """
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        losses = []
        for x, index in batches:
            found = self.losses(x, index)
            total = torch.stack(found).sum()
            optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            for classifier in self.classifiers:
                classifier.after_step()
            losses.append(total.detach() / len(found))
        return torch.stack(losses).mean()

    def losses(self, x: Tensor, index: Tensor) -> list[Tensor]:
        """Of each classifier that learns from the batch."""
        found = (cast(Share, share).loss(x, index) for share in self.shares)
        return [loss for loss in found if loss is not None]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with each classifier's rates."""
        groups = [group for classifier in self.classifiers for group in classifier.groups()]
        return torch.optim.AdamW(groups, weight_decay=self.classifiers[0].rates.weight_decay, fused=True)
