"""The one function that measures a classifier. E_in, E_val and E_out differ in the split handed in, nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_confusion_matrix

from pipeline.models.inputs import Images, infer


@dataclass(frozen=True)
class SplitErrors:
    """Errors on one split, with exact counts.

    Attributes:
        n: Examples.
        errors: Wrongly classified ones.
        losses: Cross-entropy of each example, nats, shape (n,).
        confusion: Counts, shape (classes, classes): true class by row, predicted by column.
        predictions: Predicted class of each example, shape (n,), int64, in the order handed in.
    """

    n: int
    errors: int
    losses: Tensor
    confusion: Tensor
    predictions: Tensor

    @property
    def error(self) -> float:
        """Share of wrongly classified examples, 0 to 1."""
        return self.errors / self.n

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats."""
        return float(self.losses.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean cross-entropy, nats; 0 of a single example."""
        return float(self.losses.std(correction=min(1, self.n - 1))) / math.sqrt(self.n)


def evaluate(model: nn.Module, inputs: Images, labels: Tensor, classes: int) -> SplitErrors:
    """Measure a classifier in eval mode, without augmentation.

    Args:
        model: Inputs to logits, shape (B, classes).
        inputs: What the model takes, shape (n, ...); so many at a time are in memory.
        labels: True classes, shape (n,), int64.
        classes: Number of classes.
    """
    was_training = model.training
    logits = infer(model.eval(), inputs)
    model.train(was_training)
    labels = labels.cpu()
    predictions = logits.argmax(1)
    confusion = multiclass_confusion_matrix(predictions, labels, classes, validate_args=False)
    return SplitErrors(
        n=len(labels),
        errors=len(labels) - int(confusion.trace()),
        losses=F.cross_entropy(logits, labels, reduction="none"),
        confusion=confusion,
        predictions=predictions,
    )


def pooled(parts: Sequence[SplitErrors], order: npt.NDArray[np.int64]) -> SplitErrors:
    """Errors on several splits as on one.

    Args:
        parts: The errors on splits that have no example in common.
        order: Places of the parts' examples, end to end, in the order that is wanted, shape (n,).
    """
    places = torch.from_numpy(order)
    return SplitErrors(
        n=sum(part.n for part in parts),
        errors=sum(part.errors for part in parts),
        losses=torch.cat([part.losses for part in parts])[places],
        confusion=torch.stack([part.confusion for part in parts]).sum(0),
        predictions=torch.cat([part.predictions for part in parts])[places],
    )
