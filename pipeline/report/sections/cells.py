"""Section "Every cell": results.csv as a table."""

from __future__ import annotations

from pipeline.report.anchors import cell_anchor
from pipeline.report.blocks import Column, Section, Table, numbers
from pipeline.report.evidence import Evidence
from pipeline.report.formats import percent


def every_cell(evidence: Evidence) -> Section:
    """Return the section."""
    return Section("cells", "Every cell", "Every cell", [_table(evidence)])


def _table(evidence: Evidence) -> Table:
    columns = (
        Column("Labels", "number"),
        Column("Mode"),
        *numbers("Draw", "Encoder", "n_train", "n_val", "n_test", "E_in", "E_val", "E_out"),
        Column("Counted in", "words"),
        *numbers("Kept", "Last", "Seconds"),
        Column("Cell", "code"),
    )
    rows = [
        (
            row["labels"],
            row["mode"],
            *(row[name] for name in ("seed", "encoder", "n_train", "n_val", "n_test")),
            *(percent(float(row[name])) if row[name] else "" for name in ("e_in", "e_val", "e_out")),
            row["unit"],
            *(f"{float(row[name]):g}" if row[name] else "" for name in ("kept", "last")),
            f"{float(row['seconds']):.1f}",
            row["cell"],
        )
        for row in evidence.rows
    ]
    return Table(
        "Every cell, one training of one classifier each: errors in %, rounded; all digits are in results.csv. "
        "Metrics, curve, predictions and weights of a cell lie in its folder, beside this report.",
        columns,
        rows,
        anchors=[cell_anchor(row["labels"], row["mode"], row["seed"]) for row in evidence.rows],
        sortable=True,
    )
