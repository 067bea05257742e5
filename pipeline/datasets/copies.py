"""The checksum of a data set, and the training images that are copies of a test image or of each other."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.datasets import checksums
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.streamed import Storage, Streamed


@dataclass(frozen=True)
class Copies:
    """The checksum of a data set and the copies in it.

    Attributes:
        sha256: Checksum of all images, labels and class names.
        images_sha256: Checksum of the training images that are left, in their order.
        of_test_groups: Indices of further training images of whose group there are test images.
        in_test: Indices of the training images that the test set holds too.
        repeated: Indices of the labelled training images that equal a labelled one before them.
    """

    sha256: str
    images_sha256: str
    of_test_groups: list[int]
    in_test: list[int]
    repeated: list[int]


def find_copies(train: ImageData, test: ImageData, storage: Storage) -> Copies:
    """Find the copies in a data set and compute its checksum.

    What is found in streamed images is remembered by the storage; they are read again only if their files changed.
    """
    if train.is_streamed or test.is_streamed:
        made_from = [_fingerprint(train), _fingerprint(test)]
        return Copies(**storage.recall(made_from, lambda: asdict(_search(train, test))))
    return _search(train, test)


def _search(train: ImageData, test: ImageData) -> Copies:
    digest, hashes = hashlib.sha256(), []
    for part in (train, test):
        digest.update(repr((tuple(part.images.shape), part.class_names)).encode())
        hashes.append(checksums.content_hashes(part.images, digest.update))
        digest.update(part.labels.contiguous().numpy().data)
        if part.groups is not None:
            digest.update(part.groups.data)
    in_train, in_test = hashes
    copied = np.isin(in_train, in_test)
    mates = np.zeros(len(train), bool)
    if train.groups is not None and test.groups is not None:
        mates = np.isin(train.groups, test.groups) & ~copied
    labelled = np.flatnonzero(train.labels.numpy() >= 0)
    firsts = np.unique(in_train[labelled], return_index=True)[1]
    return Copies(
        digest.hexdigest(),
        hashlib.sha256(repr(train.shape).encode() + in_train[~(copied | mates)].tobytes()).hexdigest(),
        np.flatnonzero(mates).tolist(),
        np.flatnonzero(copied).tolist(),
        np.delete(labelled, firsts).tolist(),
    )


def _fingerprint(part: ImageData) -> list[Any]:
    """What tells whether the images are still those that were searched, without reading streamed ones."""
    digest = hashlib.sha256(part.labels.contiguous().numpy().data)
    digest.update(b"" if part.groups is None else part.groups.data)
    if isinstance(part.images, Streamed):
        digest.update(b"" if part.images.rows is None else part.images.rows.data)
        files = [rows.identity for rows in part.images.parts]
    else:
        digest.update(part.images.contiguous().numpy().data)
        files = []
    return [files, list(part.images.shape), list(part.class_names), digest.hexdigest()]
