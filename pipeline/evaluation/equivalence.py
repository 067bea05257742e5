"""How many labels one mode needs to err as little as another does, between the budgets that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipeline.evaluation.crossed import LEVEL, Crossed, Floats, Interval

_STEPS = 2000  # along the logarithm of the budgets; one step is far below what any number of draws can tell


def equivalent_labels(budgets: Sequence[int], reference: Sequence[npt.ArrayLike], errors: npt.ArrayLike) -> Interval:
    """Return the number of labels with which a reference errs as little as a mode did, in the mean.

    Between two budgets the reference's errors are interpolated, linearly in the logarithm of the number of labels;
    beyond them nothing is said. The interval is the test turned round: it holds the numbers of labels at which the
    interval of the paired difference contains 0. As that one, it counts draws, encoders and test images.

    Args:
        budgets: The reference's budgets, rising; at least two.
        reference: Its errors, a table of draws x encoders x test images for each budget; see ``Crossed``.
        errors: The mode's errors at its own budget, a table with the same draws.

    Returns:
        Labels: 0 stands for fewer than the smallest budget, infinity for more than the largest. The limits of a single
        draw are None.

    Raises:
        ValueError: If the numbers of draws or budgets disagree, or there are fewer than two budgets.
    """
    draws = len(np.asarray(errors))
    if len(budgets) < 2 or len(reference) != len(budgets) or any(len(np.asarray(own)) != draws for own in reference):
        shapes = [np.shape(own) for own in reference]
        raise ValueError(f"errors of {draws} draws at {len(budgets)} budgets do not fit tables of shapes {shapes}")
    logs = np.log(budgets)
    points = np.linspace(logs[0], logs[-1], _STEPS + 1)
    mean, error, freedom = Crossed([*reference, errors]).estimates(_interpolation(points, logs))
    labels = float(budgets[0]) if mean[0] == 0 else _first(mean <= 0, points)
    if draws < 2:
        return Interval(labels, None, None)
    half = error * stats.t.ppf((1 + LEVEL) / 2, freedom)
    # the reference may still err more where the interval begins, and must not err less before it ends
    low = _first(mean <= half, points)
    high = _last(mean >= -half, points)
    return Interval(labels, min(low, labels), max(high, labels))  # draws that agree cross between two steps


def _interpolation(points: Floats, logs: Floats) -> Floats:
    """Return weights that make the interpolated reference minus the mode, shape (points, budgets + 1)."""
    each = np.stack([np.interp(points, logs, own) for own in np.eye(len(logs))], axis=1)
    return np.hstack([each, -np.ones((len(points), 1))])


def _first(fits: npt.NDArray[np.bool_], points: Floats) -> float:
    """Return the first point that fits: 0 if that is the very first, infinity if none does."""
    if not fits.any():
        return math.inf
    place = int(fits.argmax())
    return math.exp(points[place]) if place else 0.0


def _last(fits: npt.NDArray[np.bool_], points: Floats) -> float:
    """Return the last point that fits: infinity if that is the very last, 0 if none does."""
    if not fits.any():
        return 0.0
    place = len(points) - 1 - int(fits[::-1].argmax())
    return math.exp(points[place]) if place < len(points) - 1 else math.inf
