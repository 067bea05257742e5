"""What the readers of files share: paths that must exist, sizes that must fit, and pictures as one array.

Files are taken for hostile: what one declares is believed no further than memory reaches, and nothing in it is run.
"""

from __future__ import annotations

import gzip
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from PIL.Image import Image

Pictures = npt.NDArray[np.uint8]
Content = IO[bytes] | gzip.GzipFile

# of what Pillow reads, the formats whose decoders start no other program
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")

_CHUNK = 2**20  # bytes that are unpacked at a time


def existing(path: Any, setting: str = "data.args.path") -> Path:
    """The path, if something is there. A relative one starts at the working directory.

    Raises:
        PipelineError: Nothing is there.
    """
    found = Path(str(path)).expanduser()
    if not found.exists():
        raise PipelineError(f"{setting}: {found} does not exist (looked in {Path.cwd()}); correct the path")
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
            f"{name} would take {needed / 2**30:,.0f} GiB of memory, where {room / 2**30:.1f} GiB may be used; get the "
            "file again, or take fewer or smaller images"
        )


@contextmanager
def unpacked(path: Path) -> Iterator[Content]:
    """A file's content, unpacked if it is gzipped, whatever it is called."""
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


def stack(pictures: Iterable[tuple[str, Image]], count: int, size: int | Sequence[int] | None = None) -> Pictures:
    """Pictures as uint8 of shape (N, C, H, W): grey if all of them are, else colour.

    Args:
        pictures: Each with the name that messages call it.
        count: How many there are, for the progress bar.
        size: Side, or height and width, that every picture is resized to; None leaves them as they are.

    Raises:
        PipelineError: Sizes differ and ``size`` is None, a picture has more than 8 bits, or ``size`` is no size.
    """
    from tqdm import tqdm

    target = _as_size(size)
    names: list[str] = []
    arrays: list[Pictures] = []
    for name, picture in tqdm(pictures, "reading images", total=count, disable=None, leave=False):
        array = _as_array(name, picture, target)
        if arrays and array.shape[:2] != arrays[0].shape[:2]:
            first, second = (" x ".join(map(str, a.shape[:2])) for a in (arrays[0], array))
            raise PipelineError(
                f"images differ in size: {names[0]} is {first} (height x width), {name} is {second}; resize them all "
                f"to one with data.args.size, such as {list(arrays[0].shape[:2])}"
            )
        if not arrays:
            check_room(f"{count} pictures of {array.shape[0]} x {array.shape[1]} pixels", 3 * count * array.size)
        names.append(name)
        arrays.append(array)
    colour = any(array.ndim == 3 for array in arrays)
    height, width = arrays[0].shape[:2]
    images = np.empty((len(arrays), 3 if colour else 1, height, width), np.uint8)
    for image, array in zip(images, arrays, strict=True):
        image[:] = array if array.ndim == 2 else array.transpose(2, 0, 1)  # grey ones are repeated in each channel
    return images


def _as_array(name: str, picture: Image, size: tuple[int, int] | None) -> Pictures:
    """One picture, (H, W) if it is grey, else (H, W, 3)."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):
        raise PipelineError(f"{name}: its pixels have more than 8 bits (mode {picture.mode}); convert it to 8 bits")
    mode = "L" if picture.mode in ("1", "L", "LA") else "RGB"
    if picture.mode != mode:
        picture = picture.convert(mode)
    if size is not None:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _as_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = [size, size] if isinstance(size, int) else size
    if not (isinstance(sides, Sequence) and len(sides) == 2 and all(isinstance(n, int) and n > 0 for n in sides)):
        raise PipelineError(f"data.args.size: {size!r} is not allowed; expected a side or [height, width], in pixels")
    height, width = sides
    return height, width
