"""Which differences in E_out may be claimed, after looking at all of them; several sections speak of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.artefacts.results import Comparison
from pipeline.evaluation.statistics import holm
from pipeline.report.formats import with_half_width

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Claim:
    """One mode errs less than another on the test set, at one budget.

    Attributes:
        labels: Label budget.
        first: The mode whose error the other's is subtracted from.
        second: The other mode.
        draws: Number of pairs of cells.
        mean: E_out of the first minus that of the second, between -1 and 1.
        low: Lower limit of its interval; None for a single draw.
        high: Upper limit of its interval; None for a single draw.
        points: Mean and half of the interval as text, in percentage points.
        p_value: The p value of the sign-flip test.
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
        """What is subtracted from what."""
        return f"{self.first} - {self.second}"

    @property
    def supported(self) -> bool:
        """Whether the interval and the corrected test both say that the two differ."""
        apart = self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
        return apart and self.corrected <= SIGNIFICANCE

    @property
    def better(self) -> str:
        """The mode that errs less, or "neither" where that may not be claimed."""
        if not self.supported:
            return "neither"
        return self.first if self.mean < 0 else self.second


def claims_of(comparison: Comparison) -> list[Claim]:
    """Return every paired difference in E_out, with p values corrected as one family."""
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
    """Return "none", "all", or their number."""
    supported = sum(claim.supported for claim in claims)
    if supported == 0:
        return "none"
    return "all" if supported == len(claims) else str(supported)


def draws_needed(count: int) -> int:
    """Return the number of draws with which the test's least p value survives the correction for so many claims."""
    return math.ceil(math.log2(2 * count / SIGNIFICANCE))
