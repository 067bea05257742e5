"""Tables of the report with a line for each mode at each budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.report.anchors import mode_anchor
from pipeline.report.blocks import Column, Table
from pipeline.report.evidence import MeasuredCell


def mode_table(
    caption: str,
    cells: Sequence[MeasuredCell],
    columns: Sequence[Column],
    values: Callable[[MeasuredCell], Sequence[str]],
) -> Table:
    """Return a table that begins with budget and mode, whose name leads to its card.

    Args:
        caption: What the table shows, and in which unit.
        cells: The first cell of each mode at each budget.
        columns: The other columns.
        values: Returns the texts of the other columns for such a cell.
    """
    return Table(
        caption,
        (Column("Labels", "number"), Column("Mode", "link"), *columns),
        [(str(cell.labels), cell.mode, *values(cell)) for cell in cells],
        links=[mode_anchor(cell.labels, cell.mode) for cell in cells],
    )
