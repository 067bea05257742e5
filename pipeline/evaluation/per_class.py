"""Which classes a classifier gets wrong, and errors in which every class counts the same."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_fscore_support
from sklearn.utils.class_weight import compute_sample_weight

Integers = npt.NDArray[np.int64]


class ClassMetrics(TypedDict):
    """Measures in which every class that has images counts the same, and those of each class, all from 0 to 1.

    Attributes:
        balanced_error: One minus the mean recall.
        macro_f1: The mean over the classes of the harmonic mean of precision and recall.
        recall: The share of a class's images that are taken for it; None of a class without images.
        precision: The share of the images taken for a class that are of it; 0 if there are none.
    """

    balanced_error: float
    macro_f1: float
    recall: list[float | None]
    precision: list[float]


def measure_classes(truth: Integers, predictions: Integers, classes: int) -> ClassMetrics:
    """Measure predictions of shape (n,) of images of known classes, shape (n,).

    Examples:
        >>> always_first = np.zeros(20, dtype=np.int64)
        >>> found = measure_classes(np.repeat([0, 1], [19, 1]), always_first, classes=2)
        >>> found["balanced_error"], found["recall"], found["precision"]
        (0.5, [1.0, 0.0], [0.95, 0.0])
    """
    names = np.arange(classes)
    precision, recall, f1, count = precision_recall_fscore_support(truth, predictions, labels=names, zero_division=0.0)
    there = count > 0
    return {
        "balanced_error": 1 - float(recall[there].mean()),
        "macro_f1": float(f1[there].mean()),
        "recall": [float(share) if has_images else None for share, has_images in zip(recall, there, strict=True)],
        "precision": [float(share) for share in precision],
    }


def balancing_weights(truth: Integers) -> npt.NDArray[np.float64]:
    """Return weights of images under which their mean error is the balanced error, shape (n,)."""
    weights: npt.NDArray[np.float64] = compute_sample_weight("balanced", truth)
    return weights


def unevenness(truth: Integers) -> float:
    """Return how many times as many images the largest class has as the smallest one that has any."""
    count = np.unique(truth, return_counts=True)[1]
    return float(count.max() / count.min())
