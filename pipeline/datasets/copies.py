"""The SHA-256 of a data set, and its training images that are copies of a test image or of each other."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets import checksums
from pipeline.datasets.image_data import Copies, ImageData
from pipeline.datasets.streamed import Storage, Streamed


def find_copies(train: ImageData, test: ImageData, storage: Storage) -> Copies:
    """Find the copies in a data set and compute its SHA-256.

    The result for streamed images is kept by the storage, and the images are read again only if their files change.
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
    left = ~(copied | mates)
    labelled = np.flatnonzero((train.labels.numpy() >= 0) & left)
    firsts = np.unique(in_train[labelled], return_index=True)[1]
    labels = np.concatenate([train.labels.numpy(), test.labels.numpy()])
    return Copies(
        sha256=digest.hexdigest(),
        images_sha256=hashlib.sha256(repr(train.shape).encode() + in_train[left].tobytes()).hexdigest(),
        of_test_groups=np.flatnonzero(mates).tolist(),
        in_test=np.flatnonzero(copied).tolist(),
        repeated=np.delete(labelled, firsts).tolist(),
        within_train=len(in_train) - len(np.unique(in_train)),
        within_test=len(in_test) - len(np.unique(in_test)),
        other_label=_count_contradictions(np.concatenate(hashes), labels),
    )


def _count_contradictions(hashes: checksums.Hashes, labels: npt.NDArray[np.int64]) -> int:
    """Return the number of different images that have several labels; both arguments have shape (N,)."""
    _, images = np.unique(hashes[labels >= 0], return_inverse=True)
    pairs = np.unique(np.stack([images, labels[labels >= 0]], 1), axis=0)
    return int((np.bincount(pairs[:, 0]) > 1).sum()) if len(pairs) else 0


def _fingerprint(part: ImageData) -> list[Any]:
    """Return values that differ if the images or labels have changed; streamed images are not read for that."""
    digest = hashlib.sha256(part.labels.contiguous().numpy().data)
    digest.update(b"" if part.groups is None else part.groups.data)
    if isinstance(part.images, Streamed):
        digest.update(b"" if part.images.rows is None else part.images.rows.data)
        files = [rows.identity for rows in part.images.parts]
    else:
        digest.update(part.images.contiguous().numpy().data)
        files = []
    return [files, list(part.images.shape), list(part.class_names), digest.hexdigest()]
