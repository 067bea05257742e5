"""Reader ``csv``: an image a line, its label and its pixels, as they are often shared."""

from __future__ import annotations

import csv
import gzip
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.decoding import check_room, existing_file, unpacked_size
from pipeline.datasets.image_data import ImageData
from pipeline.errors import PipelineError


def load(
    path: str,
    test: str | None = None,
    label: str | int | None = None,
    shape: Sequence[int] | None = None,
    white: float | None = None,
) -> ImageData | tuple[ImageData, ImageData]:
    """Images and labels from a CSV file, plain or gzipped, with or without a line of column names.

    Args:
        path: The training images.
        test: The official test set, laid out in the same way; one is held out if None.
        label: Name, or number from 0, of the label's column; None takes "label" if columns have names, else the
            first. An empty label or -1 means unlabelled. All other columns are pixels.
        shape: (H, W) or (C, H, W) of an image; None takes images for square and grey.
        white: The value of the brightest possible pixel, if it is not 255, nor 1 among floats.

    Raises:
        PipelineError: A file is missing, a line is not like the others, or not what ``from_arrays`` takes.
    """
    arrays: dict[str, Any] = dict(zip(("images", "labels"), _read(existing_file(path), label), strict=True))
    if test is not None:
        tested = _read(existing_file(test, "data.args.test"), label)
        arrays |= zip(("test_images", "test_labels"), tested, strict=True)
    return from_arrays(**arrays, shape=shape, white=white)


def _read(path: Path, label: str | int | None) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Pixels, shape (N, pixels), and labels as strings or whole numbers, shape (N,)."""
    first = _first_line(path)
    try:
        check_room(str(path), 4 * unpacked_size(path))  # text of a pixel takes two bytes at least, a number four
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} cannot be read: {error}; get the file again") from error
    has_names = _has_names(first, label)
    column = _label_column(path, first if has_names else None, len(first), label)
    numbers: dict[str, int] = {}

    def encode(text: str) -> int:
        return numbers.setdefault(text.strip(), len(numbers))

    try:
        with warnings.catch_warnings(action="error"):  # what is wrong with a file without images is said as a warning
            table = np.loadtxt(
                path,
                np.float32,
                delimiter=",",
                skiprows=int(has_names),
                converters={column: encode},
                comments=None,
                quotechar='"',
                encoding="utf-8",
                ndmin=2,
            )
    except (OSError, EOFError, ValueError, zlib.error, UserWarning) as error:
        raise PipelineError(f"{path} cannot be read: {error}; expected a label and pixels in every line") from error
    labels = np.array(list(numbers))[table[:, column].astype(int)]
    return np.delete(table, column, axis=1), _as_numbers(path, labels)


def _first_line(path: Path) -> list[str]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            first = next(csv.reader(file), [])
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        raise PipelineError(f"{path} cannot be read: {error}; expected a CSV file") from error
    if len(first) < 2:
        raise PipelineError(f"{path}: its first line has {len(first)} columns; expected a label and pixels")
    return first


def _has_names(first: list[str], label: str | int | None) -> bool:
    words = [cell for cell in first if not _is_number(cell)]
    # a single word may be an image's label, unless it is what the label's column should be called
    return len(words) > 1 or (label if isinstance(label, str) else "label") in words


def _label_column(path: Path, names: list[str] | None, columns: int, label: str | int | None) -> int:
    if isinstance(label, int) or (label is None and names is None):
        column = label or 0
        if not 0 <= column < columns:
            raise PipelineError(f"data.args.label: {path} has no column {column}; expected 0 to {columns - 1}")
        return column
    wanted = label or "label"
    if names is None or wanted not in names:
        shown = f"named {', '.join(names[:3])}, ..., {names[-1]}" if names else "without names"
        raise PipelineError(
            f"data.args.label: {path} has no column {wanted!r}; it has {columns} columns {shown}. Name the label's "
            "column, or give its number from 0"
        )
    return names.index(wanted)


def _as_numbers(path: Path, labels: npt.NDArray[np.str_]) -> npt.NDArray[Any]:
    """Labels that are all numbers, as whole ones, so that 10 comes after 9; others as they are."""
    given = labels != ""
    if not all(map(_is_number, np.unique(labels[given]).tolist())):
        return labels
    numbers = np.full(len(labels), -1.0)
    numbers[given] = labels[given].astype(float)
    whole = (numbers == np.rint(numbers)) & (np.abs(numbers) < 2**53)  # above that, floats skip numbers
    if not whole.all():
        raise PipelineError(
            f"labels: {path} has the label {numbers[~whole][0]:g}; expected whole numbers or names. Is the label "
            "in another column? data.args.label names it"
        )
    return numbers.astype(np.int64)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
