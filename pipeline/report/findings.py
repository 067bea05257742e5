"""What the grid says beyond its table: which differences the tests support, and what a mode is worth in labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.equivalence import equivalent_labels
from pipeline.evaluation.statistics import Interval, holm, mean_interval
from pipeline.modes import MODES
from pipeline.report.evidence import Counts, Evidence, Run
from pipeline.report.terminal import percent, with_half_width

SIGNIFICANCE = 0.05
REFERENCE = "scratch"  # whose labels the others are measured in
COMMONEST = 5  # confusions


@dataclass(frozen=True)
class Claim:
    """That one mode errs less than another on the test set, at one budget.

    Attributes:
        labels: Label budget.
        first: Mode whose error is the minuend.
        second: Mode whose error is subtracted.
        draws: Pairs of runs.
        mean: First minus second in E_out.
        low: Limit of the interval; None for a single draw.
        high: The other limit.
        points: Mean and half width, in percentage points.
        p_value: Of the sign-flip test.
        corrected: The same after Holm's correction for all claims of the report.
    """

    labels: int
    first: str
    second: str
    draws: int
    mean: float
    low: float | None
    high: float | None
    points: str
    p_value: float
    corrected: float

    @property
    def name(self) -> str:
        """What is compared."""
        return f"{self.first} - {self.second}"

    @property
    def supported(self) -> bool:
        """Whether interval and corrected test both say so."""
        apart = self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
        return apart and self.corrected <= SIGNIFICANCE

    @property
    def better(self) -> str:
        """The mode that errs less, where that may be said after looking at all the claims."""
        if not self.supported:
            return "neither"
        return self.first if self.mean < 0 else self.second


def claims(comparison: dict[str, Any]) -> list[Claim]:
    """Every paired difference in E_out, their p values corrected as one family."""
    rows = [row for row in comparison["paired"] if row["quantity"] == "e_out"]
    corrected = holm([row["p_value"] for row in rows])
    return [
        Claim(
            labels=row["labels"],
            first=row["first"],
            second=row["second"],
            draws=row["draws"],
            **row["difference"],
            points=with_half_width(row["difference"]),
            p_value=row["p_value"],
            corrected=value,
        )
        for row, value in zip(rows, corrected, strict=True)
    ]


def how_many_supported(claims: Sequence[Claim]) -> str:
    """In a word."""
    supported = sum(claim.supported for claim in claims)
    return {0: "none", len(claims): "all"}.get(supported, str(supported))


def draws_needed(count: int) -> int:
    """With how many draws the least p value that sign flips can have survives a correction for that many claims."""
    return math.ceil(math.log2(2 * count / SIGNIFICANCE))


# --- what a mode is worth in labels ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Worth:
    """What labels buy in one mode, in labels of the reference.

    Attributes:
        labels: The mode's budget.
        mode: Its name.
        equivalent: Labels of the reference; 0 and infinity stand for what lies outside its budgets.
    """

    labels: int
    mode: str
    equivalent: Interval

    @property
    def limits(self) -> list[float]:
        """Of the interval; none for a single draw."""
        return [limit for limit in (self.equivalent.low, self.equivalent.high) if limit is not None]


def worths(evidence: Evidence) -> list[Worth]:
    """Of every mode beside the reference, if the grid has the reference at two budgets or more."""
    errors = _errors_by_draw(evidence.rows)
    budgets = sorted(labels for labels, mode in errors if mode == REFERENCE)
    if len(budgets) < 2:
        return []
    reference = list(zip(*(errors[labels, REFERENCE] for labels in budgets), strict=True))
    return [
        Worth(labels, mode, equivalent_labels(budgets, reference, values, evidence.comparison["level"]))
        for (labels, mode), values in errors.items()
        if mode in MODES and mode != REFERENCE
    ]


def _errors_by_draw(rows: Sequence[dict[str, str]]) -> dict[tuple[int, str], list[float]]:
    errors: dict[tuple[int, str], list[float]] = {}
    for row in rows:  # in the order of draws
        errors.setdefault((int(row["labels"]), row["mode"]), []).append(float(row["e_out"]))
    return errors


def in_words(labels: float, budgets: Sequence[int]) -> str:
    """A number of labels, or on which side of the measured budgets it lies."""
    if labels == 0:
        return f"under {min(budgets)}"
    return f"over {max(budgets)}" if math.isinf(labels) else f"{labels:.0f}"


# --- early stopping -------------------------------------------------------------------------------------------


def cost_of_training_on(cells: Sequence[Run]) -> Interval:
    """Validation error after the last epoch less that at the selected one, over the draws."""
    return mean_interval([cell.e_val[-1] - cell.e_val[cell.best_epoch - 1] for cell in cells])


# --- confusions -----------------------------------------------------------------------------------------------


def commonest(confusion: Counts, names: Sequence[str]) -> list[str]:
    """The commonest confusions in words, with their share of the true class.

    Args:
        confusion: Counts, shape (classes, classes): true class by row, predicted by column.
        names: Of the classes.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    places = np.argsort(-wrong, axis=None, kind="stable")[:COMMONEST]
    pairs = [divmod(int(place), len(names)) for place in places]
    return [
        f"{names[true]} → {names[given]} ({percent(wrong[true, given] / confusion[true].sum())} %)"
        for true, given in pairs
        if wrong[true, given]
    ]
