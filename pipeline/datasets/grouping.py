"""Images that belong together, such as those of one patient or object, and stay on one side of every split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.datasets.files import existing_file
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.label_table import find_images, read_label_table, rows_by_image
from pipeline.datasets.text_table import find_table
from pipeline.errors import PipelineError, list_names

GROUP_NAMES = ("group", "groups", "patient", "patient_id", "subject", "subject_id", "object")  # of a column
_TABLE = re.compile(r"(?P<path>.+\.(csv|tsv)(\.gz)?)(:(?P<column>.+))?", re.IGNORECASE)

Groups = npt.NDArray[np.int64]


def group(train: ImageData, test: ImageData | None, rule: str) -> tuple[ImageData, ImageData | None]:
    """Number the groups of the images.

    Args:
        train: The training images, which have names.
        test: The images of the official test set, which have names, too; None if there is none.
        rule: A CSV file with the group of each image, by its name or number, and ":column" if the column of the groups
            has an unusual name; or a regular expression with one group in parentheses, which is found in each image's
            name and gives that of its group.

    Raises:
        PipelineError: If the rule is neither, or leaves an image without a group.
    """
    names, test_names = train.names, () if test is None else test.names
    if found := _TABLE.fullmatch(rule):
        given = _from_table(existing_file(found["path"], "data.groups"), found["column"], names, test_names)
    else:
        given = _from_names(rule, [*names, *test_names])
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(name, len(numbers)) for name in given], np.int64)  # whatever they are called
    if test is not None:
        test = replace(test, groups=groups[len(names) :])
    return replace(train, groups=groups[: len(names)]), test


def _from_table(path: Path, column: str | None, names: Sequence[str], test_names: Sequence[str]) -> list[str]:
    """Return the group of each image; of test images that a table of numbers cannot name, one for each.

    Raises:
        PipelineError: If the table does not fit, or lacks an image.
    """
    table = read_label_table(find_table(path, column), column or GROUP_NAMES)
    known = names if table.are_numbers else [*names, *test_names]
    rows = rows_by_image(table, find_images(table, known))
    labels = table.given()
    given = {position: labels[row] for position, row in rows.items()}
    _refuse_without([name for position, name in enumerate(known) if not given.get(position)], str(path))
    alone = [f"\0{name}" for name in test_names] if table.are_numbers else []
    return [given[position] for position in range(len(known))] + alone


def _from_names(rule: str, names: Sequence[str]) -> list[str]:
    try:
        expression = re.compile(rule)
    except re.error as error:
        raise PipelineError(
            f"data.groups: {rule!r} is neither a CSV file nor a regular expression ({error}); expected one with the "
            r"group in parentheses, such as 'patient(\d+)_'"
        ) from error
    if expression.groups != 1:
        raise PipelineError(
            f"data.groups: {rule!r} has {expression.groups} parts in parentheses; expected one, which names the group"
        )
    found = [expression.search(name) for name in names]
    _refuse_without([name for name, match in zip(names, found, strict=True) if not (match and match[1])], repr(rule))
    return [match[1] for match in found if match]


def _refuse_without(names: Sequence[str], rule: str) -> None:
    if names:
        raise PipelineError(f"data.groups: {rule} gives no group to {list_names(names)}; give every image one")
