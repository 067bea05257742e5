"""Section "What a mode is worth in labels": how many labels training from scratch would need to err as little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.equivalence import equivalent_labels
from pipeline.evaluation.statistics import Interval
from pipeline.modes import MODES
from pipeline.report.anchors import mode_anchor
from pipeline.report.blocks import Column, Section, Table, Text
from pipeline.report.evidence import Evidence

REFERENCE = "scratch"  # the mode whose labels the others are measured in


def worth(evidence: Evidence) -> Section | None:
    """Return the section; None where training from scratch was not measured at two budgets or more."""
    errors = _errors_by_draw(evidence.rows)
    budgets = sorted(labels for labels, mode in errors if mode == REFERENCE)
    if len(budgets) < 2:
        return None
    return Section(
        "worth",
        "What a mode is worth in labels",
        "Worth in labels",
        [
            Text(
                "Another way to say how much a mode gains: how many labels would training from scratch need to err as "
                "little as the mode does with its few?"
            ),
            _table(_worths(errors, budgets, evidence.comparison["level"]), budgets, evidence.comparison["level"]),
        ],
    )


@dataclass(frozen=True)
class _Worth:
    """What a mode's labels are worth, in labels of the reference.

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
        """The limits of the interval; none for a single draw."""
        return [limit for limit in (self.equivalent.low, self.equivalent.high) if limit is not None]


def _worths(errors: dict[tuple[int, str], list[float]], budgets: Sequence[int], level: float) -> list[_Worth]:
    reference = list(zip(*(errors[labels, REFERENCE] for labels in budgets), strict=True))
    return [
        _Worth(labels, mode, equivalent_labels(budgets, reference, values, level))
        for (labels, mode), values in errors.items()
        if mode in MODES and mode != REFERENCE
    ]


def _errors_by_draw(rows: Sequence[dict[str, str]]) -> dict[tuple[int, str], list[float]]:
    errors: dict[tuple[int, str], list[float]] = {}
    for row in rows:  # in the order of draws
        errors.setdefault((int(row["labels"]), row["mode"]), []).append(float(row["e_out"]))
    return errors


def _table(worths: Sequence[_Worth], budgets: Sequence[int], level: float) -> Table:
    columns = (
        Column("Labels", "number"),
        Column("Mode", "link"),
        Column("Labels from scratch", "number"),
        Column(f"{100 * level:.0f} % interval", "number"),
    )
    return Table(
        "Labels with which training from scratch errs as little on the test set. Interpolated between the budgets "
        f"{', '.join(map(str, budgets))}, draw by draw, linearly in the logarithm of the number of labels; beyond them "
        "nothing is said. The interval holds the numbers at which the draws do not tell the two apart.",
        columns,
        [
            (
                str(worth.labels),
                worth.mode,
                _in_words(worth.equivalent.mean, budgets),
                " to ".join(dict.fromkeys(_in_words(limit, budgets) for limit in worth.limits)),
            )
            for worth in worths
        ],
        links=[mode_anchor(worth.labels, worth.mode) for worth in worths],
    )


def _in_words(labels: float, budgets: Sequence[int]) -> str:
    """A number of labels, or on which side of the measured budgets it lies."""
    if labels == 0:
        return f"under {min(budgets)}"
    return f"over {max(budgets)}" if math.isinf(labels) else f"{labels:.0f}"
