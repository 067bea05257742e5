"""Arrays of images as people have them, in any layout: read as (N, C, H, W), gone through, turned into bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.datasets.scale import Scale, Values
from pipeline.datasets.streamed import CHUNK, Array, Rows, Storage, Streamed
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, int, int]  # channels, height, width

_CHANNELS = (1, 3, 4)  # numbers of channels by which their axis is recognised


@dataclass(frozen=True)
class ArrayImages:
    """Images in an array of any layout, which a slice returns as (n, C, H, W).

    Attributes:
        name: What messages call them.
        source: The array, in memory or in a file.
        shape: (C, H, W) of an image.
        channels_last: Whether the source has the channels as its last axis.
    """

    name: str
    source: Array | Rows
    shape: Shape
    channels_last: bool = False

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: slice) -> Array:
        """Return some of the images, shape (n, C, H, W), of the type they are stored in."""
        images = self.source[index]
        return np.moveaxis(images, 3, 1) if self.channels_last else images.reshape(-1, *self.shape)

    def chunks(self) -> Iterator[Array]:
        """Yield all images in order, a few megabytes at a time."""
        count = max(1, CHUNK // (self.source.dtype.itemsize * math.prod(self.shape)))
        return (self[start : start + count] for start in range(0, len(self), count))

    def is_plain(self, scale: Scale) -> bool:
        """Whether the source holds the images as they are needed: bytes up to 255, channels first."""
        return self.source.dtype == np.uint8 and scale.white == 255 and not self.channels_last


def find_layout(name: str, value: Any, shape: Sequence[int] | None = None) -> ArrayImages:
    """Find out where the channels, the rows and the columns of images are.

    Args:
        name: What messages call the images.
        value: Numbers of shape (N, H, W), (N, C, H, W), (N, H, W, C) with 1, 3 or 4 channels, or (N, pixels).
        shape: (H, W) or (C, H, W) of an image, for rows of pixels and for other numbers of channels; None takes rows
            for square grey images.

    Raises:
        PipelineError: If it is no array of images.
    """
    rows = Rows.of(value) if isinstance(value, np.memmap) else value
    images = rows if isinstance(rows, Rows) else as_array(name, value, "images of one size as one array of numbers")
    if images.dtype.kind not in "buif":
        raise PipelineError(f"{name}: got an array of {images.dtype}; expected images of one size as numbers")
    if len(images) == 0:
        raise PipelineError(f"{name}: there are none; expected at least one image")
    if images.ndim == 2:
        return ArrayImages(name, images, _row_shape(name, images.shape[1], shape))
    if images.ndim == 3:
        return ArrayImages(name, images, (1, images.shape[1], images.shape[2]))
    if images.ndim == 4 and (images.shape[1] in _CHANNELS or images.shape[1:] == tuple(shape or ())):
        channels, height, width = images.shape[1:]
        return ArrayImages(name, images, (channels, height, width))
    if images.ndim == 4 and images.shape[3] in _CHANNELS:
        height, width, channels = images.shape[1:]
        return ArrayImages(name, images, (channels, height, width), channels_last=True)
    raise PipelineError(
        f"{name}: they are an array of shape {images.shape}; expected (N, H, W), (N, C, H, W) or (N, H, W, C) with 1, "
        "3 or 4 channels, or rows (N, pixels). For (N, C, H, W) with others, say so: data.args.shape [C, H, W]"
    )


def as_array(name: str, value: Any, expected: str) -> Array:
    """Return an array of one axis or more, of what may be a list of lists.

    Raises:
        PipelineError: If it cannot be made one; the message says what was ``expected``.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:  # lists of images that differ in size
        raise PipelineError(f"{name}: cannot be made one array ({error}); expected {expected}") from error
    if array.ndim == 0:
        raise PipelineError(f"{name}: got a single {type(value).__name__}; expected {expected}")
    return array


def _row_shape(name: str, pixels: int, shape: Sequence[int] | None) -> Shape:
    """Return the shape (C, H, W) of an image in a row of so many pixels."""
    side = round(pixels**0.5)
    sizes = list(shape) if isinstance(shape, Sequence) else [side, side]
    if len(sizes) == 2:
        sizes = [1, *sizes]
    if len(sizes) != 3 or not all(isinstance(n, int) and n > 0 for n in sizes) or math.prod(sizes) != pixels:
        wanted = str(sizes[1:] if shape is None else shape)
        if shape is not None and all(isinstance(n, int) for n in sizes):
            wanted += f", which have {math.prod(sizes)}"
        raise PipelineError(
            f"{name}: rows of {pixels} pixels are no images of shape {wanted}; say what they are with data.args.shape, "
            "[height, width] or [channels, height, width]"
        )
    channels, height, width = sizes
    return channels, height, width


# --- values ---------------------------------------------------------------------------------------------------


def find_values(images: ArrayImages, storage: Storage | None = None) -> Values:
    """Return the type and range of the images' numbers; a file is read once for that, and the storage keeps the result.

    Raises:
        PipelineError: If some are NaN or infinite.
    """
    source = images.source
    if storage is None or not isinstance(source, Rows):
        low, high = _find_limits(images)
    else:
        low, high = storage.recall(["limits", *source.identity], lambda: _find_limits(images))
    return Values(str(source.dtype), low, high)


def _find_limits(images: ArrayImages) -> tuple[float, float]:
    lows, highs, broken = [], [], []
    seen = 0
    for chunk in images.chunks():
        lows.append(float(chunk.min()))
        highs.append(float(chunk.max()))
        if not np.isfinite([lows[-1], highs[-1]]).all():
            broken += (seen + np.flatnonzero(~np.isfinite(chunk).all(axis=(1, 2, 3)))).tolist()
        if chunk.dtype == np.uint8 and (min(lows), max(highs)) == (0, 255):
            break  # there is no more to be found
        seen += len(chunk)
    if broken:
        raise PipelineError(
            f"{images.name}: {len(broken)} of {len(images)} hold NaN or infinite pixels, the first is number "
            f"{broken[0]}; leave those images out or fill the pixels in"
        )
    return min(lows), max(highs)


# --- bytes ----------------------------------------------------------------------------------------------------


def as_bytes(parts: Sequence[ArrayImages], scale: Scale, storage: Storage | None) -> Tensor | Streamed:
    """Return all images of some parts, intensities 0 to 255, shape (N, C, H, W).

    They are in memory, or in files if there is a storage and all of them lie in files.
    """
    if storage is not None and all(isinstance(part.source, Rows) for part in parts):
        return Streamed([_kept(part, scale, storage) for part in parts])
    import torch

    first = parts[0]
    if len(parts) == 1 and first.is_plain(scale) and not isinstance(first.source, Rows) and first.source.flags.carray:
        return torch.from_numpy(first.source.reshape(-1, *first.shape))  # nothing to be done
    images = np.empty((sum(map(len, parts)), *first.shape), np.uint8)
    start = 0
    for part in parts:
        for chunk in part.chunks():
            images[start : start + len(chunk)] = scale.to_bytes(chunk)
            start += len(chunk)
    return torch.from_numpy(images)


def _kept(part: ArrayImages, scale: Scale, storage: Storage) -> Rows:
    """Return a file of the images as bytes: their own if they lie in it like that, else one that is made."""
    source, shape = part.source, (len(part), *part.shape)
    assert isinstance(source, Rows)
    if part.is_plain(scale):
        return source.reshape(*shape)
    return storage.keep(
        [*source.identity, shape, scale.white], shape, lambda: (scale.to_bytes(chunk) for chunk in part.chunks())
    )
