"""Images as rows of pixels, as scikit-learn takes them, and their shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.scale import Values

Array = npt.NDArray[Any]
Shape = tuple[int, int, int]


def values_of(rows: Array) -> Values:
    """Return the type, the least and the greatest of the pixels."""
    return Values(str(rows.dtype), float(rows.min()), float(rows.max()))


def as_rows(X: Any) -> tuple[Any, Shape | None]:  # noqa: N803
    """Return rows of pixels, and the images' shape (C, H, W) if X tells it."""
    if getattr(X, "ndim", 0) == 2:  # data frames and sparse matrices too, of which scikit-learn knows more
        return X, None
    images = np.asarray(X)
    if images.ndim <= 2:
        return images, None
    if images.ndim == 4 and images.shape[3] in (1, 3, 4) and images.shape[1] not in (1, 3, 4):
        raise ValueError(f"X has shape {images.shape}; expected channels first, as X.transpose(0, 3, 1, 2) has them")
    if images.ndim > 4:
        raise ValueError(f"X has shape {images.shape}; expected (N, pixels), (N, H, W) or (N, C, H, W)")
    channels, height, width = (1, *images.shape[1:])[-3:]
    return images.reshape(len(images), channels * height * width), (channels, height, width)


def resolve_shape(asked: tuple[int, ...] | None, found: Shape | None, pixels: int) -> Shape:
    """Return an image's shape (C, H, W): as X has it, as the parameter says, or guessed from the number of pixels."""
    side = math.isqrt(pixels)
    if asked is None:
        return found or ((1, side, side) if side * side == pixels else (1, 1, pixels))
    shape = (1, *asked) if len(asked) == 2 else tuple(asked)
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) != pixels or found not in (None, shape):
        raise ValueError(
            f"image_shape: {asked} is not the shape of images of "
            f"{pixels if found is None else found} pixels; expected (H, W) or (C, H, W)"
        )
    channels, height, width = map(int, shape)
    return channels, height, width
