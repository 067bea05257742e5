"""Labels from a CSV file, ``data.labels``, in place of those that a data set has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.datasets.image_data import ImageData
from pipeline.datasets.label_table import LabelTable, find_images, read_label_table, refuse_other_numbers, rows_by_image
from pipeline.datasets.text_table import find_table, is_number
from pipeline.errors import PipelineError, list_names


def relabel(
    train: ImageData, test: ImageData | None, path: Path
) -> tuple[ImageData, ImageData | None, tuple[str, ...]]:
    """Replace the labels of all training images by those in a CSV file; an image that is not in the file has none.

    Images of an official test set keep their labels unless the file names them.

    Args:
        train: The training images, which have names.
        test: The images of the official test set, which have names, too; None if there is none.
        path: A table of labels, as ``label_table`` reads it.

    Returns:
        The training images, the test images, and the names of those that the file names without a label: a person has
        seen them, and could not tell.

    Raises:
        PipelineError: If the file cannot be read, names an image that does not exist, gives an image two labels, says
            which images are test images, or names a class that the official test set does not have. The message lists
            the lines.
    """
    import torch

    table = read_label_table(find_table(path))
    if table.part is not None:
        raise PipelineError(
            f"data.labels: {path} has the column {table.part.column}, which divides training and test images; labels "
            "alone are taken from this file. Remove the column; or read the images by this file, which then divides "
            f"them, with data.dataset csv and data.args.path {path}"
        )
    known = list(train.names)
    if test is not None and not table.are_numbers:
        known += test.names
    positions = find_images(table, known)
    refuse_other_numbers(table, positions)
    rows = rows_by_image(table, positions)
    given = table.given()
    classes = _classes(table, given, train.class_names, is_fixed=test is not None and bool((test.labels >= 0).any()))
    codes = {name: code for code, name in enumerate(classes)} | {"": -1}
    labels = np.full(len(train), -1) if test is None else np.append(np.full(len(train), -1), test.labels.numpy())
    for position, row in rows.items():
        labels[position] = codes[given[row]]
    train = replace(train, labels=torch.from_numpy(labels[: len(train)]), class_names=classes)
    if test is not None:
        test = replace(test, labels=torch.from_numpy(labels[len(train) :]), class_names=classes)
    return train, test, tuple(known[position] for position, row in rows.items() if not given[row])


def _classes(table: LabelTable, given: list[str], source: tuple[str, ...], is_fixed: bool) -> tuple[str, ...]:
    """Return the classes: those of the data set that are used, in its order, or else those of the table.

    The table's rows have the given classes, "" for none. Where test images have the classes of the source, these are
    fixed.

    Raises:
        PipelineError: If the table has another class though the classes are fixed.
    """
    used = dict.fromkeys(sorted({*given} - {""}, key=_naturally))
    others = [row for row, name in enumerate(given) if name and name not in source]
    if is_fixed:
        if others:
            row = others[0]
            raise PipelineError(
                f"{table.path}, line {table.lines[row]}: the class {given[row]!r} is not a class of the test set, "
                f"{list_names(source)}; use its names of classes"
            )
        return source
    return tuple(used) if others else tuple(name for name in source if name in used)


def _naturally(name: str) -> tuple[bool, float, str]:
    """Return the sort key of a class's name: numbers come first, by their value."""
    return (False, float(name), name) if is_number(name) else (True, 0.0, name)
