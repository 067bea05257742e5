"""What the readers of files share: paths that must exist, sizes that must fit, and pictures as arrays.

Files are taken for hostile: what one declares is believed no further than memory reaches, and nothing in it is run.
"""

from __future__ import annotations

import gzip
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.streamed import CHUNK, Rows, Storage
from pipeline.errors import PipelineError
from pipeline.store.regular_files import check_regular

if TYPE_CHECKING:
    from PIL.Image import Image

Pictures = npt.NDArray[np.uint8]
Content = IO[bytes] | gzip.GzipFile

# of what Pillow reads, the formats whose decoders start no other program
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")

_CHUNK = 2**20  # bytes that are unpacked at a time

_GREY = ("1", "L", "LA")  # Pillow's names of pixels without colour
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)  # what a camera says of itself: these swap height and width


def existing(path: Any, setting: str = "data.args.path") -> Path:
    """The path, if a regular file or a folder is there. A relative one starts at the working directory.

    Raises:
        PipelineError: If nothing is there, or a pipe, a device or a socket.
    """
    found = Path(str(path)).expanduser()
    if not found.exists():
        raise PipelineError(f"{setting}: {found} does not exist (looked in {Path.cwd()}); correct the path")
    check_regular(found, setting, folder_allowed=True)
    return found


def existing_file(path: Any, setting: str = "data.args.path") -> Path:
    """The same for a path that must be a file.

    Raises:
        PipelineError: If no regular file is there.
    """
    found = existing(path, setting)
    check_regular(found, setting)
    return found


def check_room(name: str, needed: int) -> None:
    """Refuse what would not fit into half of the machine's memory; reading makes a copy.

    Args:
        name: What the message calls it.
        needed: Bytes.

    Raises:
        PipelineError: It would not.
    """
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    if needed > room:
        raise PipelineError(
            f"{name} would take {min(needed, 2**80) / 2**30:,.0f} GiB of memory, where {room / 2**30:.1f} GiB may be "
            "used; get the file again, or take fewer or smaller images"
        )


@contextmanager
def unpacked(path: Path) -> Iterator[Content]:
    """Open a file's content, unpacked if it is gzipped, whatever the file is called.

    Raises:
        PipelineError: If it is no regular file.
    """
    check_regular(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=file) as content:
                yield content
        else:
            yield file


def read_most(file: Content, most: int) -> bytearray:
    """So many bytes, or all if there are fewer; memory is taken as they come."""
    content = bytearray()
    while len(content) < most and (chunk := file.read(min(_CHUNK, most - len(content)))):
        content += chunk
    return content


def unpacked_size(path: Path) -> int:
    """Bytes of a file's content, at a chunk's memory.

    Raises:
        PipelineError: They would not fit into memory.
    """
    size = 0
    with unpacked(path) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            check_room(str(path), size)
    return size


@contextmanager
def picture(path: Path, formats: tuple[str, ...] = FORMATS) -> Iterator[Image]:
    """Open a picture, to be decoded inside the block.

    Raises:
        PipelineError: It is none of these formats, broken, or declares more pixels than Pillow thinks sound.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats) as found:
                yield found
    except (PipelineError, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever comes to them of broken and hostile files
        reason = str(error).replace(str(path), "it")
        raise PipelineError(
            f"{path} cannot be read as a picture ({', '.join(formats)}): {reason}; mend it or take it away"
        ) from error


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
        name = self.names[number]
        try:
            with self.open(number) as picture:
                if picture.mode.startswith(("I", "F")):
                    raise PipelineError(
                        f"{name}: its pixels have more than 8 bits (mode {picture.mode}); convert it to 8 bits"
                    )
                yield picture
        except (PipelineError, MemoryError):
            raise
        except Exception as error:  # decoders raise whatever comes to them of broken and hostile files
            reason = str(error).replace(name, "it")
            raise PipelineError(f"{name} cannot be read as a picture ({reason}); replace or remove it") from error

    def survey(self, size: tuple[int, int] | None) -> tuple[int, int, int]:
        """Channels, 1 if all are grey, else 3, height and width of all of them; nothing is decoded.

        Raises:
            PipelineError: Sizes differ and ``size`` is None, a picture cannot be read, or declares more pixels than
                Pillow thinks sound.
        """
        from PIL import Image

        with warnings.catch_warnings():  # here, and not while decoding: filters are shared by all threads
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return self._survey(size)

    def _survey(self, size: tuple[int, int] | None) -> tuple[int, int, int]:
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
        check_room(f"{len(gallery.names)} pictures of {shape[1]} x {shape[2]} pixels", total)
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
