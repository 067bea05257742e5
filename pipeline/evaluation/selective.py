"""Answers that are left to a person: which error can be promised of the others, from how many labels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipeline.errors import PipelineError
from pipeline.evaluation.calibration import Answers, Floats

LEVEL = 0.95  # share of classifiers for which a promise holds


def promised_threshold(answers: Answers, max_error: float) -> float:
    """Find the probability above which a classifier's answers are wrong in at most a given share of new images.

    That is selective classification with a guaranteed risk (Geifman and El-Yaniv 2017, arXiv 1705.08500). The surest
    answers are tried first, then more and more of them, up to all; a number passes if so few of them are wrong that a
    larger share would have shown more errors but with probability 1 - LEVEL (Clopper and Pearson 1934). The last that
    passes before the first that does not is taken, so that no correction for many looks is due (fixed sequence testing,
    Angelopoulos et al. 2021, arXiv 2110.01052).

    Args:
        answers: To labelled images that the classifier did not learn from; new images come as they did.
        max_error: The share of wrong answers that is promised, between 0 and 1.

    Returns:
        Answers with a higher probability are the classifier's own; -1 where all are.

    Raises:
        PipelineError: If the labels do not suffice to promise it.
    """
    order = np.argsort(-answers.probability, kind="stable")
    probability, wrong = answers.probability[order], ~answers.right[order]
    found = None
    for size in _sizes(len(order), max_error):
        accepted = int((probability >= probability[size - 1]).sum())  # more where several are as sure
        if stats.binom.cdf(wrong[:accepted].sum(), accepted, max_error) > 1 - LEVEL:
            break
        found = float(probability[accepted]) if accepted < len(order) else -1.0
    if found is None:
        raise PipelineError(_refusal(wrong, max_error))
    return found


def labels_needed(max_error: float) -> int:
    """Return the least number of labels that can promise an error, all of them answered correctly.

    Examples:
        >>> labels_needed(0.01), labels_needed(0.05)
        (299, 59)
    """
    return math.ceil(math.log(1 - LEVEL) / math.log1p(-max_error))


def _sizes(total: int, max_error: float) -> npt.NDArray[np.int64]:
    """Return the numbers of answers that are tried: each the least that may have one more wrong, and then all."""
    sizes = np.arange(1, total + 1)
    allowed = stats.binom.ppf(1 - LEVEL, sizes, max_error) - 1  # the most errors that still prove it; -1: none do
    rises = sizes[np.diff(allowed, prepend=-1) > 0]
    return np.union1d(rises, sizes[-1:]) if len(rises) else rises


def _refusal(wrong: npt.NDArray[np.bool_], max_error: float) -> str:
    total, needed = len(wrong), labels_needed(max_error)
    start = f"max-error: {max_error:g} cannot be promised with {100 * LEVEL:.0f} % confidence"
    if not total:
        return (
            f"{start}: it learnt from every label of its budget (train.validation none), and a promise takes at least "
            f"{needed} that it did not learn from. Take a larger budget and another train.validation; or name a "
            "--coverage, which promises nothing"
        )
    if total < needed:
        least = 1 - (1 - LEVEL) ** (1 / total)
        return (
            f"{start}: that takes at least {needed} labels that the classifier did not learn from, and it has {total}. "
            "Take a larger budget, or --train.validation kfold, which asks about every label; promise less, from "
            f"{math.ceil(1000 * least) / 1000:g} on; or name a --coverage, which promises nothing"
        )
    return (
        f"{start}: of the {needed} surest of the {total} answers to labels that the classifier did not learn from, "
        f"{int(wrong[:needed].sum())} are wrong. Promise less, or name a --coverage, which promises nothing"
    )


def risk_and_coverage(answers: Answers) -> tuple[Floats, Floats]:
    """Return what the classifier decides and how much of that is wrong, as ever more is left to a person.

    Returns:
        The share of images that it decides, from 1 / n to 1, and the share of wrong answers among those, each of
        shape (n,).
    """
    order = np.argsort(-answers.probability, kind="stable")
    counts = np.arange(1, len(order) + 1)
    return counts / len(order), np.cumsum(~answers.right[order]) / counts
