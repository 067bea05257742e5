"""CSV files with the label of each image, by its file's name or its number, for ``data.labels`` and reader ``csv``."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from pipeline.datasets.part_names import PartCells, part_column
from pipeline.datasets.text_table import INDEX_NAMES, LABEL_NAMES, TextTable, is_number, unguarded
from pipeline.errors import PipelineError, list_names

NUMBER_NAMES = ("index", "idx", "row", "unnamed: 0", "")  # names of columns that hold the numbers of images


@dataclass(frozen=True)
class LabelTable:
    """Images with their labels, as a file lists them.

    Attributes:
        path: The file.
        names: The name of each image's file, or its number as text.
        are_numbers: Whether the names are numbers from 0, which is so if the column is called index or the like.
        labels: The labels, int64 or strings, shape (N,), with -1 or "" for none; None if there is no such column.
        lines: The line of each image in the file, from 1.
        numbers: What a column ``index`` says of each image beside the name of its file; None if there is none.
        part: The column that says which part of the data set each image belongs to; None if there is none.
    """

    path: Path
    names: list[str]
    are_numbers: bool
    labels: npt.NDArray[np.int64] | npt.NDArray[np.str_] | None
    lines: list[int]
    numbers: list[str] | None = None
    part: PartCells | None = None

    def given(self) -> list[str]:
        """Return the label of each image as text, "" for none; the table has labels."""
        assert self.labels is not None
        return ["" if label == "-1" else label for label in self.labels.astype(str).tolist()]


def read_label_table(
    table: TextTable, label: str | int | Sequence[str] | None = None, needs_labels: bool = True
) -> LabelTable:
    """Read a table of images and labels; columns of anything else are ignored.

    Args:
        table: The layout of the file.
        label: The name of the labels' column, several names that it may have, or its number from 0; None finds it.
        needs_labels: Whether a file without labels is refused.

    Raises:
        PipelineError: If the file cannot be read, or it cannot be told which columns are meant.
    """
    path, key = table.path, _image_column(table)
    if key is None:
        raise PipelineError(
            f"{path}: no column names the images; call it file (names of files) or index (numbers from 0)"
        )
    column = _named_column(table, label, needs_labels)
    part = part_column(table, [key, column])
    others = [number for number in range(table.columns) if number not in (key, part)]
    if column is None and not isinstance(label, str | int) and len(others) == 1:
        column = others[0]
    if column is None and needs_labels:
        wanted = "label" if label is None else label if isinstance(label, str) else "column"
        raise PipelineError(f"{path}: it cannot be told which column holds the {wanted}s; call it {wanted}")
    rows = list(table.rows())
    if not rows:
        raise PipelineError(f"{path} names no image below the names of its columns; expected a line for each image")

    def cells_of(number: int) -> list[str]:
        return [cells[number].strip() for _, cells in rows]

    names = [plain_name(unguarded(cell)) for cell in cells_of(key)]
    beside = table.find(["index"])
    return LabelTable(
        path,
        names,
        are_numbers=table.find(NUMBER_NAMES) == key and all(map(is_number, names)),
        labels=None if column is None else as_labels(path, np.array([unguarded(cell) for cell in cells_of(column)])),
        lines=[line for line, _ in rows],
        numbers=None if beside is None or beside == key else cells_of(beside),
        part=None if part is None else PartCells(path, table.name_of(part), np.array(cells_of(part))),
    )


def _image_column(table: TextTable) -> int | None:
    """Return the column that names the images: one of files, or one called index or id, or the first of two columns."""
    found = table.file_column()
    if found is None:
        found = table.find(INDEX_NAMES)
    if found is None and table.columns == 2 and table.find(LABEL_NAMES) in (None, 1):
        found = 0
    return found


def _named_column(table: TextTable, label: str | int | Sequence[str] | None, needs_labels: bool) -> int | None:
    """Return the column of the labels by its number or name, or else by its usual names; None if there is none."""
    if isinstance(label, int):
        return label if 0 <= label < table.columns else None
    if isinstance(label, str):
        return table.find_named(label)
    names = LABEL_NAMES if label is None else label
    return table.find_only(names) if needs_labels else table.find(names)


def plain_name(text: str) -> str:
    r"""Return a file's name in the form in which names are compared: with slashes, and in Unicode's form NFC.

    >>> plain_name(r" .\cat\1.png")
    'cat/1.png'
    """
    return unicodedata.normalize("NFC", text.strip().replace("\\", "/")).removeprefix("./")


def as_labels(path: Path, labels: npt.NDArray[np.str_]) -> npt.NDArray[np.int64] | npt.NDArray[np.str_]:
    """Turn labels that are all numbers into whole numbers, so that 10 comes after 9; leave others as they are.

    Among numbers, NaN is no label.

    Args:
        path: The file, for messages.
        labels: Text, shape (N,); "" where there is no label.

    Returns:
        Strings, or int64 with -1 where there is no label; shape (N,).

    Raises:
        PipelineError: If a number is not whole.
    """
    given = (labels != "") & (np.char.lower(labels) != "nan")
    if not given.any() or not all(map(is_number, np.unique(labels[given]).tolist())):
        return labels
    numbers = np.full(len(labels), -1.0)
    numbers[given] = labels[given].astype(float)
    whole = (numbers == np.rint(numbers)) & (np.abs(numbers) < 2**53)  # above that, floats skip whole numbers
    if not whole.all():
        raise PipelineError(
            f"labels: {path} has the label {numbers[~whole][0]:g}; expected whole numbers or names. Is the label "
            "in another column? data.args.label names it"
        )
    return numbers.astype(np.int64)


def find_images(table: LabelTable, known: Sequence[str]) -> list[int]:
    """Find the images of a table among the names of all images, which are paths with slashes.

    A name in the table may leave out folders, and the ending of the file, if only one image fits then.

    Returns:
        The position of each of the table's images in ``known``.

    Raises:
        PipelineError: If no image, or several, fit a name; the message lists the lines.
    """
    if table.are_numbers:
        positions = [_position(name, len(known)) for name in table.names]
        _refuse(table, positions, f"no image of this number; expected 0 to {len(known) - 1}")
    else:
        finder = _Finder(known)
        positions = [finder.find(name) for name in table.names]
        _refuse(table, positions, "no image of this name, or several that end like it")
    return [position for position in positions if position is not None]


def rows_by_image(table: LabelTable, positions: Sequence[int]) -> dict[int, int]:
    """Return the number of the first row about each image, from 0, by the position of the image.

    The positions are those of the images of all rows, as ``find_images`` gives them.

    Raises:
        PipelineError: If two rows give one image different labels; the message names their lines.
    """
    first: dict[int, int] = {}
    for row, position in enumerate(positions):
        other = first.setdefault(position, row)
        if table.labels is not None and table.labels[row] != table.labels[other]:
            raise PipelineError(
                f"{table.path}, lines {table.lines[other]} and {table.lines[row]}: {table.names[row]} is labelled "
                f"{table.labels[other]!s} and {table.labels[row]!s}; correct one of them"
            )
    return first


def refuse_other_numbers(table: LabelTable, positions: Sequence[int]) -> None:
    """Check what a table's column ``index`` says of images that were found by the names of their files.

    Raises:
        PipelineError: If it is the number of another image; the message names the line.
    """
    for row, position in enumerate(positions):
        number = "" if table.numbers is None else table.numbers[row]
        if number and _position(number, position + 1) != position:
            raise PipelineError(
                f"{table.path}, line {table.lines[row]}: {table.names[row]} is image {position}, but its index is "
                f"{number}; correct one of them, or remove the column 'index' if it does not count the images"
            )


def _position(number: str, count: int) -> int | None:
    """Return a number such as 3 or, as pandas writes it beside gaps, 3.0, if it is one of so many images from 0."""
    value = float(number) if is_number(number) else -1.0
    return int(value) if value.is_integer() and 0 <= value < count else None


class _Finder:
    """Finds images by names that may leave out folders and the ending of the file."""

    def __init__(self, known: Sequence[str]) -> None:
        names = [plain_name(name) for name in known]
        counts = Counter(names)
        self.exact = {name: position for position, name in enumerate(names) if counts[name] == 1}
        self.by_file: dict[str, list[str]] = defaultdict(list)
        for name in self.exact:
            file = PurePosixPath(name).name
            for written in {file, PurePosixPath(file).stem}:
                self.by_file[written].append(name)

    def find(self, name: str) -> int | None:
        """Return the position of the only image that fits a name; None if there is none, or several."""
        if name in self.exact:
            return self.exact[name]
        candidates = self.by_file.get(PurePosixPath(name).name, [])
        meant = [path for path in candidates if f"/{path}".endswith(f"/{name}")]
        meant = meant or [path for path in candidates if f"/{PurePosixPath(path).with_suffix('')}".endswith(f"/{name}")]
        return self.exact[meant[0]] if len(meant) == 1 else None


def _refuse(table: LabelTable, positions: Sequence[int | None], reason: str) -> None:
    found = zip(table.names, table.lines, positions, strict=True)
    strange = [f"{name!r} (line {line})" for name, line, position in found if position is None]
    if strange:
        raise PipelineError(f"{table.path}: {list_names(strange)}: {reason}")
