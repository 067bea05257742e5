"""Classifiers trained side by side: the folds of a cross-validation in one training, or a single classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from pipeline.models.classifier import Classifier


class FoldLearner(nn.Module):
    """A classifier and what it learns of batches that others learn of too.

    Args:
        classifier: To be trained.
        targets: What its loss takes for labels, shape (N, ...), of all training images.
        index: The images that it is trained on, shape (n,).

    Attributes:
        sees_all: Whether it is trained on all images of every batch.
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
        self.sees_all = False

    def loss(self, x: Tensor, index: Tensor) -> Tensor | None:
        """Loss of the part of a batch that it is trained on; None where BatchNorm could make nothing of that part."""
        if not self.sees_all:
            mine = self.inside[index]
            x, index = x[mine], index[mine]
        return self.classifier.loss(x, self.targets[index]) if len(x) > 1 else None


class SideBySide(pl.LightningModule):
    """Classifiers that see the same batches at the same time and share nothing else, under one AdamW.

    Args:
        learners: The classifiers, each with its part of the images; batches hold what any of them is trained on.
    """

    def __init__(self, learners: Sequence[FoldLearner]) -> None:
        super().__init__()
        self.automatic_optimization = False  # see training_step
        self.learners = nn.ModuleList(learners)
        handed_out = torch.stack([learner.inside for learner in learners]).any(0)
        for learner in learners:
            learner.sees_all = torch.equal(learner.inside, handed_out)  # asked once, not at every step
        self.train()  # Lightning trains a module in the modes it finds, and a new backbone is in training mode

    @property
    def classifiers(self) -> list[Classifier]:
        """The classifiers, in the order handed in."""
        return [cast(FoldLearner, learner).classifier for learner in self.learners]

    def training_step(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """Train for a whole epoch in one call; the mean of the classifiers' losses and of the batches.

        A step of a linear head takes a tenth of the time that the Trainer's own bookkeeping adds to it.

        Args:
            batches: Inputs, and their places among all training images.
        """
        optimizer, classifiers = self.optimizers(use_pl_optimizer=False), self.classifiers
        assert isinstance(optimizer, torch.optim.Optimizer)
        parameters, losses = list(self.parameters()), []
        for x, index in batches:
            found = self.losses(x, index)
            if not found:  # two folds that hold one image each of a batch of two
                continue
            for parameter in parameters:  # as zero_grad() does, which takes a tenth of a head's step to do it
                parameter.grad = None
            torch.autograd.backward(found)
            optimizer.step()
            for classifier in classifiers:
                classifier.after_step()
            losses += [loss.detach() for loss in found]
        return torch.stack(losses).mean()

    def losses(self, x: Tensor, index: Tensor) -> list[Tensor]:
        """Of each classifier that learns from the batch."""
        found = (cast(FoldLearner, learner).loss(x, index) for learner in self.learners)
        return [loss for loss in found if loss is not None]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with each classifier's rates."""
        groups = [group for classifier in self.classifiers for group in classifier.groups()]
        return torch.optim.AdamW(groups, weight_decay=self.classifiers[0].rates.weight_decay, fused=True)
