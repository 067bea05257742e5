"""Images as pictures inside a page: small ones to the pixel, large ones reduced, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, TypedDict

from pipeline.labelling.request import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

LOSSLESS = 96  # pixels of the longer side up to which a picture is kept to the pixel
QUALITIES = (88, 65)  # of JPEG, tried in turn before the picture is reduced
SMALLEST = 48  # pixels of the longer side below which no picture is reduced


class Picture(TypedDict):
    """A picture inside a page: a data URI, and its width and height in pixels."""

    src: str
    width: int
    height: int


def embed(image: Pixels, longest: int, most: int) -> Picture:
    """Write an image as a data URI.

    Args:
        image: uint8, shape (H, W, C), of one channel or three.
        longest: Pixels of the longer side above which it is reduced.
        most: Bytes of the file that it should not exceed; an image of mere noise may, when it is as small as can be.

    Examples:
        >>> import numpy as np
        >>> embed(np.zeros((28, 20, 1), np.uint8), 96, 1000)["src"][:22]
        'data:image/png;base64,'
    """
    from PIL.Image import Resampling, fromarray

    picture = fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    if max(picture.size) > longest:
        picture.thumbnail((longest, longest), Resampling.LANCZOS)
    if max(picture.size) <= LOSSLESS:
        content = _write(picture, "PNG")
        if len(content) <= most:
            return _picture(picture, "png", content)
    while True:
        for quality in QUALITIES:
            content = _write(picture, "JPEG", quality=quality)
            if len(content) <= most:
                return _picture(picture, "jpeg", content)
        side = max(picture.size)
        if side <= SMALLEST:
            return _picture(picture, "jpeg", content)
        smaller = max(SMALLEST, int(0.95 * side * (most / len(content)) ** 0.5))
        picture.thumbnail((smaller, smaller), Resampling.LANCZOS)


def _write(picture: Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _picture(picture: Image, kind: str, content: bytes) -> Picture:
    encoded = base64.b64encode(content).decode()
    return {"src": f"data:image/{kind};base64,{encoded}", "width": picture.width, "height": picture.height}
