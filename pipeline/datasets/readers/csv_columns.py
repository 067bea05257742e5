"""Finding the columns of the labels, of the rows' numbers, and of the pixels in a CSV file of images."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.datasets.part_names import part_column
from pipeline.datasets.readers.csv_one_hot import fits, refuse_one_hot
from pipeline.datasets.text_table import INDEX_NAMES, LABEL_NAMES, TextTable, counts_up, is_number
from pipeline.errors import PipelineError

Label = str | int | None  # the name of the labels' column, or its number from 0; None if it has to be found

_KINDS = ("labels", "labels or pixels", "other")  # what a column may hold, the most certain first


@dataclass(frozen=True)
class Columns:
    """The numbers, from 0, of the columns of a table of pixels.

    Attributes:
        label: The column of the labels; None if there is none.
        index: The column that counts or names the rows; None if there is none.
        part: The column of the part of the data set, such as "Training" or "test"; None if there is none.
        pixels: The columns of the pixels, in the order in which they make an image; a single one holds all of them.
    """

    label: int | None
    index: int | None
    part: int | None
    pixels: list[int]

    @property
    def are_packed(self) -> bool:
        """Whether a single column holds all pixels of an image, with spaces between them."""
        return len(self.pixels) == 1

    @property
    def texts(self) -> list[int]:
        """The columns that are no pixels."""
        return [number for number in (self.label, self.index, self.part) if number is not None]


def find_columns(table: TextTable, label: Label, size: int | None, needs_labels: bool) -> Columns:
    """Find the columns of a table of pixels.

    Args:
        table: The table.
        label: The column of the labels; None finds it.
        size: The number of pixels of an image; None takes images to be square.
        needs_labels: Whether a table that clearly has no labels is refused, too.

    Raises:
        PipelineError: If there is no column of labels, it is not clear which column it is, or a column is no pixel.
    """
    if isinstance(label, int) and not 0 <= label < table.columns:
        raise PipelineError(f"data.args.label: {table.path} has no column {label}; expected 0 to {table.columns - 1}")
    index, packed = _index_column(table, size), table.packed_column()
    if label is None:
        named = table.find_only(LABEL_NAMES, "; or data.args.label names the one with the labels")
    else:
        named = label if isinstance(label, int) else table.find_named(label)
    part = part_column(table, [named, index, packed])
    if packed is None and part is None:
        refuse_one_hot(table, named, index, size)
    found = named
    if found is None and label is None:
        found = _guessed_label(table, [n for n in (index, packed, part) if n is not None], size)
    if found is None and needs_labels:
        raise _no_label(table, label)
    pixels = [packed] if packed is not None else [n for n in range(table.columns) if n not in (found, index, part)]
    return Columns(found, index, part, _in_order(table, pixels))


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
    is_one = counts_up(table.column(0)) and not fits(table.columns - 1, size) and fits(table.columns - 2, size)
    return 0 if is_one else None


def _guessed_label(table: TextTable, apart: list[int], size: int | None) -> int | None:
    """Find the labels' column, which has no usual name; None if there is none. Columns ``apart`` hold other things."""
    others = [number for number in range(table.columns) if number not in apart]
    if table.packed_column() is None and not table.has_words:
        return _unnamed_label(table, others, size)
    plain = [n for n in others if table.names is None or not re.search(r"\d", table.names[n])]
    if len(plain) > 1:
        raise _no_label(table, None)
    return plain[0] if plain else None


def _unnamed_label(table: TextTable, columns: list[int], size: int | None) -> int | None:
    """Find the labels among columns without names: one with words, or the first or last; None if all are pixels."""
    words = [n for n in columns if not all(is_number(cell) for cell in table.column(n) if cell)]
    if len(words) == 1:
        return words[0]
    if len(columns) < 2 or (fits(len(columns), size) and not fits(len(columns) - 1, size)):
        return None
    first, *middle, last = columns
    ends = {first: set[str](), last: set[str]()}
    for _, row in table.rows():
        for number, cells in ends.items():
            cells.add(row[number].strip())
    brightest = max((float(cell) for n in middle for cell in table.column(n) if is_number(cell)), default=0)
    kinds = {number: _kind(cells, brightest) for number, cells in ends.items()}
    if kinds[first] == kinds[last] != "other":
        raise PipelineError(
            f"data.args.label: the labels of {table.path} may be in the first or in the last column; name it "
            f"({first} or {last})"
        )
    return last if _KINDS.index(kinds[last]) < _KINDS.index(kinds[first]) else first


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


def _in_order(table: TextTable, columns: list[int]) -> list[int]:
    """Sort the columns of pixels by the numbers in their names, so that pixel2 comes before pixel10."""
    if table.names is None:
        return columns
    stems = {re.sub(r"\d+", "", table.names[n]) for n in columns}
    numbers = {n: re.findall(r"\d+", table.names[n]) for n in columns}
    if len(stems) > 1 or any(len(found) != 1 for found in numbers.values()):
        return columns
    return sorted(columns, key=lambda n: int(numbers[n][0]))
