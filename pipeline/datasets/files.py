"""What the readers of files share: paths that must exist, and pictures as one array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from PIL.Image import Image

Pictures = npt.NDArray[np.uint8]


def existing(path: Any, setting: str = "data.args.path") -> Path:
    """The path, if something is there. A relative one starts at the working directory.

    Raises:
        PipelineError: Nothing is there.
    """
    found = Path(str(path)).expanduser()
    if not found.exists():
        raise PipelineError(f"{setting}: {found} does not exist (looked in {Path.cwd()}); correct the path")
    return found


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
