"""Section "Mode by mode": how the first draw learnt, what is confused with what, and where training stopped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.report.blocks import Column, Custom, Heading, Section, Table, Text, numbers
from pipeline.report.evidence import Counts, Evidence, MeasuredCell
from pipeline.report.formats import mean_with_half_width, percent
from pipeline.report.mode_table import mode_table
from pipeline.report.sections.mode_cards import mode_cards

COMMONEST = 5  # confusions in a row of the table

_SELECTED = (
    "The measurement that is kept is the last one whose validation loss is within a standard error of the lowest; "
    "those in the shade came after it."
)
_NOT_SELECTED = "No label was left for validation, so there is no E_val, and the last measurement is kept."


def mode_by_mode(evidence: Evidence) -> Section:
    """Return the section with a card for each mode and budget, and two tables."""
    cards, atlas = mode_cards(evidence)
    return Section(
        "modes",
        "Mode by mode",
        "Mode by mode",
        [
            Text(
                "Learning curves and mistakes are those of the first draw; confusions are of all draws. "
                f"{_SELECTED if evidence.validates else _NOT_SELECTED} Where the head is fitted first, the curve "
                "begins after that."
            ),
            Custom("modes.html.jinja", {"cards": cards, "atlas": atlas}),
            Heading("What is confused with what"),
            _confusions_table(evidence),
            Heading("Where training stopped"),
            _kept_table(evidence),
        ],
    )


def _confusions_table(evidence: Evidence) -> Table:
    def confusions(cell: MeasuredCell) -> list[str]:
        found = commonest(evidence.confusion(cell.labels, cell.mode), evidence.card["classes"])
        return [", ".join(found) or "none"]

    return mode_table(
        "Test images of all draws, true class → predicted class, in % of the true class.",
        evidence.firsts,
        [Column("Commonest confusions", "words")],
        confusions,
    )


def commonest(confusion: Counts, names: Sequence[str]) -> list[str]:
    """Return the commonest confusions in words, with their share of the true class.

    The counts have the shape (classes, classes): true class by row, predicted class by column.
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


def _kept_table(evidence: Evidence) -> Table:
    validation = numbers("E_val there", "E_val at the last", "All draws: E_val, last - kept")
    columns = (
        *numbers("Kept", "Last", "E_in there"),
        *(validation if evidence.validates else ()),
        Column("Stopped early", "number"),
        Column("Cell", "code"),
    )
    return mode_table(_kept_caption(evidence), evidence.firsts, columns, lambda cell: _kept_values(evidence, cell))


def _kept_caption(evidence: Evidence) -> str:
    if not evidence.validates:
        return (
            "First draw: the measurement that was kept, which is the last, and the error on the labels in %. Of a head "
            "that is fitted to convergence, it is the strength of its penalty (l2)."
        )
    kept = "and repeated on all labels" if evidence.cross_validates else "whose weights the classifier has"
    return (
        f"First draw: the measurement that was kept, {kept}, and errors in %. Of a training in steps that is the last "
        "one whose validation loss is within a standard error of the lowest; of a head that is fitted to convergence, "
        "the strength of its penalty (l2) with the lowest. What would have happened otherwise is the validation error "
        "at the last measurement less that at the kept one, in percentage points, over all draws. Test errors were not "
        "measured there. Stopped early: draws that ended before their time."
    )


def _kept_values(evidence: Evidence, first: MeasuredCell) -> tuple[str, ...]:
    draws = evidence.draws(first.labels, first.mode)
    validation: tuple[str, ...] = ()
    if evidence.validates:
        cost = mean_with_half_width([cell.e_val[-1] - cell.e_val[cell.kept] for cell in draws])
        validation = (percent(first.e_val[first.kept]), percent(first.e_val[-1]), cost)
    return (
        f"{first.unit} {first.places[first.kept]:g}",
        f"{first.unit} {first.places[-1]:g}",
        percent(first.e_in[first.kept]),
        *validation,
        f"{sum(cell.stopped_early for cell in draws)} of {len(draws)}",
        first.folder,
    )
