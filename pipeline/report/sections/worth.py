"""Section "What a mode is worth in labels": how many labels training from scratch would need to err as little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.crossed import Interval
from pipeline.evaluation.equivalence import equivalent_labels
from pipeline.report.anchors import mode_anchor
from pipeline.report.blocks import Column, Section, Table, Text
from pipeline.report.evidence import Evidence

REFERENCE = "scratch"  # the mode whose labels the others are measured in


def worth(evidence: Evidence) -> Section | None:
    """Return the section; None where training from scratch was not measured at two budgets or more."""
    budgets = sorted({cell.labels for cell in evidence.cells if cell.mode == REFERENCE})
    if len(budgets) < 2:
        return None
    level = evidence.comparison["level"]
    return Section(
        "worth",
        "What a mode is worth in labels",
        "Worth in labels",
        [
            Text(
                "Another way to say how much a mode gains: how many labels would training from scratch need to err as "
                "little as the mode does with its few?"
            ),
            _table(_worths(evidence, budgets, level), budgets, level),
        ],
    )


@dataclass(frozen=True)
class _Worth:
    """The worth of a mode's labels, in labels of the reference.

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


def _worths(evidence: Evidence, budgets: Sequence[int], level: float) -> list[_Worth]:
    reference = [evidence.errors(labels, REFERENCE) for labels in budgets]
    return [
        _Worth(
            cell.labels,
            cell.mode,
            equivalent_labels(budgets, reference, evidence.errors(cell.labels, cell.mode), level),
        )
        for cell in evidence.firsts
        if cell.mode != REFERENCE
    ]


def _table(worths: Sequence[_Worth], budgets: Sequence[int], level: float) -> Table:
    columns = (
        Column("Labels", "number"),
        Column("Mode", "link"),
        Column("Labels from scratch", "number"),
        Column(f"{100 * level:.0f} % interval", "number"),
    )
    return Table(
        "Labels with which training from scratch errs as little on the test set. Interpolated between the budgets "
        f"{', '.join(map(str, budgets))}, linearly in the logarithm of the number of labels; beyond them nothing is "
        "said. The interval holds the numbers at which the two cannot be told apart.",
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
    """Return a number of labels, or on which side of the measured budgets it lies."""
    if labels == 0:
        return f"under {min(budgets)}"
    return f"over {max(budgets)}" if math.isinf(labels) else f"{labels:.0f}"
