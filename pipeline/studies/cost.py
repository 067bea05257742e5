"""How many labels it takes until an error falls to a level: curves of errors against labels, and what they answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluation.crossed import Interval
from pipeline.studies.definition import MeasuredPoint, Points


@dataclass(frozen=True)
class Curve:
    """One error at several label budgets, which a study measured in every arm.

    Attributes:
        where: The words that say which error it is, such as "frozen, on test images".
        budgets: The budgets, ascending.
        column: From a budget to the name of the error among a point's values.
    """

    where: str
    budgets: Sequence[int]
    column: Callable[[int], str]

    def errors(self, point: MeasuredPoint) -> list[float]:
        """Return the error of one arm under one seed at each budget."""
        return [point.values[self.column(budget)] for budget in self.budgets]

    def intervals(self, points: Points) -> dict[str, list[Interval]]:
        """Return each arm's error at each budget: the mean over the seeds, with its interval."""
        return {arm: [points.interval(arm, self.column(budget)) for budget in self.budgets] for arm in points.arms}


def labels_until(budgets: Sequence[int], errors: Sequence[float], level: float) -> float:
    """Interpolate how many labels it takes until the error falls to a level; infinity if it never does.

    Between two budgets, the logarithm of the error is a straight line over the logarithm of the labels.

    Examples:
        >>> round(labels_until([10, 20, 40], [0.4, 0.1, 0.05], 0.2), 1)
        14.1
    """
    if errors[0] <= level:
        return float(budgets[0])
    for place in range(1, len(budgets)):
        before, after = errors[place - 1], errors[place]
        if after <= level:
            share = math.log(before / level) / math.log(before / max(after, 1e-9))
            return float(budgets[place - 1] * (budgets[place] / budgets[place - 1]) ** share)
    return math.inf


def answer(curves: Mapping[str, Sequence[Interval]], budgets: Sequence[int], level: float) -> str:
    """Say how many labels each arm needs until its mean error falls to a level.

    The brackets hold the numbers of labels at which the ends of the error's interval fall to it.

    Args:
        curves: The error at each budget, by arm.
        budgets: The budgets, ascending.
        level: The error, between 0 and 1.

    Examples:
        >>> random = [Interval(0.4, 0.3, 0.5), Interval(0.1, 0.05, 0.15)]
        >>> chosen = [Interval(0.1, 0.05, 0.15), Interval(0.02, 0.01, 0.03)]
        >>> answer({"random": random, "chosen": chosen}, [10, 100], 0.05)
        'random not reached with 100 (100 to more than 100), chosen 27 (at most 10 to 48)'
    """
    return ", ".join(f"{arm} {_needed(intervals, budgets, level)}" for arm, intervals in curves.items())


def _needed(intervals: Sequence[Interval], budgets: Sequence[int], level: float) -> str:
    needed = labels_until(budgets, [interval.mean for interval in intervals], level)
    text = _count(needed, budgets) if math.isfinite(needed) else f"not reached with {max(budgets)}"
    lows = [interval.low for interval in intervals if interval.low is not None]
    highs = [interval.high for interval in intervals if interval.high is not None]
    if len(lows) < len(intervals) or len(highs) < len(intervals):  # a single seed has no interval
        return text
    fewest, largest = labels_until(budgets, lows, level), labels_until(budgets, highs, level)
    if math.isinf(fewest):
        return text
    return f"{text} ({_count(fewest, budgets)} to {_count(largest, budgets)})"


def _count(labels: float, budgets: Sequence[int]) -> str:
    """Return a number of labels, as far as it lies between the budgets."""
    if math.isinf(labels):
        return f"more than {max(budgets)}"
    return f"at most {budgets[0]}" if labels <= budgets[0] else f"{labels:.0f}"
