"""Which differences in E_out may be claimed, after looking at all of them; several sections speak of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.artefacts.results import Comparison, IntervalRecord, PairedRow
from pipeline.evaluation.statistics import holm
from pipeline.report.formats import with_half_width

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Claim:
    """One mode errs less than another on the test set, at one budget.

    Attributes:
        row: The paired difference, as the comparison holds it.
        corrected: The p value of its sign-flip test after Holm's correction for all claims of the report.
    """

    row: PairedRow
    corrected: float

    @property
    def labels(self) -> int:
        """The label budget."""
        return self.row["labels"]

    @property
    def name(self) -> str:
        """Both modes, as a difference: "first - second"."""
        return f"{self.row['first']} - {self.row['second']}"

    @property
    def points(self) -> str:
        """The mean difference and half of its interval, in percentage points."""
        return with_half_width(self.row["difference"])

    @property
    def supported(self) -> bool:
        """Whether the interval and the corrected test both say that the two differ."""
        return excludes_zero(self.row["difference"]) and self.corrected <= SIGNIFICANCE

    @property
    def better(self) -> str:
        """The mode that errs less, or "neither" where that may not be claimed."""
        if not self.supported:
            return "neither"
        return self.row["first"] if self.row["difference"]["mean"] < 0 else self.row["second"]


def claims_of(comparison: Comparison) -> list[Claim]:
    """Return every paired difference in E_out, with p values corrected as one family."""
    rows = [row for row in comparison["paired"] if row["quantity"] == "e_out"]
    corrected = holm([row["p_value"] for row in rows])
    return [Claim(row, value) for row, value in zip(rows, corrected, strict=True)]


def excludes_zero(difference: IntervalRecord) -> bool:
    """Return whether an interval lies on one side of 0; that of a single draw, which has no limits, does not."""
    low, high = difference["low"], difference["high"]
    return low is not None and high is not None and (low > 0 or high < 0)


def how_many_supported(claims: Sequence[Claim]) -> str:
    """Return "none", "all", or their number."""
    supported = sum(claim.supported for claim in claims)
    if supported == 0:
        return "none"
    return "all" if supported == len(claims) else str(supported)


def draws_needed(count: int) -> int:
    """Return the number of draws with which the test's least p value survives the correction for so many claims."""
    return math.ceil(math.log2(2 * count / SIGNIFICANCE))


def find_pair(comparison: Comparison, labels: int, first: str, second: str) -> PairedRow | None:
    """Return the difference of two modes' E_out, first minus second, whichever way round the comparison holds it."""
    for row in comparison["paired"]:
        if row["labels"] != labels or row["quantity"] != "e_out":
            continue
        if (row["first"], row["second"]) == (first, second):
            return row
        if (row["first"], row["second"]) == (second, first):
            return _turned_round(row)
    return None


def _turned_round(row: PairedRow) -> PairedRow:
    """Return the difference of second minus first."""
    mean, low, high = row["difference"]["mean"], row["difference"]["low"], row["difference"]["high"]
    return {
        **row,
        "first": row["second"],
        "second": row["first"],
        "difference": {
            "mean": 0.0 - mean,
            "low": None if high is None else 0.0 - high,
            "high": None if low is None else 0.0 - low,
        },
        "first_better": row["second_better"],
        "second_better": row["first_better"],
    }
