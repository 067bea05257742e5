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
        logits: The logits of each example, shape (n, classes).
        losses: Cross-entropy of each example, in nats, shape (n,).
        confusion: Counts, shape (classes, classes): true class by row, predicted by column.
        predictions: Predicted class of each example, shape (n,), int64, in the order handed in.
    """

    logits: Tensor
    losses: Tensor
    confusion: Tensor
    predictions: Tensor

    @property
    def n(self) -> int:
        """The number of examples."""
        return len(self.predictions)

    @property
    def errors(self) -> int:
        """The number of wrongly classified examples."""
        return self.n - int(self.confusion.trace())

    @property
    def error(self) -> float:
        """The share of wrongly classified examples, 0 to 1."""
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
    """Measure a classifier in eval mode, in float32 and without augmentation; its mode is the same afterwards.

    Args:
        model: Maps inputs (B, ...) to logits (B, classes).
        inputs: Images or embeddings, shape (n, ...), in memory or in files.
        labels: True classes, shape (n,), int64.
        classes: The number of classes.

    Examples:
        >>> model = nn.Linear(4, 3)
        >>> found = evaluate(model, torch.randn(10, 4), torch.zeros(10, dtype=torch.int64), classes=3)
        >>> found.n, found.errors == round(found.error * 10)
        (10, True)
    """
    was_training = model.training
    logits = infer(model.eval(), inputs)
    model.train(was_training)
    labels = labels.cpu()
    predictions = logits.argmax(1)
    return SplitErrors(
        logits=logits,
        losses=F.cross_entropy(logits, labels, reduction="none"),
        confusion=multiclass_confusion_matrix(predictions, labels, classes, validate_args=False),
        predictions=predictions,
    )


def pooled(parts: Sequence[SplitErrors], order: npt.NDArray[np.int64]) -> SplitErrors:
    """Put the errors on several splits, which have no example in common, together, as if they were one.

    The order, shape (n,), holds the places of the parts' examples, end to end.
    """
    places = torch.from_numpy(order)
    return SplitErrors(
        logits=torch.cat([part.logits for part in parts])[places],
        losses=torch.cat([part.losses for part in parts])[places],
        confusion=torch.stack([part.confusion for part in parts]).sum(0),
        predictions=torch.cat([part.predictions for part in parts])[places],
    )
