"""Section "Comparison": the errors of every mode and classical baseline at every budget."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.artefacts.results import Comparison, SummaryRow, flags_of
from pipeline.modes import BASELINES, find_mode
from pipeline.report.anchors import cell_anchor, mode_anchor
from pipeline.report.blocks import Column, Section, Table, Terms, Text, numbers
from pipeline.report.evidence import Evidence
from pipeline.report.formats import percent, with_half_width


def comparison(evidence: Evidence) -> Section:
    """Return the section with the main table."""
    found = evidence.comparison
    names = list(dict.fromkeys(row["mode"] for row in found["summary"]))
    return Section(
        "comparison",
        "Comparison",
        "Comparison",
        [
            Text(
                "E_in is the share of the training labels that a classifier gets wrong, E_out the share of the test "
                "images, which it never saw while it was trained or chosen. The gap between the two is what it lost by "
                "learning its few examples by heart. What counts is E_out."
            ),
            _table(found),
            Terms([(name, describe_mode(name)) for name in names]),
        ],
    )


def describe_mode(name: str) -> str:
    """Return a few words on a mode or a classical baseline."""
    return f"classical baseline: {BASELINES[name]}" if name in BASELINES else find_mode(name).summary


def _table(comparison: Comparison) -> Table:
    columns = (
        Column("Labels", "number"),
        Column("Mode", "link"),
        *numbers("E_in", "E_out", "Gap"),
        Column("To be trusted"),
        *numbers("Draws", "Encoders", "One cell's E_out", "Clopper-Pearson", "Hoeffding"),
        Column("That cell", "code"),
    )
    rows = [
        (
            str(row["labels"]),
            row["mode"],
            *(with_half_width(each) for each in (row["e_in"], row["e_out"], row["gap"])),
            _trust(comparison, row),
            str(row["draws"]),
            str(row["encoders"]),
            percent(row["one_run"]["errors"] / row["one_run"]["n"]),
            _limits(row["one_run"]["clopper_pearson"]),
            _limits(row["one_run"]["hoeffding"]),
            row["one_run"]["cell"],
        )
        for row in comparison["summary"]
    ]
    return Table(
        "Errors in %: mean over the draws ± half of the 95 % interval (none for a single draw), which counts all "
        "that was repeated: draws of the labels, test images, pretrained encoders. Gap: E_out - E_in, in percentage "
        "points. To be trusted: no, where what was measured of the training gives reason to doubt that it was long or "
        "good enough. A cell is one training of one classifier. The last columns are about one cell alone, the first "
        "draw: the true error of that very classifier lies within either pair of bounds with 95 % confidence; "
        "Hoeffding's holds whatever the images are, and is wider.",
        columns,
        rows,
        links=[_link(row) for row in comparison["summary"]],
        sortable=True,
    )


def _trust(comparison: Comparison, row: SummaryRow) -> str:
    """Say "yes", or why not; nothing for a classical baseline, which is not examined."""
    if row["mode"] in BASELINES:
        return ""
    flags = flags_of(comparison, row["labels"], row["mode"])
    return f"no: {', '.join(flag['kind'] for flag in flags)}" if flags else "yes"


def _limits(limits: Sequence[float]) -> str:
    return f"{percent(limits[0])} to {percent(limits[1])}"


def _link(row: SummaryRow) -> str:
    """Return where the row's name leads: to the mode's card, or, for a baseline, to its row among all cells."""
    if row["mode"] in BASELINES:
        return cell_anchor(row["labels"], row["mode"], 0)
    return mode_anchor(row["labels"], row["mode"])
