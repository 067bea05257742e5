"""The check, before each training, that no image is in two of the labelled, validation, pretraining and test sets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.datasets.checksums import content_hashes
from pipeline.datasets.image_data import Dataset
from pipeline.errors import PipelineError


class LeakError(PipelineError):
    """An image is in two sets that must be disjoint: a fault of the pipeline, or files were changed while it ran."""


def check_disjoint(dataset: Dataset, parts: Mapping[str, npt.NDArray[np.int64]]) -> None:
    """Refuse parts of the training images that have an image in common with each other or with the test set.

    Images are compared by content, so a copy counts as the image itself. The parts hold indices of training images, by
    the name of the part in messages.

    Raises:
        LeakError: If two parts, or a part and the test set, have an image in common.
    """
    owners = dict.fromkeys(dataset.test_hashes, "the test set")
    for name, index in parts.items():
        own = content_hashes(dataset.train.images[index]).tolist()
        for position, digest in enumerate(own):
            if digest in owners:
                raise LeakError(
                    f"image {index[position]} of the training images is in {name} and in {owners[digest]}; so "
                    "there is no result. Check where the data come from (make check-dataset)"
                )
        owners.update(dict.fromkeys(own, name))
