"""Reading images that are rows of pixels in a CSV file, with their labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.datasets.arrays import Array
from pipeline.datasets.label_table import as_labels
from pipeline.datasets.readers.csv_columns import Columns, Label, find_columns
from pipeline.datasets.text_table import TextTable, find_table, is_number, open_text
from pipeline.errors import PipelineError


@dataclass(frozen=True)
class PixelRows:
    """The images of a CSV file.

    Attributes:
        pixels: The pixels of each image, shape (N, pixels).
        labels: Strings or whole numbers, shape (N,); None if there is no such column.
        names: The name of each image in the index column, or the number of its row, from 0.
        notes: Sentences on choices that the owner of the file may not expect.
    """

    pixels: npt.NDArray[np.float32]
    labels: Array | None
    names: list[str]
    notes: list[str]


def read_pixel_rows(path: Path, label: Label, size: int | None, needs_labels: bool = True) -> PixelRows:
    """Read images and labels.

    Args:
        path: The file.
        label: The column of the labels, by name or by number from 0; None finds it.
        size: The number of pixels of an image; None takes images to be square.
        needs_labels: Whether a file without labels is refused.

    Raises:
        PipelineError: If the file cannot be read, has no column of labels, or a row has other columns than the rest.
    """
    table = find_table(path, label if isinstance(label, str) else None)
    columns = find_columns(table, label, size, needs_labels)
    codes: dict[str, int] = {}
    names: list[str] = []

    def encode(text: str) -> int:
        return codes.setdefault(text.strip(), len(codes))

    def keep(text: str) -> int:
        names.append(text.strip())
        return 0

    converters: dict[int | str, Callable[[str], int]] = {}
    if columns.label is not None:
        converters[columns.label] = encode
    if columns.index is not None:
        converters[columns.index] = keep
    cells = _load(table, converters)
    if cells.shape[1] != table.columns:  # all rows have the same number of cells, but the line of names has another
        raise _explain(table, set(converters))
    labels = None
    if columns.label is not None:
        labels = as_labels(path, np.array(list(codes))[cells[:, columns.label].astype(int)])
    pixels = np.ascontiguousarray(cells[:, columns.pixels])
    return PixelRows(pixels, labels, names or [str(number) for number in range(len(cells))], _notes(table, columns))


def _notes(table: TextTable, columns: Columns) -> list[str]:
    notes = []
    if columns.index is not None:
        notes.append(f"{table.path}: column {table.name_of(columns.index)} counts the rows and is no pixel")
    if columns.label not in (None, int(columns.index == 0)) and not table.has_words:
        notes.append(f"{table.path}: the labels are taken from column {columns.label}; data.args.label names another")
    if columns.pixels != sorted(columns.pixels):
        notes.append(f"{table.path}: the columns of pixels were put in the order of the numbers in their names")
    return notes


def _load(table: TextTable, converters: dict[int | str, Callable[[str], int]]) -> npt.NDArray[np.float32]:
    """Read all cells as numbers, shape (N, columns)."""
    try:
        with open_text(table.path, table.encoding) as file, warnings.catch_warnings(action="error"):
            lines = (line.replace(",", ".") for line in file) if table.has_decimal_commas else file
            return np.loadtxt(
                lines,
                np.float32,
                delimiter=table.delimiter,
                skiprows=int(table.names is not None),
                converters=converters,
                comments=None,
                quotechar='"',
                ndmin=2,
            )
    except (ValueError, UserWarning) as error:  # NumPy warns of a file without rows
        raise _explain(table, set(converters)) from error


def _explain(table: TextTable, words: set[int | str]) -> PipelineError:
    """Return an error that names the first cell that is no number."""
    for line, cells in table.rows():
        for number, cell in enumerate(cells):
            plain = cell.replace(",", ".") if table.has_decimal_commas else cell
            if number not in words and not is_number(plain):
                return PipelineError(
                    f"{table.path}, line {line}: column {table.name_of(number)} holds {cell[:40]!r}; expected a pixel, "
                    "a number. If it is no pixel, remove the column; data.args.label names that of the labels"
                )
    return PipelineError(f"{table.path} holds no image; expected a label and pixels in each line")
