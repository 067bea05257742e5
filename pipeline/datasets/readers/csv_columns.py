"""Finding the columns of the labels, of the rows' numbers, and of the pixels in a CSV file of images."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass

from pipeline.datasets.text_table import INDEX_NAMES, LABEL_NAMES, TextTable, counts_up, is_number, open_text
from pipeline.errors import PipelineError

Label = str | int | None  # the name of the labels' column, or its number from 0; None if it has to be found


@dataclass(frozen=True)
class Columns:
    """The numbers, from 0, of the columns of a table of pixels.

    Attributes:
        label: The column of the labels; None if there is none.
        index: The column that counts or names the rows; None if there is none.
        pixels: The columns of the pixels, in the order in which they make an image.
    """

    label: int | None
    index: int | None
    pixels: list[int]


def find_columns(table: TextTable, label: Label, size: int | None, needs_labels: bool) -> Columns:
    """Find the columns of a table of pixels.

    Args:
        table: The table.
        label: The column of the labels; None finds it.
        size: The number of pixels of an image; None takes images to be square.
        needs_labels: Whether a table that clearly has no labels is refused, too.

    Raises:
        PipelineError: If there is no column of labels, or it is not clear which column it is.
    """
    index = _index_column(table, size)
    if isinstance(label, int):
        if not 0 <= label < table.columns:
            raise PipelineError(
                f"data.args.label: {table.path} has no column {label}; expected 0 to {table.columns - 1}"
            )
        found: int | None = label
    elif label is not None or table.has_words:
        found = _named_label(table, label, index)
    else:
        found = _unnamed_label(table, index, size)
    if found is None and needs_labels:
        raise _no_label(table, label)
    return Columns(found, index, _in_order(table, [n for n in range(table.columns) if n not in (found, index)]))


def _no_label(table: TextTable, label: Label) -> PipelineError:
    shown = f"named {', '.join(table.names[:2])}, ..., {table.names[-1]}" if table.names else "without names"
    return PipelineError(
        f"data.args.label: {table.path} has no column {label or 'label'!r}; it has {table.columns} columns {shown}. "
        "Name the labels' column, or give its number from 0; images without labels are data.args.unlabelled"
    )


def _index_column(table: TextTable, size: int | None) -> int | None:
    """Return the column that counts the rows; one without a name is taken only if the image is square without it."""
    if table.names is not None and not table.names[0]:
        return 0
    if table.has_words:
        return table.find(INDEX_NAMES)
    is_one = counts_up(table.column(0)) and not _fits(table.columns - 1, size) and _fits(table.columns - 2, size)
    return 0 if is_one else None


def _named_label(table: TextTable, label: str | None, index: int | None) -> int | None:
    if table.names is None or (label is not None and label not in table.names):
        return None
    if label is not None:
        return table.names.index(label)
    found = table.find(LABEL_NAMES)
    if found is not None:
        return found
    plain = [n for n, name in enumerate(table.names) if n != index and not re.search(r"\d", name)]
    if len(plain) > 1:
        raise _no_label(table, label)
    return plain[0] if plain else None


def _unnamed_label(table: TextTable, index: int | None, size: int | None) -> int | None:
    """Find the labels among columns without names: one with words, or the first or last; None if all are pixels."""
    words = [n for n in range(table.columns) if n != index and not all(is_number(c) for c in table.column(n) if c)]
    if len(words) == 1:
        return words[0]
    first, last = int(index == 0), table.columns - 1
    if _fits(last + 1 - first, size) and not _fits(last - first, size):
        return None
    ends = {first: set[str](), last: set[str]()}
    with open_text(table.path, table.encoding) as file:
        for line in itertools.islice(file, int(table.names is not None), None):
            if line.strip():
                ends[first].add(line.split(table.delimiter, first + 1)[first].strip(' "\n'))
                ends[last].add(line.rpartition(table.delimiter)[2].strip(' "\n'))
    brightest = max((float(c) for n in range(first + 1, last) for c in table.column(n) if is_number(c)), default=0)
    kinds = {number: _kind(cells, brightest) for number, cells in ends.items()}
    if kinds[first] == kinds[last] != "other":
        raise PipelineError(
            f"data.args.label: the labels of {table.path} may be in the first or in the last column; name it "
            f"({first} or {last})"
        )
    return last if _KINDS.index(kinds[last]) < _KINDS.index(kinds[first]) else first


_KINDS = ("labels", "labels or pixels", "other")  # the most certain first


def _kind(cells: set[str], brightest: float) -> str:
    """Say what a column may hold, from its distinct cells: labels count from 0 or 1 without a gap."""
    numbers = sorted(int(cell) for cell in cells if re.fullmatch(r"\d+", cell))
    if (
        len(numbers) < len(cells - {"", "-1"})
        or len(numbers) < 2
        or numbers[0] > 1
        or numbers[-1] - numbers[0] >= len(numbers)
    ):
        return "other"
    return "labels or pixels" if numbers[-1] == brightest else "labels"


def _fits(pixels: int, size: int | None) -> bool:
    """Whether this number of pixels makes an image of the size, or a square one if there is no size."""
    return pixels == size if size else pixels > 0 and math.isqrt(pixels) ** 2 == pixels


def _in_order(table: TextTable, columns: list[int]) -> list[int]:
    """Sort the columns of pixels by the numbers in their names, so that pixel2 comes before pixel10."""
    if table.names is None:
        return columns
    stems = {re.sub(r"\d+", "", table.names[n]) for n in columns}
    numbers = {n: re.findall(r"\d+", table.names[n]) for n in columns}
    if len(stems) > 1 or any(len(found) != 1 for found in numbers.values()):
        return columns
    return sorted(columns, key=lambda n: int(numbers[n][0]))
