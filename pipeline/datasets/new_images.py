"""Images to be classified, from where people keep them: picture files, NumPy arrays, IDX files.

Whatever is wrong with them is said before the first one is classified, as far as it can be known without decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets.arrays import Array
from pipeline.datasets.decoding import picture
from pipeline.datasets.readers import idx
from pipeline.datasets.readers.numpy_files import array_names, read_array
from pipeline.errors import PipelineError
from pipeline.store.regular_files import check_regular

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Shape = tuple[int, int, int]  # channels, height, width

PICTURES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG")
# Pillow's names of 8-bit pixels, with the channels they stand for: a palette is colour, one bit is grey
_CHANNELS = {"1": 1, "L": 1, "LA": 2, "P": 3, "RGB": 3, "RGBA": 4, "CMYK": 4}
_GREY = ("1", "L", "LA")


@dataclass(frozen=True)
class Images:
    """Images that are read a batch at a time.

    Attributes:
        key: What ``names`` are: "file" or "index".
        names: Of each image, in order.
        read: The images from one position up to another, shape (n, C, H, W): uint8 as they are stored, or float32 in
            [0, 1].
    """

    key: str
    names: Sequence[str | int]
    read: Callable[[int, int], torch.Tensor]


def open_images(path: Path, shape: Shape, resize: bool) -> Images:
    """Find the images at a path and check that a classifier can take them.

    Args:
        path: A folder of PNG and JPEG files (with the folders in it) or one such file; a ``.npy`` or ``.npz`` array of
            shape (N, H, W) or (N, C, H, W), integers 0 to 255 or floats 0 to 1; an IDX file, plain or gzipped.
        shape: (C, H, W) that the classifier takes.
        resize: Scale images of another size, not keeping their proportions, and turn colour into grey or grey into
            colour, instead of refusing them.

    Raises:
        PipelineError: There is no image, it cannot be read, or it is not of that shape and is not to be resized.
    """
    if not path.exists():
        raise PipelineError(f"images: {path} does not exist; name a folder, a picture, a .npy, .npz or IDX file")
    check_regular(path, "images", folder_allowed=True)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURES and file.is_file())
        if not files:
            raise PipelineError(f"images: {path} holds no PNG or JPEG file")
        names = [file.relative_to(path).as_posix() for file in files]
        foreign = [name for name in names if not name.isprintable()]  # nor can it be shown, or written as UTF-8
        if foreign:
            raise PipelineError(f"images: {foreign[0]!a} in {path} has letters that cannot be shown; rename it")
        return _pictures(files, names, shape, resize)
    if path.suffix.lower() in PICTURES:
        return _pictures([path], [path.name], shape, resize)
    array = _load_numpy(path) if path.suffix.lower() in (".npy", ".npz") else _load_idx(path)
    return _array(path, array, shape, resize)


# --- picture files --------------------------------------------------------------------------------------------


def _pictures(files: list[Path], names: list[str], shape: Shape, resize: bool) -> Images:
    for file in files:  # headers alone: a wrong file among thousands is found before any work
        with picture(file, _FORMATS) as found:
            if found.mode not in _CHANNELS:
                raise PipelineError(f"images: {file} has pixels of kind {found.mode!r}; convert it to 8 bits a channel")
            channels = len(_plain_mode(found)) if resize else _CHANNELS[found.mode]
            _check_shape(file, (channels, found.height, found.width), shape, resize)

    def read(start: int, stop: int) -> torch.Tensor:
        import torch

        decoded = [_decode(file) for file in files[start:stop]]
        return torch.stack([_fitted(image, shape) for image in decoded] if resize else decoded)

    return Images("file", names, read)


def _plain_mode(image: Image) -> str:
    """What it is decoded to: "L" or "RGB", a letter a channel, without transparency."""
    return "L" if image.mode in _GREY else "RGB"


def _decode(file: Path) -> torch.Tensor:
    """Its pixels, uint8, shape (1, h, w) or (3, h, w)."""
    import torch

    with picture(file, _FORMATS) as found:
        pixels = np.array(found.convert(_plain_mode(found)))
    return torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1)


# --- arrays ---------------------------------------------------------------------------------------------------


def _array(path: Path, array: Array, shape: Shape, resize: bool) -> Images:
    if array.ndim == 3:
        array = array[:, np.newaxis]
    if array.ndim != 4 or array.size == 0:
        raise PipelineError(
            f"images: {path} holds an array of shape {array.shape}; expected (N, H, W) or (N, C, H, W) with at least "
            "one image"
        )
    if array.shape[1:] == (*shape[1:], shape[0]) != shape:
        raise PipelineError(f"images: {path} has its channels last; store images.transpose(0, 3, 1, 2)")
    _check_shape(path, array.shape[1:], shape, resize)
    stored = _check_values(path, array)

    def read(start: int, stop: int) -> torch.Tensor:
        import torch

        images = torch.from_numpy(array[start:stop].astype(stored))  # a copy: what lies in a file is read-only
        return _fitted(images, shape) if resize else images

    return Images("index", range(len(array)), read)


def _check_values(path: Path, array: Array) -> type[np.generic]:
    """The type to hand on: integers from 0 to 255 as uint8, floats from 0 to 1 as float32."""
    if array.dtype == np.uint8:
        return np.uint8
    if array.dtype.kind in "iuf":
        stored, limit = (np.float32, 1) if array.dtype.kind == "f" else (np.uint8, 255)
        low, high = array.min(), array.max()
        if low >= 0 and high <= limit:  # NaN is neither
            return stored
        found = f"{array.dtype} from {low} to {high}"
    else:
        found = str(array.dtype)
    raise PipelineError(f"images: {path} holds {found}; expected integers from 0 to 255, or floats from 0 to 1")


def _load_numpy(path: Path) -> Array:
    if path.suffix.lower() == ".npy":
        return read_array(path, path.name)
    names = array_names(path)
    name = names[0] if len(names) == 1 else "images"
    if name not in names:
        raise PipelineError(f"images: {path} holds {', '.join(names) or 'nothing'}; call the array of images `images`")
    return read_array(path, name)


def _load_idx(path: Path) -> Array:
    try:
        array = idx.read(path)
    except idx.NoIDXError as error:
        raise PipelineError(
            f"images: {path} is no PNG, JPEG, .npy, .npz or IDX file of images; convert it to one of these"
        ) from error
    if array.ndim == 1:
        raise PipelineError(f"images: {path} is an IDX file of labels; name the one of images")
    return array


# --- the shape that a classifier takes ------------------------------------------------------------------------


def _check_shape(path: Path, found: tuple[int, ...], expected: Shape, resize: bool) -> None:
    if found == expected:
        return
    if not resize:
        raise PipelineError(
            f"images: {path} is {_describe(found)}, the classifier takes {_describe(expected)}; convert your images as "
            "those of its training were made, or let --resize true scale them and convert grey and colour"
        )
    if found[0] != expected[0] and {found[0], expected[0]} != {1, 3}:
        raise PipelineError(
            f"images: {path} has {found[0]} channels, the classifier takes {expected[0]}; only grey and colour can be "
            "converted, store images with the channels of its training"
        )


def _describe(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{height} x {width} pixels of {channels} channel{'s' * (channels != 1)}"


def _fitted(images: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Images (..., c, h, w), scaled and converted to this shape, as floats in [0, 1]."""
    from torchvision.transforms.functional import resize, rgb_to_grayscale

    from pipeline.models.inputs import as_input

    images, (channels, *size) = as_input(images), shape
    if images.shape[-3] != channels:
        images = rgb_to_grayscale(images) if channels == 1 else images.expand(*images.shape[:-3], 3, -1, -1)
    scaled: torch.Tensor = resize(images, size, antialias=True)
    return scaled.clamp(0, 1)
