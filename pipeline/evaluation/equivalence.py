"""How many labels one mode needs to err as little as another does, between the budgets that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipeline.evaluation.statistics import Interval

_STEPS = 2000  # along the logarithm of the budgets; one step is far below what any number of draws can tell


def equivalent_labels(
    budgets: Sequence[int],
    reference: Sequence[Sequence[float]],
    errors: Sequence[float],
    level: float = 0.95,
) -> Interval:
    """The number of labels with which a reference errs as little as a mode did, in the mean over the draws.

    Between two budgets each draw's error of the reference is interpolated, linearly in the logarithm of the number of
    labels; beyond them nothing is said. The interval is the test turned round: it holds the numbers of labels at which
    the t interval of the paired differences over the draws contains 0.

    Args:
        budgets: Of the reference, rising; at least two.
        reference: Its error, one row a draw and one column a budget.
        errors: The mode's error at its own budget, one value a draw, in the same order of draws.
        level: Confidence level.

    Returns:
        Labels: 0 stands for fewer than the smallest budget, infinity for more than the largest. The limits of a single
        draw are None.

    Raises:
        ValueError: The numbers of draws or budgets disagree, or there are fewer than two budgets.
    """
    table = np.asarray(reference, dtype=float)
    if len(budgets) < 2 or table.shape != (len(errors), len(budgets)):
        raise ValueError(f"{len(errors)} draws at {len(budgets)} budgets do not fit a table of shape {table.shape}")
    logs = np.log(budgets)
    points = np.linspace(logs[0], logs[-1], _STEPS + 1)
    differences = np.stack([np.interp(points, logs, row) for row in table]) - np.asarray(errors, dtype=float)[:, None]
    mean = differences.mean(0)
    labels = float(budgets[0]) if mean[0] == 0 else _first(mean <= 0, points)
    if len(errors) < 2:
        return Interval(labels, None, None)
    half = stats.sem(differences, axis=0) * stats.t.ppf((1 + level) / 2, len(errors) - 1)
    # the reference may still err more where the interval begins, and must not err less before it ends
    low = _first(mean <= half, points)
    high = _last(mean >= -half, points)
    return Interval(labels, min(low, labels), max(high, labels))  # draws that agree cross between two steps


def _first(fits: npt.NDArray[np.bool_], points: npt.NDArray[np.float64]) -> float:
    """The first point that fits: 0 if that is the very first, infinity if none does."""
    if not fits.any():
        return math.inf
    place = int(fits.argmax())
    return math.exp(points[place]) if place else 0.0


def _last(fits: npt.NDArray[np.bool_], points: npt.NDArray[np.float64]) -> float:
    """The last point that fits: infinity if that is the very last, 0 if none does."""
    if not fits.any():
        return 0.0
    place = len(points) - 1 - int(fits[::-1].argmax())
    return math.exp(points[place]) if place < len(points) - 1 else math.inf
