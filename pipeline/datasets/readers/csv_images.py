"""The images that a CSV file holds or names, and their division into training and test images by a column of parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.streamed import Array, Indices
from pipeline.errors import PipelineError, list_names


@dataclass(frozen=True)
class CsvImages:
    """The images of a CSV file, which has a row for each.

    Attributes:
        images: The pixels of each image, shape (N, pixels) or (N, C, H, W), in memory or in a file; or, until they are
            read, the places of the picture files among all of a folder, whole numbers, shape (N,).
        names: The name of each image.
        labels: Strings or whole numbers, shape (N,); None if there is no such column.
        parts: The part of the data set that each image belongs to: "train", "test", "validation" or "unlabelled", shape
            (N,); None if the file does not say.
        notes: Sentences on choices that the owner of the file may not expect.
    """

    images: Any
    names: list[str]
    labels: Array | None
    parts: Array | None
    notes: list[str]

    def only(self, chosen: Indices) -> CsvImages:
        """Return the images at these indices, shape (n,); they keep their names."""
        labels = None if self.labels is None else self.labels[chosen]
        parts = None if self.parts is None else self.parts[chosen]
        return CsvImages(self.images[chosen], [self.names[n] for n in chosen.tolist()], labels, parts, self.notes)


def divided(listed: dict[str, CsvImages], files: Mapping[str, Path]) -> dict[str, CsvImages]:
    """Take the test images out of the training images, and the labels of the unlabelled part, if a column says so.

    Validation images train if there are test images; otherwise they are the test images.

    Args:
        listed: The images by the argument of reader ``csv`` that names their file: "path", "unlabelled" and "test".
        files: These files.

    Returns:
        The same with other training images and, if there are any, test images.

    Raises:
        PipelineError: If the file of "path" holds test images although there is one of "test", or another file is
            divided.
    """
    train = listed["path"]
    parts = {part: set() if own.parts is None else set(own.parts.tolist()) for part, own in listed.items()}
    test_part = next((part for part in ("test", "validation") if part in parts["path"]), None)
    if test_part is not None and "test" in listed:
        raise PipelineError(
            f"data.args.test: {files['path']} says itself which of its images are test images; leave out "
            "data.args.test, or these rows"
        )
    for part in listed.keys() - {"path"}:
        if len(parts[part]) > 1:
            raise PipelineError(
                f"data.args.{part}: {files[part]} has rows of several parts, {list_names(sorted(parts[part]))}; leave "
                "only those in it that are meant, or name it as data.args.path alone, which divides it"
            )
    if train.parts is None:
        return listed
    if train.labels is not None:
        nothing = "" if train.labels.dtype.kind == "U" else -1
        train = replace(train, labels=np.where(train.parts == np.array("unlabelled"), nothing, train.labels))
    if test_part is None:
        return listed | {"path": train}
    is_test = np.array(train.parts == np.array(test_part))
    return listed | {"path": train.only(np.flatnonzero(~is_test)), "test": train.only(np.flatnonzero(is_test))}
