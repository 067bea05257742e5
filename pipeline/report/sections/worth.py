"""Section "What a mode is worth in labels": how many labels training from scratch would need to err as little."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.evaluation.equivalence import equivalent_labels
from pipeline.report.blocks import Section, Table, Text, numbers
from pipeline.report.evidence import Evidence, MeasuredCell
from pipeline.report.mode_table import mode_table

REFERENCE = "scratch"  # the mode whose labels the others are measured in


def worth(evidence: Evidence) -> Section | None:
    """Return the section; None where training from scratch was not measured at two budgets or more."""
    budgets = sorted({cell.labels for cell in evidence.cells if cell.mode == REFERENCE})
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
            _table(evidence, budgets),
        ],
    )


def _table(evidence: Evidence, budgets: Sequence[int]) -> Table:
    reference = [evidence.errors(labels, REFERENCE) for labels in budgets]

    def values(cell: MeasuredCell) -> tuple[str, str]:
        found = equivalent_labels(budgets, reference, evidence.errors(cell.labels, cell.mode))
        limits = [_in_words(limit, budgets) for limit in (found.low, found.high) if limit is not None]
        # both limits may lie on the same side of the budgets
        return _in_words(found.mean, budgets), " to ".join(dict.fromkeys(limits))

    return mode_table(
        "Labels with which training from scratch errs as little on the test set. Interpolated between the budgets "
        f"{', '.join(map(str, budgets))}, linearly in the logarithm of the number of labels; beyond them nothing is "
        "said. The interval holds the numbers at which the two cannot be told apart.",
        [cell for cell in evidence.firsts if cell.mode != REFERENCE],
        numbers("Labels from scratch", "95 % interval"),
        values,
    )


def _in_words(labels: float, budgets: Sequence[int]) -> str:
    """Return a number of labels, or on which side of the measured budgets it lies."""
    if labels == 0:
        return f"under {min(budgets)}"
    return f"over {max(budgets)}" if math.isinf(labels) else f"{labels:.0f}"
