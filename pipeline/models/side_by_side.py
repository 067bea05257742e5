"""Classifiers trained side by side: the folds of a cross-validation in one training, or a single classifier."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from pipeline.models.classifier import Classifier
from pipeline.models.cuda_graphs import Gradients, launches_alike


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


@dataclass(frozen=True)
class Schedule:
    """The course of the learning rate: a linear warm-up, then half a cosine down to 0.

    Attributes:
        steps: Steps of the whole training.
        warmup: Steps in which the rate rises, at most half of all.
    """

    steps: int
    warmup: int

    def factor(self, step: int) -> float:
        """Return the factor of the highest rate at a step, from 0."""
        warmup = min(self.warmup, self.steps // 2)
        if step < warmup:
            return (step + 1) / warmup
        return (1 + math.cos(math.pi * min(1.0, (step - warmup) / (self.steps - warmup)))) / 2


class SideBySide(pl.LightningModule):
    """Classifiers that see the same batches at the same time and share nothing else, under one AdamW.

    Args:
        learners: The classifiers, each with its part of the images; batches hold what any of them is trained on.
        schedule: The course of the learning rates.
    """

    def __init__(self, learners: Sequence[FoldLearner], schedule: Schedule) -> None:
        super().__init__()
        self.automatic_optimization = False  # see training_step
        self.learners, self.schedule = nn.ModuleList(learners), schedule
        handed_out = torch.stack([learner.inside for learner in learners]).any(0)
        for learner in learners:
            learner.sees_all = torch.equal(learner.inside, handed_out)  # asked once, not at every step
        # a part of a batch has another size each time, and class weights are copied to the device at each step
        whole = all(learner.sees_all and not learner.classifier.rates.class_weights for learner in learners)
        self.gradients = Gradients(self.losses, self, whole and launches_alike(self))
        self.train()  # Lightning trains a module in the modes it finds, and a new backbone is in training mode

    @property
    def classifiers(self) -> list[Classifier]:
        """The classifiers, in the order handed in."""
        return [cast(FoldLearner, learner).classifier for learner in self.learners]

    def training_step(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """Take the steps between two measurements in one call; the mean of the classifiers' losses and of the batches.

        A step of a small head takes a tenth of the time that the Trainer's own bookkeeping adds to it.

        Args:
            batches: Inputs, and their places among all training images.
        """
        optimizer, rates = self.optimizers(use_pl_optimizer=False), self.lr_schedulers()
        assert isinstance(optimizer, torch.optim.Optimizer)
        assert isinstance(rates, torch.optim.lr_scheduler.LambdaLR)
        averagings = [classifier.averaging() for classifier in self.classifiers]
        losses = []
        self.gradients.begin_round()
        for x, index in batches:
            losses += self.gradients(x, index)
            optimizer.step()
            rates.step()
            for take_into_average in averagings:
                take_into_average()
        return torch.stack(losses).mean()

    def losses(self, x: Tensor, index: Tensor) -> list[Tensor]:
        """Return the losses of the classifiers that learn from the batch."""
        found = (cast(FoldLearner, learner).loss(x, index) for learner in self.learners)
        return [loss for loss in found if loss is not None]

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[torch.optim.lr_scheduler.LambdaLR]]:
        """AdamW with each classifier's rates, which follow the schedule."""
        groups = [group for classifier in self.classifiers for group in classifier.groups()]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.classifiers[0].rates.weight_decay, fused=True)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule.factor)]
