"""A column of a CSV file that divides its images into training and test set, such as ``split`` or ``Usage``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.datasets.arrays import Array
from pipeline.datasets.readers.folder_layout import part_of
from pipeline.datasets.text_table import TextTable
from pipeline.errors import PipelineError

_NAMES = ("split", "usage", "subset", "partition")  # usual names of the column, in any case


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


def divided(labels: Array | None, parts: Array | None) -> tuple[Array | None, Array | None]:
    """Return the labels without those of the unlabelled part, and which images are the official test set.

    Validation images train if there are test images; otherwise they are the test images.

    Args:
        labels: Strings or whole numbers, shape (N,); None if there are none.
        parts: The part of each image, as ``parts_meant`` gives it, shape (N,); None if nothing says it.

    Returns:
        The labels, and a mask of shape (N,), or None if there is no test set.
    """
    if parts is None:
        return labels, None
    if labels is not None:
        nothing = "" if labels.dtype.kind == "U" else -1
        labels = np.where(parts == np.array("unlabelled"), nothing, labels)
    masks = [np.array(parts == np.array(part)) for part in ("test", "validation")]
    return labels, next((mask for mask in masks if mask.any()), None)


def refuse_two_test_sets(path: Path) -> PipelineError:
    """Return an error about a table with test images, where there is a table of test images as well."""
    return PipelineError(
        f"data.args.test: {path} says itself which of its images are test images; leave out data.args.test, or these "
        "rows"
    )
