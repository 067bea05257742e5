"""The images of a CSV file, and a column that divides them into training and test set, such as ``split``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.datasets.arrays import Array
from pipeline.datasets.readers.folder_layout import part_of
from pipeline.datasets.text_table import TextTable
from pipeline.errors import PipelineError

_NAMES = ("split", "usage", "subset", "partition")  # usual names of the column, in any case


@dataclass(frozen=True)
class Rows:
    """The images of a CSV file, which has a row for each.

    Attributes:
        images: The pixels of each image, shape (N, pixels), or the place of each file among all of a folder, shape
            (N,).
        names: The name of each image.
        labels: Strings or whole numbers, shape (N,); None if there is no such column.
        parts: The part of the data set that each image belongs to: "train", "test", "validation" or "unlabelled", shape
            (N,); None if the file does not say.
        notes: Sentences on choices that the owner of the file may not expect.
    """

    images: Array
    names: list[str]
    labels: Array | None
    parts: Array | None
    notes: list[str]

    def only(self, chosen: Array) -> Rows:
        """Return the images for which a mask, shape (N,), is true; they keep their names."""
        labels = None if self.labels is None else self.labels[chosen]
        parts = None if self.parts is None else self.parts[chosen]
        return Rows(self.images[chosen], list(compress(self.names, chosen)), labels, parts, self.notes)


def part_column(table: TextTable, others: Collection[int | None]) -> int | None:
    """Return the column that says which part of the data set each row belongs to, such as train or PrivateTest.

    The others are columns that are known to hold something else.
    """
    columns = [number for number in range(table.columns) if number not in others and table.column(number)]
    named = table.find(_NAMES)
    if named in columns:
        return named
    return next((number for number in columns if all(map(part_of, table.column(number)))), None)


def parts_meant(table: TextTable, cells: npt.NDArray[np.str_], column: int) -> Array:
    """Return the parts of the data set that the cells of a column mean: "train", "test", "validation", "unlabelled".

    Raises:
        PipelineError: If a cell means none.
    """
    meanings = {cell: part_of(cell) for cell in np.unique(cells).tolist()}
    strange = [cell for cell, part in meanings.items() if part is None]
    if strange:
        raise PipelineError(
            f"{table.path}: column {table.name_of(column)} holds {strange[0]!r}, which is no part of a data set; "
            "expected names such as train and test, or Training and PublicTest. Write such names, or remove the "
            "column; if it holds the labels, name it with data.args.label"
        )
    return np.array([meanings[cell] for cell in cells.tolist()])


def part_note(table: TextTable, column: int) -> str:
    """Say that a column was taken for that of the parts."""
    return f"{table.path}: column {table.name_of(column)} divides training and test images"


def divided(rows: Rows, path: Path, has_test: bool) -> tuple[Rows, Rows | None]:
    """Return the training images, those of the unlabelled part without labels, and the official test images, if any.

    Validation images train if there are test images; otherwise they are the test images.

    Args:
        rows: The images of a file.
        path: The file.
        has_test: Whether another file holds the test images.

    Raises:
        PipelineError: If this file holds test images, too.
    """
    if rows.parts is None:
        return rows, None
    if rows.labels is not None:
        nothing = "" if rows.labels.dtype.kind == "U" else -1
        rows = replace(rows, labels=np.where(rows.parts == np.array("unlabelled"), nothing, rows.labels))
    masks = [np.array(rows.parts == np.array(part)) for part in ("test", "validation")]
    is_test = next((mask for mask in masks if mask.any()), None)
    if is_test is None:
        return rows, None
    if has_test:
        raise PipelineError(
            f"data.args.test: {path} says itself which of its images are test images; leave out data.args.test, or "
            "these rows"
        )
    return rows.only(~is_test), rows.only(is_test)
