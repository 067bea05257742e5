"""The decoding of pictures to arrays that are upright, opaque, of 8 bits, grey or colour, and of one size.

All readers and ``predict`` decode pictures here, so that a file gives the same image everywhere. ``docs/datasets.md``
has a table of the rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.config import JsonObject
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]  # red, green and blue, 0 to 255

# the formats that Pillow reads without starting another program
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")

DEEP = 65535  # the value of white in pictures of 16 bits

_GREY = ("1", "L", "LA", "La")  # Pillow's modes of pixels without colour
_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")  # Pillow's modes of pixels with an alpha channel
_ORIENTATION = 0x0112  # the EXIF tag by which a camera says how to turn the picture
_LYING = (5, 6, 7, 8)  # the orientations that swap height and width
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_FAINT = 32  # grey levels between the darkest and the brightest pixel, below which a picture looks empty


@dataclass(frozen=True)
class Decoding:
    """How pictures are decoded, as far as that can be chosen; new pictures are decoded as those of the training.

    Attributes:
        background: The colour behind transparent pictures. None takes white, or black for a picture that would look
            empty on white.
        white: The value of white in pictures of 16 bits.
        resized: Whether pictures of any size are resized to the size that is needed.
    """

    background: Colour | None = None
    white: float = DEEP
    resized: bool = False

    @classmethod
    def from_dict(cls, content: JsonObject) -> Decoding:
        """Make a decoding from JSON: the inverse of ``dataclasses.asdict``.

        Raises:
            KeyError, TypeError, ValueError, PipelineError: If a field is missing or has a value that is not allowed.
        """
        white = float(content["white"])
        if not 0 < white < float("inf"):
            raise ValueError(f"white {white}")
        return cls(as_colour(content["background"]), white, bool(content["resized"]))


@dataclass(frozen=True)
class Header:
    """The properties of a picture that are known before it is decoded.

    Attributes:
        height: The height of the upright picture, in pixels.
        width: The width of the upright picture, in pixels.
        is_grey: Whether it has no colour.
        is_transparent: Whether it has an alpha channel or a transparent colour.
        is_deep: Whether it has more than 8 bits.
        has_frames: Whether it has several frames or pages.
    """

    height: int
    width: int
    is_grey: bool
    is_transparent: bool
    is_deep: bool
    has_frames: bool


class BrokenPictureError(PipelineError):
    """A picture cannot be read.

    Attributes:
        reason: The reason, in words.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be read as a picture ({reason}); repair it or remove it")
        self.reason = reason


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn all errors of decoders, which broken and hostile files cause, into one kind of error.

    Raises:
        BrokenPictureError: If the block raised any error.
    """
    from PIL import UnidentifiedImageError

    try:
        yield
    except (PipelineError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise BrokenPictureError(name, f"its content is none of {', '.join(FORMATS)}") from error
    except Exception as error:
        raise BrokenPictureError(name, str(error) or type(error).__name__) from error


def read_header(picture: Image) -> Header:
    """Return the properties of an opened picture, without decoding it.

    Raises:
        ValueError: If its pixels are floating-point numbers, which do not tell which value is white.
    """
    if picture.mode.startswith("F"):
        raise ValueError("its pixels are floating-point numbers; convert it to 8 or 16 bits")
    width, height = picture.size
    if _orientation(picture) in _LYING:
        width, height = height, width
    is_deep = picture.mode.startswith("I")
    is_transparent = not is_deep and (picture.mode in _ALPHA or "transparency" in picture.info)
    has_frames = bool(getattr(picture, "is_animated", False))
    return Header(height, width, is_deep or _is_grey(picture), is_transparent, is_deep, has_frames)


def decode(picture: Image, shape: tuple[int, int, int], how: Decoding) -> Pixels:
    """Decode an opened picture.

    Args:
        picture: A picture in one of the ``FORMATS``.
        shape: The shape (C, H, W) of the result. Colour becomes grey if C is 1, grey becomes colour if C is 3, and a
            picture of another size is resized without keeping its proportions.
        how: How it is decoded.

    Returns:
        Intensities from 0 to 255, of this shape.

    Raises:
        Exception: If Pillow cannot read the file; ``readable`` turns all such errors into one kind.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    header = read_header(picture)
    upright = ImageOps.exif_transpose(picture) if _orientation(picture) != 1 else picture
    if header.is_deep:
        intensities = np.rint(deep_pixels(upright) * (255 / how.white)).clip(0, 255)
        plain = Image.fromarray(intensities.astype(np.uint8))
    elif header.is_transparent:
        plain = _laid_on(upright, how.background)
    else:
        plain = upright
    # grey pictures are resized as grey, whatever the others are
    is_grey = channels == 1 or (header.is_grey and _is_grey_colour(how.background))
    plain = plain.convert("L" if is_grey else "RGB")
    if plain.size != (width, height):
        plain = plain.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.atleast_3d(np.asarray(plain)).transpose(2, 0, 1)
    return np.broadcast_to(pixels, shape)


def deep_pixels(picture: Image) -> npt.NDArray[Any]:
    """Return the pixels of a picture of 16 bits, shape (H, W).

    Raises:
        ValueError: If a pixel is below 0 or does not fit into 16 bits.
    """
    numbers = np.asarray(picture)
    if numbers.min() < 0 or numbers.max() > DEEP:
        raise ValueError(f"its pixels run from {numbers.min()} to {numbers.max()}; convert it to 8 or 16 bits")
    return numbers


def as_colour(given: str | Sequence[int] | None) -> Colour | None:
    """Return the colour with a name, such as "black" or "#ff8800", or of three numbers from 0 to 255; None for None.

    Raises:
        PipelineError: If it is no colour.
    """
    from PIL import ImageColor

    if given is None:
        return None
    try:
        numbers = ImageColor.getrgb(given)[:3] if isinstance(given, str) else tuple(given)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(isinstance(n, int) and 0 <= n <= 255 for n in numbers):
        raise PipelineError(
            f"data.args.background: {given!r} is no colour; expected a name such as black, #ff8800, or [red, green, "
            "blue], each 0 to 255"
        )
    red, green, blue = numbers
    return red, green, blue


def is_colour(header: Header, how: Decoding) -> bool:
    """Whether a picture has colour after it is decoded."""
    return not header.is_grey or (header.is_transparent and not _is_grey_colour(how.background))


# --- kinds of pixels ------------------------------------------------------------------------------------------


def _orientation(picture: Image) -> int:
    """Return how the pixels have to be turned, as an EXIF orientation; 1 for not at all."""
    if picture.format == "TIFF":
        return 1  # Pillow turns these pictures itself
    if picture.format == "PNG" and not {"exif", "Raw profile type exif"} & picture.info.keys():
        return 1  # Pillow would decode the whole picture to search for EXIF data behind the pixels
    return int(picture.getexif().get(_ORIENTATION, 1))


def _is_grey(picture: Image) -> bool:
    if picture.mode in ("P", "PA"):
        palette = np.array(picture.getpalette() or [], np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return picture.mode in _GREY


def _is_grey_colour(colour: Colour | None) -> bool:
    return colour is None or len(set(colour)) == 1


# --- transparency ---------------------------------------------------------------------------------------------


def _laid_on(picture: Image, background: Colour | None) -> Image:
    """Lay a transparent picture on a background; the colours of fully transparent pixels do not matter."""
    rgba = picture.convert("RGBA")
    if background is not None:
        return _composite(rgba, background)
    on_white = _composite(rgba, _WHITE)
    if _contrast(on_white) < _FAINT <= _contrast(rgba.getchannel("A")):
        return _composite(rgba, _BLACK)
    return on_white


def _composite(rgba: Image, colour: Colour) -> Image:
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", rgba.size, (*colour, 255)), rgba).convert("RGB")


def _contrast(picture: Image) -> int:
    """Return the largest difference, over the channels, between the brightest and the darkest pixel, 0 to 255."""
    limits = np.array(picture.getextrema()).reshape(-1, 2)
    return int((limits[:, 1] - limits[:, 0]).max())
