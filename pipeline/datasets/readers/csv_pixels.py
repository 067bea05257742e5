"""Reading images that are rows of pixels in a CSV file, with their labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.datasets.label_table import as_labels
from pipeline.datasets.part_names import PartCells
from pipeline.datasets.readers.csv_columns import Columns, Label, find_columns
from pipeline.datasets.readers.csv_images import CsvImages
from pipeline.datasets.text_table import TextTable, is_number, open_text
from pipeline.errors import PipelineError


def read_pixel_rows(table: TextTable, label: Label, size: int | None, needs_labels: bool = True) -> CsvImages:
    """Read images and labels; an image is called as its index column says, or by the number of its row, from 0.

    Args:
        table: The file's table.
        label: The column of the labels, by name or by number from 0; None finds it.
        size: The number of pixels of an image; None takes images to be square.
        needs_labels: Whether a file without labels is refused.

    Raises:
        PipelineError: If the file cannot be read, has no column of labels, or a row has other columns than the rest.
    """
    columns = find_columns(table, label, size, needs_labels)
    pixels, texts = (_load_packed if columns.are_packed else _load_cells)(table, columns)
    names, notes, labels, parts = [str(number) for number in range(len(pixels))], [], None, None
    if columns.index is not None:
        names = texts[columns.index].tolist()
        notes.append(f"{table.path}: column {table.name_of(columns.index)} counts the rows and is no pixel")
    if columns.part is not None:
        column = PartCells(table.path, table.name_of(columns.part), texts[columns.part])
        parts = column.parts()
        notes.append(column.note)
    if columns.label is not None:
        labels = as_labels(table.path, texts[columns.label])
        if columns.label != int(columns.index == 0) and not table.has_words:
            notes.append(
                f"{table.path}: the labels are taken from column {columns.label}; data.args.label names another"
            )
    if columns.pixels != sorted(columns.pixels):
        notes.append(f"{table.path}: the columns of pixels were put in the order of the numbers in their names")
    return CsvImages(pixels, names, labels, parts, notes)


def _load_cells(table: TextTable, columns: Columns) -> tuple[npt.NDArray[np.float32], dict[int, npt.NDArray[np.str_]]]:
    """Read a table with a column for each pixel: the pixels, shape (N, pixels), and the texts of the other columns."""
    codes: dict[int, dict[str, int]] = {number: {} for number in columns.texts}

    def encoder(known: dict[str, int]) -> Callable[[str], int]:
        return lambda text: known.setdefault(text.strip(), len(known))

    converters: dict[int | str, Callable[[str], int]] = {number: encoder(known) for number, known in codes.items()}
    try:
        with open_text(table.path, table.encoding) as file, warnings.catch_warnings(action="error"):
            lines = (line.replace(",", ".") for line in file) if table.has_decimal_commas else file
            cells = np.loadtxt(
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
        raise _explain(table, columns.texts) from error
    if cells.shape[1] != table.columns:  # all rows have the same number of cells, but the line of names has another
        raise _explain(table, columns.texts)
    texts = {number: np.array(list(known))[cells[:, number].astype(int)] for number, known in codes.items()}
    return np.ascontiguousarray(cells[:, columns.pixels]), texts


def _load_packed(table: TextTable, columns: Columns) -> tuple[npt.NDArray[np.float32], dict[int, npt.NDArray[np.str_]]]:
    """Read a table with all pixels in one column: the pixels, shape (N, pixels), and the texts of the other columns."""
    [packed] = columns.pixels
    lines: list[int] = []
    texts: dict[int, list[str]] = {number: [] for number in columns.texts}

    def images() -> Iterator[str]:
        for line, cells in table.rows():
            lines.append(line)
            for number, found in texts.items():
                found.append(cells[number].strip())
            yield cells[packed].strip() or "nothing"  # NumPy passes over an empty line

    try:
        with warnings.catch_warnings(action="error"):
            pixels = np.loadtxt(images(), np.float32, comments=None, ndmin=2)
    except (ValueError, UserWarning) as error:  # NumPy warns of a file without rows
        if not lines:
            raise _explain(table, columns.texts) from error
        raise PipelineError(
            f"{table.path}, line {lines[-1]} or one before: column {table.name_of(packed)} holds no image like the "
            f"others ({error}); expected as many numbers, with spaces between them, in each row"
        ) from error
    return pixels, {number: np.array(found) for number, found in texts.items()}


def _explain(table: TextTable, words: Sequence[int]) -> PipelineError:
    """Return an error that names the first cell that is no number."""
    for line, cells in table.rows():
        for number, cell in enumerate(cells):
            plain = cell.replace(",", ".") if table.has_decimal_commas else cell
            if number not in words and not is_number(plain):
                if not cell.strip() and number == table.columns - 1:
                    return PipelineError(
                        f"{table.path}, line {line}: the line ends with {table.delimiter!r}, after which a pixel is "
                        "missing; remove the separator at the end of every line, or add the pixel"
                    )
                return PipelineError(
                    f"{table.path}, line {line}: column {table.name_of(number)} holds {cell[:40]!r}; expected a pixel, "
                    "a number. If it is no pixel, remove the column; data.args.label names that of the labels"
                )
    return PipelineError(f"{table.path} holds no image; expected a label and pixels in each line")
