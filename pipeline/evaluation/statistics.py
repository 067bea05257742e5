"""Intervals, bounds and paired tests. All errors are shares between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

EXACT_DRAWS = 16  # 2**16 sign flips are enumerated in a moment; beyond that they are sampled


@dataclass(frozen=True)
class Interval:
    """An estimate and the limits of its confidence interval; the limits of a single draw are None."""

    mean: float
    low: float | None
    high: float | None


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean over draws with Student's t interval.

    Args:
        values: One value a draw; at least one.
        level: Confidence level.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, None, None)
    half = float(stats.sem(values) * stats.t.ppf((1 + level) / 2, len(values) - 1))
    return Interval(mean, mean - half, mean + half)


@dataclass(frozen=True)
class PairedDifference:
    """Difference between two modes over the draws that both were trained on.

    Attributes:
        draws: Number of pairs.
        difference: Mean of first minus second, with its t interval.
        p_value: Of the two-sided sign-flip test.
        exact: Whether all sign patterns were enumerated, not sampled.
    """

    draws: int
    difference: Interval
    p_value: float
    exact: bool


def paired_difference(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> PairedDifference:
    """Compare two modes draw by draw.

    The sign-flip (permutation) test asks how often a mean difference at least as large would come about if each
    draw's difference were as likely to have the opposite sign (Fisher 1935). With n draws no p value is below
    2 / 2**n: five draws cannot reach 0.05.

    Args:
        first: One value a draw.
        second: The same draws, in the same order.
        level: Confidence level of the interval.

    Raises:
        ValueError: The two differ in length.
    """
    if len(first) != len(second):
        raise ValueError(f"paired values differ in number: {len(first)} and {len(second)}")
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    exact = len(differences) <= EXACT_DRAWS
    return PairedDifference(
        draws=len(differences),
        difference=mean_interval(differences.tolist(), level),
        p_value=_sign_flip_p(differences),
        exact=exact,
    )


def _sign_flip_p(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    if len(differences) < 2:
        return 1.0  # one pair and its mirror image are equally extreme
    result = stats.permutation_test(
        (differences,),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        n_resamples=2**EXACT_DRAWS,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def clopper_pearson(errors: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval for an error rate (Clopper and Pearson 1934).

    Args:
        errors: Wrongly classified examples.
        n: Examples.
        level: Confidence level.
    """
    interval = stats.binomtest(errors, n).proportion_ci(level, method="exact")
    return float(interval.low), float(interval.high)


def hoeffding(errors: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Distribution-free interval for an error rate (Hoeffding 1963): |E - E_out| <= sqrt(ln(2 / (1-level)) / 2n).

    It holds for one hypothesis fixed before the test set was opened.

    Args:
        errors: Wrongly classified examples.
        n: Examples.
        level: Confidence level.
    """
    half = math.sqrt(math.log(2 / (1 - level)) / (2 * n))
    return max(0.0, errors / n - half), min(1.0, errors / n + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for testing several hypotheses at once (Holm 1979), in the order handed in.

    Rejecting where the corrected value is at most alpha keeps the chance of even one false rejection at alpha or
    below, however the tests depend on each other.

    Args:
        p_values: One a hypothesis, between 0 and 1.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
