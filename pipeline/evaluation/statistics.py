"""Paired tests, bounds for one classifier, and corrections. All errors are shares between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipeline.evaluation.crossed import LEVEL, Crossed, Floats, Interval

EXACT_DRAWS = 16  # 2**16 sign flips are enumerated in a moment; beyond that they are sampled
DECIMALS = 12  # of a mean difference: sign flips that are equally extreme differ by rounding in the 17th
MARGIN = 0.001  # a difference of a tenth of a percentage point makes no difference to anybody


def mean_interval(values: npt.ArrayLike) -> Interval:
    """Return the mean with a t interval that counts all that varies.

    Args:
        values: One value a draw, shape (draws,), or a table of draws x encoders x test images; see ``Crossed``. With
            values by draw alone it is Student's interval.
    """
    return Crossed([_as_table(values)]).estimate([1.0]).interval()


def _as_table(values: npt.ArrayLike) -> Floats:
    """Return values as a table of draws x encoders x test images; values by draw alone get the shape (draws, 1, 1)."""
    table = np.asarray(values, dtype=np.float64)
    return table[:, None, None] if table.ndim == 1 else table


@dataclass(frozen=True)
class PairedDifference:
    """How much two modes differ in an error, over what both were trained and tested on.

    Attributes:
        draws: Number of draws of the labels.
        difference: Mean of first minus second, with an interval that counts draws, encoders and test images.
        p_value: The p value of the two-sided sign-flip test over the draws.
        exact: Whether all sign patterns were enumerated, not sampled.
        first_better: Probability that the first mode errs less, by more than the margin; None for a single draw, as
            the following are.
        equal: Probability that the two differ by at most the margin.
        second_better: Probability that the second mode errs less, by more than the margin.
        detectable: The smallest true difference that so many draws, encoders and test images would show in four cases
            of five.
    """

    draws: int
    difference: Interval
    p_value: float
    exact: bool
    first_better: float | None
    equal: float | None
    second_better: float | None
    detectable: float | None


def paired_difference(first: npt.ArrayLike, second: npt.ArrayLike, margin: float = MARGIN) -> PairedDifference:
    """Compare the errors of two modes on the same draws, encoders and test images.

    The sign-flip (permutation) test asks how often a mean difference at least as large would come about if each
    draw's difference were as likely to have the opposite sign (Fisher 1935). With n draws no p value is below
    2 / 2**n: five draws cannot reach 0.05. It asks about the draws alone. The interval and the probabilities count the
    test images and, where there are several, the encoders as well.

    Args:
        first: One error a draw, shape (draws,), or a table of draws x encoders x test images; see ``Crossed``.
        second: The same for the other mode, in the same order of draws.
        margin: Difference up to which two modes count as equally good, as a share.

    Raises:
        ValueError: If the numbers of draws differ.

    Examples:
        >>> found = paired_difference([0.05, 0.06, 0.04, 0.07, 0.05], [0.02, 0.03, 0.02, 0.01, 0.03])
        >>> round(found.difference.mean, 3), found.p_value, round(found.second_better, 3)
        (0.032, 0.0625, 0.993)
    """
    tables = [_as_table(first), _as_table(second)]
    if len(tables[0]) != len(tables[1]):
        raise ValueError(f"paired values differ in number: {len(tables[0])} and {len(tables[1])}")
    by_draw = tables[0].mean((1, 2)) - tables[1].mean((1, 2))
    estimate = Crossed(tables).estimate([1.0, -1.0])
    alone = len(by_draw) < 2
    below, above = estimate.probability_below(-margin), 1 - estimate.probability_below(margin)
    return PairedDifference(
        draws=len(by_draw),
        difference=estimate.interval(),
        p_value=_sign_flip_p(by_draw),
        exact=len(by_draw) <= EXACT_DRAWS,
        first_better=None if alone else below,
        equal=None if alone else 1 - below - above,
        second_better=None if alone else above,
        detectable=None if alone else estimate.detectable(),
    )


def _sign_flip_p(differences: Floats) -> float:
    if len(differences) < 2:
        return 1.0  # one pair and its mirror image are equally extreme
    result = stats.permutation_test(
        (differences,),
        lambda sample, axis: np.mean(sample, axis=axis).round(DECIMALS),
        permutation_type="samples",
        n_resamples=2**EXACT_DRAWS,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def clopper_pearson(errors: int, n: int) -> tuple[float, float]:
    """Return the exact binomial 95 % interval for the rate of errors in n examples (Clopper and Pearson 1934)."""
    interval = stats.binomtest(errors, n).proportion_ci(LEVEL, method="exact")
    return float(interval.low), float(interval.high)


def hoeffding(errors: int, n: int) -> tuple[float, float]:
    """Return a distribution-free 95 % interval for the rate of so many errors in n examples (Hoeffding 1963).

    Its half is sqrt(ln(2 / 0.05) / 2n). It holds for one hypothesis fixed before the test set was opened.
    """
    half = math.sqrt(math.log(2 / (1 - LEVEL)) / (2 * n))
    return max(0.0, errors / n - half), min(1.0, errors / n + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for testing several hypotheses at once (Holm 1979), in the order handed in.

    Rejecting where the corrected value is at most alpha keeps the chance of even one false rejection at alpha or below,
    however the tests depend on each other.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
