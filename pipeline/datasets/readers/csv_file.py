"""Reader ``csv``: an image a line, as its label and its pixels, or as its label and the name of its file."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.files import check_room, existing, existing_file, unpacked_size
from pipeline.datasets.image_data import Parts, describe
from pipeline.datasets.label_table import find_images, image_column, read_label_table, rows_by_image
from pipeline.datasets.readers.csv_columns import Label
from pipeline.datasets.readers.csv_parts import Rows, divided, part_column, part_note, parts_meant
from pipeline.datasets.readers.csv_pixels import read_pixel_rows
from pipeline.datasets.readers.folder import read_pictures
from pipeline.datasets.readers.picture_tree import read_tree
from pipeline.datasets.stacking import PictureSettings
from pipeline.datasets.streamed import Storage
from pipeline.datasets.text_table import INDEX_NAMES, LABEL_NAMES, find_table
from pipeline.errors import PipelineError


def load(
    path: str,
    test: str | None = None,
    unlabelled: str | None = None,
    label: Label = None,
    shape: Sequence[int] | None = None,
    white: float | None = None,
    images: str | None = None,
    size: int | Sequence[int] | None = None,
    background: str | Sequence[int] | None = None,
    skip_broken: bool = False,
    storage: Storage | None = None,
) -> Parts:
    """Read images and labels from CSV files, gzipped or not: commas, semicolons or tabs, with or without column names.

    Each line holds the pixels of an image, or the name of its file. A column that counts the rows is no pixel.

    Args:
        path: The training images.
        test: The official test set, laid out in the same way; one is held out if None.
        unlabelled: Further training images, laid out in the same way, with or without labels: they are not looked at.
        label: Name of the labels' column, or its number from 0. None finds it: it is called label, class, target or the
            like, or holds words, or is the first or the last; if all columns are pixels, no image has a label. An empty
            label or -1 means unlabelled.
        shape: (H, W) or (C, H, W) of an image in pixels; None takes images for square and grey.
        white: The value of the brightest possible pixel, if it is not 255, nor 1 among floats.
        images: The folder of the picture files; None takes that of the CSV file, with the folders in it.
        size: Side, or height and width, that every picture file is resized to; None expects them to have one size.
        background: The colour that transparent picture files are laid on, see reader ``folder``.
        skip_broken: Leave out picture files that cannot be read, and say which.
        storage: Decodes picture files into a file if they are too many for memory; None never does.

    Raises:
        PipelineError: If a file is missing, a line is not like the others, or it cannot be told what a column is.
    """
    paths = {"path": path, "unlabelled": unlabelled, "test": test}
    tables = {part: existing_file(given, f"data.args.{part}") for part, given in paths.items() if given is not None}
    for table in tables.values():
        _check_size(table)
    if names_files(tables["path"], label):
        settings = PictureSettings(size, background, white, skip_broken)
        return _load_files(tables, label, images, settings, storage)
    return _load_pixels(tables, label, shape, white)


def _check_size(path: Path) -> None:
    try:
        check_room(str(path), 4 * unpacked_size(path))  # text of a pixel takes two bytes at least, a number four
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} cannot be read: {error}; get the file again") from error


def names_files(path: Path, label: Label) -> bool:
    """Whether a CSV file names picture files; pixels would be more columns than two."""
    table = find_table(path, label if isinstance(label, str) else None)
    return table.file_column() is not None or (table.columns == 2 and table.find(INDEX_NAMES) is not None)


# --- rows of pixels -------------------------------------------------------------------------------------------


def _load_pixels(tables: dict[str, Path], label: Label, shape: Sequence[int] | None, white: float | None) -> Parts:
    size = None if shape is None else math.prod(shape)
    train = read_pixel_rows(tables["path"], label, size, needs_labels=label is not None)
    rows = {"path": train}
    for part in tables.keys() - {"path"}:
        rows[part] = read_pixel_rows(tables[part], label, train.images.shape[1], needs_labels=part == "test")
    notes = [note for part in tables for note in rows[part].notes]
    train, test = divided(train, tables["path"], "test" in rows)
    arrays: dict[str, Any] = {"images": train.images, "labels": train.labels}
    names = [train.names, []]
    if test is not None:
        arrays |= {"test_images": test.images, "test_labels": test.labels}
        names[1] = test.names
    if "unlabelled" in rows:
        arrays["unlabelled"] = rows["unlabelled"].images
        names[0] = names[0] + [f"{tables['unlabelled'].name} {name}" for name in rows["unlabelled"].names]
    if "test" in rows:
        arrays |= {"test_images": rows["test"].images, "test_labels": rows["test"].labels}
        names[1] = [f"{tables['test'].name} {name}" for name in rows["test"].names]
    return describe(from_arrays(**arrays, shape=shape, white=white), names, notes)


# --- names of files -------------------------------------------------------------------------------------------


def _load_files(
    tables: dict[str, Path],
    label: Label,
    images: str | None,
    settings: PictureSettings,
    storage: Storage | None,
) -> Parts:
    folder = tables["path"].parent if images is None else existing(images, "data.args.images")
    files = read_tree(folder).all_files()
    known = [file.relative_to(folder).as_posix() for file in files]
    listed = {part: _listed(path, label, known, needs_labels=part != "unlabelled") for part, path in tables.items()}
    found, held_out = divided(listed["path"], tables["path"], "test" in listed)
    if held_out is not None:
        listed["test"] = held_out
    further = listed["unlabelled"].images.tolist() if "unlabelled" in listed else []
    train, test = found.images.tolist() + further, listed["test"].images.tolist() if "test" in listed else []
    stacked = read_pictures([files[n] for n in train + test], [len(train), len(test)], settings, storage)
    labels = found.labels
    assert labels is not None
    pool = np.full(len(further), "" if labels.dtype.kind == "U" else -1)
    arrays: dict[str, Any] = {"images": stacked.parts[0], "labels": np.append(labels, pool)[stacked.kept[0]]}
    if test:
        test_labels = listed["test"].labels
        assert test_labels is not None
        arrays |= {"test_images": stacked.parts[1], "test_labels": test_labels[stacked.kept[1]]}
    passed_over = len(files) - len({*train, *test})
    notes = [f"{passed_over} pictures in {folder} are in no table and were ignored"] if passed_over else []
    names = [[known[n] for n in part] for part in stacked.of_kept(train, test)]
    parts_read = from_arrays(**arrays, white=stacked.white, storage=storage)
    return describe(parts_read, names, [*listed["path"].notes, *notes, *stacked.notes], stacked.decoding)


def _listed(path: Path, label: Label, known: list[str], needs_labels: bool) -> Rows:
    """Return which files a table names, each once, and what it says of them.

    Raises:
        PipelineError: If the table does not fit the files, or two of its rows contradict each other.
    """
    layout = find_table(path, label if isinstance(label, str) else None)
    named = label if isinstance(label, int) else layout.find([label.casefold()] if label else LABEL_NAMES)
    part = part_column(layout, [image_column(layout), named])
    table = read_label_table(path, label, needs_labels, apart=part)
    positions = find_images(table, known)
    rows = rows_by_image(table, positions)
    files, chosen = np.array(list(rows), dtype=np.int64), list(rows.values())
    names = [known[file] for file in rows]
    labels = None if table.labels is None else table.labels[chosen]
    if part is None:
        return Rows(files, names, labels, None, [])
    parts = parts_meant(layout, np.array([cells[part].strip() for _, cells in layout.rows()]), part)
    rows_by_image(replace(table, labels=parts), positions)  # refuses an image that is in two parts
    return Rows(files, names, labels, parts[chosen], [part_note(layout, part)])
