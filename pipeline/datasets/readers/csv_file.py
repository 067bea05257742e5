"""Reader ``csv``: an image a line, as its label and its pixels, or as its label and the name of its file."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.files import check_room, existing, existing_file, unpacked_size
from pipeline.datasets.image_data import Parts, describe
from pipeline.datasets.label_table import find_images, read_label_table, rows_by_image
from pipeline.datasets.readers.csv_columns import Label
from pipeline.datasets.readers.csv_images import CsvImages, divided
from pipeline.datasets.readers.csv_pixels import read_pixel_rows
from pipeline.datasets.readers.folder import read_pictures
from pipeline.datasets.readers.picture_tree import read_tree
from pipeline.datasets.stacking import PictureSettings
from pipeline.datasets.streamed import Storage
from pipeline.datasets.text_table import TextTable, find_table
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
    given = {"path": path, "unlabelled": unlabelled, "test": test}
    tables = {part: _find_table(file, f"data.args.{part}", label) for part, file in given.items() if file is not None}
    if tables["path"].lists_files():
        settings = PictureSettings(size, background, white, skip_broken)
        return _load_files(tables, label, images, settings, storage)
    return _load_pixels(tables, label, shape, white)


def _find_table(given: str, setting: str, label: Label) -> TextTable:
    path = existing_file(given, setting)
    try:
        check_room(str(path), 4 * unpacked_size(path))  # text of a pixel takes two bytes at least, a number four
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} cannot be read: {error}; get the file again") from error
    return find_table(path, label if isinstance(label, str) else None)


def _load_pixels(tables: dict[str, TextTable], label: Label, shape: Sequence[int] | None, white: float | None) -> Parts:
    size = None if shape is None else math.prod(shape)
    train = read_pixel_rows(tables["path"], label, size, needs_labels=label is not None)
    listed = {"path": train}
    for part, table in tables.items():
        if part != "path":
            own = read_pixel_rows(table, label, train.images.shape[1], needs_labels=part == "test")
            listed[part] = replace(own, names=[f"{table.path.name} {name}" for name in own.names])
    notes = [note for own in listed.values() for note in own.notes]
    listed = divided(listed, {part: table.path for part, table in tables.items()})
    loaded = from_arrays(**_arrays(listed), shape=shape, white=white)
    return describe(loaded, _names(listed), notes)


def _load_files(
    tables: dict[str, TextTable],
    label: Label,
    images: str | None,
    settings: PictureSettings,
    storage: Storage | None,
) -> Parts:
    folder = tables["path"].path.parent if images is None else existing(images, "data.args.images")
    files = read_tree(folder).all_files()
    known = [file.relative_to(folder).as_posix() for file in files]
    listed = {part: _find_files(table, label, known, part != "unlabelled") for part, table in tables.items()}
    notes = list(listed["path"].notes)
    listed = divided(listed, {part: table.path for part, table in tables.items()})
    places = [int(place) for own in listed.values() for place in own.images]
    counts = [len(own.names) for own in listed.values()]
    stacked = read_pictures([files[place] for place in places], counts, settings, storage)
    decoded = {}
    for (part, own), pixels, kept in zip(listed.items(), stacked.parts, stacked.kept, strict=True):
        decoded[part] = replace(own.only(np.array(kept, dtype=np.int64)), images=pixels)
    if passed_over := len(files) - len(set(places)):
        notes.append(f"{passed_over} pictures in {folder} are in no table and were ignored")
    loaded = from_arrays(**_arrays(decoded), white=stacked.white, storage=storage)
    return describe(loaded, _names(decoded), [*notes, *stacked.notes], stacked.decoding)


def _find_files(table: TextTable, label: Label, known: list[str], needs_labels: bool) -> CsvImages:
    """Find the picture files that a table names, each once, and what it says of them.

    Raises:
        PipelineError: If the table does not fit the files, or two of its rows contradict each other.
    """
    named = read_label_table(table, label, needs_labels)
    positions = find_images(named, known)
    rows = rows_by_image(named, positions)
    chosen = list(rows.values())
    labels = None if named.labels is None else named.labels[chosen]
    listed = CsvImages(np.array(list(rows)), [known[place] for place in rows], labels, None, [])
    if named.part is None:
        return listed
    parts = named.part.parts()
    rows_by_image(replace(named, labels=parts), positions)  # refuses an image that is in two parts
    return replace(listed, parts=parts[chosen], notes=[named.part.note])


def _arrays(listed: dict[str, CsvImages]) -> dict[str, Any]:
    """Return the arguments of ``from_arrays`` for the images of each part."""
    train, pool, test = listed["path"], listed.get("unlabelled"), listed.get("test")
    arrays: dict[str, Any] = {"images": train.images, "labels": train.labels}
    if pool is not None:
        arrays["unlabelled"] = pool.images
    if test is not None:
        arrays |= {"test_images": test.images, "test_labels": test.labels}
    return arrays


def _names(listed: dict[str, CsvImages]) -> list[list[str]]:
    """Return the names of the training images and of the test images."""
    names = {part: own.names for part, own in listed.items()}
    return [names["path"] + names.get("unlabelled", []), names.get("test", [])]
