"""Digests that tell whether two images are the same, pixel for pixel."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pipeline.datasets.streamed import CHUNK, Streamed

if TYPE_CHECKING:
    import torch

Hashes = npt.NDArray[np.bytes_]


def content_hashes(images: torch.Tensor | Streamed, also: Callable[[memoryview], None] | None = None) -> Hashes:
    """Compute a digest of each image's pixels, equal for equal images; a few megabytes are read at a time.

    Args:
        images: uint8, shape (N, C, H, W).
        also: Called with the bytes of all images, one piece after the other, so that they are read only once.

    Returns:
        The digests, 16 bytes each, shape (N,).
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
