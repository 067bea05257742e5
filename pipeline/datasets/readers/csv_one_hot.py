"""Refusing CSV files of pixels whose labels are one-hot: a column for each class, one of which each row marks by 1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pipeline.datasets.text_table import TextTable
from pipeline.errors import PipelineError


def refuse_one_hot(table: TextTable, label: int | None, index: int | None, size: int | None) -> None:
    """Refuse one-hot columns at the beginning or the end of the rows: as pixels, they would tell the class.

    Args:
        table: A table of pixels.
        label: The column that is known to hold the labels.
        index: The column that counts or names the rows.
        size: The number of pixels of an image; None takes images to be square. If the label is known and the other
            columns make an image of this size, they are taken to be pixels, whatever they hold.

    Raises:
        PipelineError: If there are such columns; the message has a command that makes one column of labels of them.
    """
    others = [number for number in range(table.columns) if number not in (label, index)]
    if label is not None and len(others) == size:
        return
    sample = [cells for cells in table.sample if len(cells) == table.columns]  # others are refused later
    # what is first or last among them may be a column of labels that nobody has named
    for columns in (others, others[::-1], others[1:], others[-2::-1]):
        if _widths(sample, columns) and (widths := _widths((cells for _, cells in table.rows()), columns, 2)):
            width = next((w for w in widths if fits(len(columns) - w, size)), widths[0])
            first, last = sorted((columns[0], columns[width - 1]))
            has_label = label is not None or len(columns) < len(others) or fits(len(columns) - width - 1, size)
            raise PipelineError(
                f"labels: columns {first} to {last}, counted from 0, of {table.path} are one-hot, 1 in one of them and "
                f"0 in the others, and no pixels. {_remedy(table, first, last + 1, index, has_label)}"
            )


def fits(pixels: int, size: int | None) -> bool:
    """Whether this number of pixels makes an image of the size, or a square one if there is no size."""
    return pixels == size if size else pixels > 0 and math.isqrt(pixels) ** 2 == pixels


def _widths(rows: Iterable[Sequence[str]], columns: Sequence[int], least: int = 1) -> range:
    """Return how many of the first of these columns may be one-hot in all rows; an empty range if they are not.

    Each row has a 1 as the first of its numbers that are not 0; the one-hot columns end after the last of these 1s, and
    before the next number that is not 0 in any row. At least so many different columns have to hold a 1.
    """
    marked, end, count = set[int](), len(columns), 0
    for cells in rows:
        places = (place for place, number in enumerate(columns) if _value(cells[number]) != 0)
        first = next(places, None)
        if first is None or _value(cells[columns[first]]) != 1:
            return range(0)
        marked.add(first)
        end, count = min(end, next(places, end)), count + 1
        if max(marked) >= end:
            return range(0)
    enough = len(marked) >= least and (least == 1 or count > len(marked))
    return range(max(marked) + 1, end + 1) if enough else range(0)


def _value(cell: str) -> float:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return math.nan


def _remedy(table: TextTable, start: int, stop: int, index: int | None, has_label: bool) -> str:
    """Return the command that replaces the columns from ``start`` to ``stop`` by one, or only takes them out."""
    if has_label:
        return "They tell the class beside the column of labels: take them out of the file"
    skipped = int(index == 0)
    options = [repr(str(table.path)), f"delimiter={table.delimiter!r}"]
    options += ["skiprows=1"] if table.names is not None else []
    options += [f"usecols=range(1, {table.columns})"] if skipped else []
    found, target = f"{start - skipped}:{stop - skipped}", f"{table.path.name.split('.')[0]}-labelled.csv"
    command = (
        f"import numpy as np; t = np.loadtxt({', '.join(options)}); np.savetxt({target!r}, "
        f"np.c_[t[:, {found}].argmax(1), np.delete(t, np.s_[{found}], 1)], '%g', ',')"
    )
    return f'Make them one column of labels: `python -c "{command}"`, and read {target} with data.args.label 0'
