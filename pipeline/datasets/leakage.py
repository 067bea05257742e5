"""The run-time proof that nothing leaks: no image stands in two of labelled, validation, pretraining and test set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.datasets.checksums import content_hashes
from pipeline.datasets.image_data import Dataset
from pipeline.errors import PipelineError


class LeakError(PipelineError):
    """An image is where it must not be; a fault of the pipeline, or of files that were changed under it."""


def check_disjoint(dataset: Dataset, parts: Mapping[str, npt.NDArray[np.int64]]) -> None:
    """Refuse parts of the training images that have an image in common with each other or with the test set.

    Images are compared by content, so that a copy counts as the image itself.

    Args:
        dataset: Images.
        parts: Indices of training images, by what messages call them.

    Raises:
        LeakError: They have.
    """
    owners = dict.fromkeys(dataset.test_hashes, "the test set")
    for name, index in parts.items():
        own = content_hashes(dataset.train.images[index]).tolist()
        for position, digest in enumerate(own):
            if digest in owners:
                raise LeakError(
                    f"image {index[position]} of the training images is in {name} and in {owners[digest]}; no result "
                    "is made of it. Look where the data come from (make check-dataset)"
                )
        owners.update(dict.fromkeys(own, name))
