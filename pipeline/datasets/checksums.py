"""What makes a data set the same data set, and an image the same image: digests of their bytes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline.datasets.streamed import CHUNK, Storage, Streamed

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.loading import ImageData

Hashes = npt.NDArray[np.bytes_]


def examine(train: ImageData, test: ImageData, storage: Storage) -> dict[str, Any]:
    """``sha256``, of all images, labels and class names, and two lists of numbers of training images.

    ``in_test`` are those that the test set holds too, ``repeated`` labelled ones that equal a labelled one before them.

    Streamed images are read for that once, and again only if their files were changed.
    """
    if isinstance(train.images, Streamed) or isinstance(test.images, Streamed):
        found: dict[str, Any] = storage.recall([_mark(train), _mark(test)], lambda: _examine(train, test))
        return found
    return _examine(train, test)


def content_hashes(images: torch.Tensor | Streamed, also: Callable[[memoryview], None] | None = None) -> Hashes:
    """A digest of each image's bytes, equal for equal images, shape (N,); a few megabytes are read at a time.

    Args:
        images: uint8, shape (N, C, H, W).
        also: Given all bytes, one piece after the other.
    """
    count = max(1, CHUNK // math.prod(images.shape[1:]))
    hashes = np.empty(len(images), "S16")
    starts = range(0, len(images), count)
    for start in tqdm(starts, "checking images", disable=None if isinstance(images, Streamed) else True, leave=False):
        pixels = images[start : start + count].contiguous().numpy()
        if also is not None:
            also(pixels.data)
        hashes[start : start + count] = [hashlib.blake2b(image, digest_size=16).digest() for image in pixels]
    return hashes


def _examine(train: ImageData, test: ImageData) -> dict[str, Any]:
    digest, hashes = hashlib.sha256(), []
    for part in (train, test):
        digest.update(repr((tuple(part.images.shape), part.class_names)).encode())
        hashes.append(content_hashes(part.images, digest.update))
        digest.update(part.labels.contiguous().numpy().data)
    in_train, in_test = hashes
    in_test.sort()
    nearest = np.searchsorted(in_test, in_train).clip(max=len(in_test) - 1)
    labelled = np.flatnonzero(train.labels.numpy() >= 0)
    firsts = np.unique(in_train[labelled], return_index=True)[1]
    return {
        "sha256": digest.hexdigest(),
        "in_test": np.flatnonzero(in_test[nearest] == in_train).tolist(),
        "repeated": np.delete(labelled, firsts).tolist(),
    }


def _mark(part: ImageData) -> list[Any]:
    """What tells whether the images are still those that were examined, without reading them."""
    digest = hashlib.sha256(part.labels.contiguous().numpy().data)
    if isinstance(part.images, Streamed):
        digest.update(b"" if part.images.rows is None else part.images.rows.data)
        files = [rows.identity for rows in part.images.parts]
    else:
        digest.update(part.images.contiguous().numpy().data)
        files = []
    return [files, list(part.images.shape), list(part.class_names), digest.hexdigest()]
