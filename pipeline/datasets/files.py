"""What the readers of files share: paths that must exist, and pictures as arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.streamed import CHUNK, Rows, Storage
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from PIL.Image import Image

Pictures = npt.NDArray[np.uint8]

_GREY = ("1", "L", "LA")  # Pillow's names of pixels without colour
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)  # what a camera says of itself: these swap height and width


def existing(path: Any, setting: str = "data.args.path") -> Path:
    """The path, if something is there. A relative one starts at the working directory.

    Raises:
        PipelineError: Nothing is there.
    """
    found = Path(str(path)).expanduser()
    if not found.exists():
        raise PipelineError(f"{setting}: {found} does not exist (looked in {Path.cwd()}); correct the path")
    return found


@dataclass(frozen=True)
class Gallery:
    """Pictures that are opened one by one.

    Attributes:
        names: What messages call them.
        open: Gives the picture of a number, of which Pillow has read the header alone if it comes from a file.
    """

    names: Sequence[str]
    open: Callable[[int], Image]

    @contextmanager
    def picture(self, number: int) -> Iterator[Image]:
        """One of them, opened.

        Raises:
            PipelineError: It cannot be read, or has more than 8 bits.
        """
        from PIL import Image

        name = self.names[number]
        try:
            with self.open(number) as picture:
                if picture.mode.startswith(("I", "F")):
                    raise PipelineError(
                        f"{name}: its pixels have more than 8 bits (mode {picture.mode}); convert it to 8 bits"
                    )
                yield picture
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise PipelineError(f"{name} cannot be read as a picture ({error}); replace or remove it") from error

    def survey(self, size: tuple[int, int] | None) -> tuple[int, int, int]:
        """Channels, 1 if all are grey, else 3, height and width of all of them; nothing is decoded.

        Raises:
            PipelineError: Sizes differ and ``size`` is None, or a picture cannot be read.
        """
        colour, sizes = False, []
        for number in range(len(self.names)):
            with self.picture(number) as picture:
                colour = colour or picture.mode not in _GREY
                width, height = picture.size
                lying = picture.getexif().get(_ORIENTATION) in _LYING
            sizes.append((width, height) if lying else (height, width))
            if size is None and sizes[-1] != sizes[0]:
                first, other = (" x ".join(map(str, sides)) for sides in (sizes[0], sizes[-1]))
                raise PipelineError(
                    f"images differ in size: {self.names[0]} is {first} (height x width), {self.names[number]} is "
                    f"{other}; resize them all to one with data.args.size, such as {list(sizes[0])}"
                )
        return (3 if colour else 1, *(size or sizes[0]))

    def decode(self, number: int, shape: tuple[int, int, int]) -> Pictures:
        """One of them, upright, of this shape (C, H, W)."""
        from PIL import Image, ImageOps

        channels, height, width = shape
        with self.picture(number) as picture:
            upright = ImageOps.exif_transpose(picture)  # cameras store upright pictures lying on their side
            # those that are grey are resized as grey, whatever the others are
            plain = upright.convert("L" if upright.mode in _GREY else "RGB")
            if plain.size != (width, height):
                plain = plain.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.atleast_3d(np.asarray(plain)).transpose(2, 0, 1)
        return np.broadcast_to(pixels, (channels, height, width))


def stack(
    gallery: Gallery,
    counts: Sequence[int],
    size: int | Sequence[int] | None = None,
    storage: Storage | None = None,
    made_from: Any = None,
) -> list[Pictures | Rows]:
    """Pictures as uint8 of shape (N, C, H, W): grey if all of them are, else colour.

    Args:
        gallery: All pictures.
        counts: How many of them make each of the arrays that come out, in order.
        size: Side, or height and width, that every picture is resized to; None expects them to have one size.
        storage: Says whether they are decoded into a file instead; None never does.
        made_from: What tells whether such a file is still that of these pictures, as JSON takes it.

    Raises:
        PipelineError: Sizes differ and ``size`` is None, a picture cannot be read, or ``size`` is no size.
    """
    shape = gallery.survey(_as_size(size))
    total = len(gallery.names) * math.prod(shape)
    if storage is not None and storage.streams(total):
        whole: Pictures | Rows = storage.keep(
            [made_from, shape], (len(gallery.names), *shape), lambda: _decoded(gallery, shape)
        )
    else:
        whole = np.empty((len(gallery.names), *shape), np.uint8)
        start = 0
        for piece in _decoded(gallery, shape):
            whole[start : start + len(piece)] = piece
            start += len(piece)
    ends = np.cumsum(counts).tolist()
    bounds = zip([0, *ends[:-1]], ends, strict=True)
    return [whole.cut(a, b) if isinstance(whole, Rows) else whole[a:b] for a, b in bounds]


def _decoded(gallery: Gallery, shape: tuple[int, int, int]) -> Iterator[Pictures]:
    """All pictures in order, a few megabytes at a time, by all cores."""
    from tqdm import tqdm

    total, count = len(gallery.names), max(1, CHUNK // math.prod(shape))
    with ThreadPoolExecutor() as pool, tqdm(desc="reading images", total=total, disable=None, leave=False) as bar:
        for start in range(0, total, count):
            numbers = range(start, min(start + count, total))
            yield np.stack(list(pool.map(lambda number: gallery.decode(number, shape), numbers)))
            bar.update(len(numbers))


def _as_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = [size, size] if isinstance(size, int) else size
    if not (isinstance(sides, Sequence) and len(sides) == 2 and all(isinstance(n, int) and n > 0 for n in sides)):
        raise PipelineError(f"data.args.size: {size!r} is not allowed; expected a side or [height, width], in pixels")
    height, width = sides
    return height, width
