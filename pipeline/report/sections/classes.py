"""Section "Which classes it gets wrong": recall and precision of each class, and errors that count classes alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.artefacts.results import UNEVEN
from pipeline.report.blocks import Column, Section, Table, Text, numbers
from pipeline.report.drawing import Floats
from pipeline.report.evidence import Counts, Evidence, MeasuredCell
from pipeline.report.formats import mean_with_half_width, percent, with_half_width
from pipeline.report.mode_table import mode_table


def which_classes(evidence: Evidence) -> Section:
    """Return the section."""
    return Section(
        "classes",
        "Which classes it gets wrong",
        "Classes",
        [
            Text(
                "Of the images of a class, recall is the share that the classifier finds; of the images that it calls "
                "by the class's name, precision is the share that are of it. E_out counts images, so that a large "
                "class can hide a small one: whoever always answers with the class of 95 images in 100 errs in 5 % and "
                f"finds none of the others. The balanced error counts every class the same. {_say_unevenness(evidence)}"
            ),
            _modes_table(evidence),
            _classes_table(evidence),
        ],
    )


def _say_unevenness(evidence: Evidence) -> str:
    ratio = evidence.comparison["unevenness"]
    start = f"Here the largest class of the test set has {ratio:.1f} times as many images as the smallest"
    if ratio >= UNEVEN:
        return f"{start}: look at the balanced error first."
    return f"{start}, so that both say nearly the same."


def _modes_table(evidence: Evidence) -> Table:
    return mode_table(
        "Test images, in %, mean over the draws ± half of the interval. Macro F1 is the mean over the classes of the "
        "harmonic mean of precision and recall; the more, the better. The worst class is the one with the least recall "
        "over all draws.",
        evidence.firsts,
        (*numbers("E_out", "Balanced error", "Macro F1"), Column("Worst class", "words")),
        lambda cell: _mode_values(evidence, cell),
    )


def _mode_values(evidence: Evidence, cell: MeasuredCell) -> tuple[str, ...]:
    summary = evidence.summary(cell.labels, cell.mode)
    return (
        with_half_width(summary["e_out"]),
        with_half_width(summary["balanced"]),
        mean_with_half_width(_macro_f1(evidence, cell)),
        _worst(evidence, cell),
    )


def _macro_f1(evidence: Evidence, first: MeasuredCell) -> list[float]:
    mine = [row for row in evidence.rows if (int(row["labels"]), row["mode"]) == (first.labels, first.mode)]
    return [float(row["macro_f1"]) for row in mine]


def _worst(evidence: Evidence, cell: MeasuredCell) -> str:
    recall, precision = _shares(evidence.confusion(cell.labels, cell.mode))
    worst = int(np.nanargmin(recall))
    name = evidence.card["classes"][worst]
    return f"{name}: recall {percent(recall[worst], 1)} %, precision {percent(precision[worst], 1)} %"


def _classes_table(evidence: Evidence) -> Table:
    largest = max(cell.labels for cell in evidence.firsts)
    modes = [cell.mode for cell in evidence.firsts if cell.labels == largest]
    shares = [_shares(evidence.confusion(largest, mode)) for mode in modes]
    columns = (
        Column("Class"),
        Column("Test images", "number"),
        *(Column(mode, "number") for mode in modes),
    )
    rows = [
        (name, str(evidence.card["test_per_class"][number]), *_in_words(shares, number))
        for number, name in enumerate(evidence.card["classes"])
    ]
    return Table(f"{largest} labels, all draws: recall / precision of each class, in %.", columns, rows)


def _in_words(shares: Sequence[tuple[Floats, Floats]], number: int) -> list[str]:
    """Return recall and precision of a class in each mode, in words."""
    return [
        f"{percent(recall[number], 1)} / {percent(precision[number], 1)}" if np.isfinite(recall[number]) else "none"
        for recall, precision in shares
    ]


def _shares(confusion: Counts) -> tuple[Floats, Floats]:
    """Return recall, NaN for a class without images, and precision, each of shape (classes,)."""
    right = confusion.diagonal()
    with np.errstate(invalid="ignore"):
        recall = right / confusion.sum(1)
    return recall, right / np.maximum(confusion.sum(0), 1)
