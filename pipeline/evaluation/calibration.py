"""Probabilities that mean what they say: a temperature, and how far what is said lies from what comes true."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

Floats = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]

BINS = 15  # of equal width, as in Guo et al. 2017
RANGE = (0.05, 20.0)  # of temperatures
SPREAD = 0.5  # standard deviation of the prior; of 0.25, 0.5 and 1 the best on MNIST with 20 labels


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Find the number by which logits are divided, so that their probabilities are right as often as they say.

    It is the one with the least cross-entropy (Guo et al. 2017, arXiv 1706.04599). The order of an image's classes
    stays as it is. The logarithm of the temperature has a normal prior around 0, which counts where labels are few: a
    few images that are all classified correctly would otherwise promise certainty.

    Args:
        logits: The logits of images that the classifier did not learn from, shape (n, classes).
        labels: Their classes, shape (n,).

    Returns:
        Above 1 for a classifier that is surer than it is right, below 1 for one that is too modest.

    Examples:
        >>> logits = torch.tensor([[6.0, 0.0]]).repeat(100, 1)  # sure of every image, and right in half of them
        >>> fit_temperature(logits, torch.arange(100) % 2) > 5
        True
    """
    logits = logits.double()

    def loss(exponent: float) -> float:
        total = float(F.cross_entropy(logits / math.exp(exponent), labels, reduction="sum"))
        return total + (exponent / SPREAD) ** 2 / 2

    low, high = map(math.log, RANGE)
    return math.exp(float(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


@dataclass(frozen=True)
class Answers:
    """How sure a classifier was of labelled images, and whether it was right.

    Attributes:
        probability: The probability of the class that it answered, float64, shape (n,).
        right: Whether that was the class, shape (n,).
    """

    probability: Floats
    right: Flags

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor, temperature: float = 1.0) -> Self:
        """Return the answers of logits, shape (n, classes), divided by a temperature; labels have the shape (n,)."""
        probability = (logits.double() / temperature).softmax(1).amax(1)
        return cls(probability.numpy(), (logits.argmax(1) == labels).numpy())

    @classmethod
    def none(cls) -> Self:
        """Return no answers, for a classifier that learnt from every label."""
        return cls(np.empty(0), np.empty(0, dtype=np.bool_))

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: how far probability and share of right answers lie apart, 0 to 1.

        It is the mean over the answers of the distance between the two in bins of the probability (Naeini et al. 2015).
        """
        from torchmetrics.functional.classification import binary_calibration_error  # takes seconds

        probability, right = torch.from_numpy(self.probability), torch.from_numpy(self.right).long()
        return float(binary_calibration_error(probability, right, n_bins=BINS, norm="l1"))

    def reliability(self) -> tuple[Floats, Floats]:
        """Return, for each bin of the probability that holds answers, their mean probability and the share right."""
        from sklearn.calibration import calibration_curve

        came, said = calibration_curve(self.right, self.probability, n_bins=BINS)
        return said, came
