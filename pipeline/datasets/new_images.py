"""Reading new images as those of the training were: pictures, NumPy arrays, CSV and IDX files.

Faults that can be found without decoding the images are reported before the first one is classified.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.datasets.decoding import Decoding, Header, is_colour
from pipeline.datasets.gallery import Gallery, all_broken_named, list_broken, note_broken
from pipeline.datasets.label_table import find_images, read_label_table, rows_by_image
from pipeline.datasets.layout import ArrayImages, Shape, find_layout, find_values
from pipeline.datasets.readers import idx
from pipeline.datasets.readers.csv_pixels import read_pixel_rows
from pipeline.datasets.readers.numpy_files import array_names, read_array
from pipeline.datasets.readers.picture_tree import is_picture, read_tree, show_counts
from pipeline.datasets.scale import BYTES, Scale, find_scale_like
from pipeline.datasets.stacking import check_deep
from pipeline.datasets.streamed import Array
from pipeline.datasets.text_table import ENDINGS, TextTable, find_table
from pipeline.errors import PipelineError
from pipeline.store.regular_files import check_regular

if TYPE_CHECKING:
    import torch

WHITE, SKIP_BROKEN = "--white", "--skip-broken true"  # options of stage predict, as messages name them
KINDS = "a folder of pictures, a picture, a .npy, .npz, CSV or IDX file"


@dataclass(frozen=True)
class Reading:
    """How new images are read: as the training images were, unless the user says otherwise.

    Attributes:
        shape: The shape (C, H, W) of the images that the classifier takes.
        scale: How the numbers of the training images became intensities.
        decoding: How the pictures of the training were decoded.
        resize: Whether images of another size are scaled, without keeping their proportions, and grey and colour are
            converted, instead of being refused.
        white: The value of white that the user names; None takes that of the training, or what the numbers tell.
        skip_broken: Whether pictures that cannot be read are left out instead of being refused.
    """

    shape: Shape
    scale: Scale = BYTES
    decoding: Decoding = field(default_factory=Decoding)
    resize: bool = False
    white: float | None = None
    skip_broken: bool = False


@dataclass(frozen=True)
class NewImages:
    """Images that are read one batch at a time.

    Attributes:
        key: The kind of the names: "file" or "index".
        names: The name of each image, in order.
        read: Returns the images from one position up to another, shape (n, C, H, W), as uint8 or as float32 from 0 to
            1.
        notes: Sentences that the user should read on how they are read.
    """

    key: str
    names: Sequence[str | int]
    read: Callable[[int, int], torch.Tensor]
    notes: list[str]


def open_images(path: Path, reading: Reading) -> NewImages:
    """Find the images at a path and check that a classifier can take them.

    Args:
        path: A folder of pictures, with the folders in it, or one picture; an array as ``.npy`` or ``.npz``; a CSV file
            of pixels or of names of pictures; or an IDX file. CSV and IDX files may be gzipped.
        reading: How the images are read.

    Raises:
        PipelineError: If there is no image, an image cannot be read, or it has another shape and is not to be resized.
    """
    path = path.expanduser()
    if not path.exists():
        raise PipelineError(f"images: {path} does not exist; name {KINDS}")
    check_regular(path, "images", folder_allowed=True)
    if path.is_dir():
        return _open_folder(path, reading)
    ending = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if is_picture(path):
        return _open_pictures([path], [path.name], reading, [])
    if ending in ENDINGS:
        return _open_table(path, reading)
    array = _load_numpy(path) if ending in (".npy", ".npz") else _load_idx(path)
    return _open_array(path, array, reading)


# --- pictures -------------------------------------------------------------------------------------------------


def _open_folder(path: Path, reading: Reading) -> NewImages:
    tree = read_tree(path)
    files, others = tree.all_files(), tree.all_others()
    if not files:
        found = f" but {show_counts(others)}" if others else ""
        raise PipelineError(f"images: {path} holds no picture{found}; name {KINDS}")
    notes = [f"{others.total()} files of other kinds were ignored: {show_counts(others)}"]
    names = [file.relative_to(path).as_posix() for file in files]
    return _open_pictures(files, names, reading, notes if others else [])


def _open_pictures(files: list[Path], names: list[str], reading: Reading, notes: list[str]) -> NewImages:
    foreign = [name for name in names if not name.isprintable()]  # neither printable nor UTF-8
    if foreign:
        raise PipelineError(f"images: {foreign[0]!a} has letters that cannot be shown; rename the file")
    gallery = Gallery.of_files(files)
    how, scale = _find_decoding(reading)
    if reading.skip_broken and (broken := gallery.find_broken()):
        notes = [note_broken(gallery, broken), *notes]
        sound = [number for number in range(len(files)) if number not in broken]
        if not sound:
            raise PipelineError(list_broken(gallery, broken, SKIP_BROKEN))
        gallery, names = gallery.only(sound), [names[number] for number in sound]
    with all_broken_named(gallery, SKIP_BROKEN):
        headers = gallery.headers()
        _check_pictures(gallery, headers, reading, how)

    if several := sum(header.has_frames for header in headers):
        notes = [*notes, f"{several} pictures have several frames or pages: the first of each was taken"]

    def read(start: int, stop: int) -> torch.Tensor:
        import torch

        numbers = range(start, min(stop, len(gallery)))
        with all_broken_named(gallery, SKIP_BROKEN):
            pixels = gallery.decode_all(numbers, reading.shape, how)
        if pixels.max() > scale.white:
            raise PipelineError(
                f"{gallery.names[start]}: in it or one of the next pictures, pixels run to {pixels.max()}, where the "
                f"training's white is {scale.white:g}; say which value is white with {WHITE}, such as 255"
            )
        return torch.from_numpy(scale.to_bytes(pixels))

    return NewImages("file", names, read, notes)


def _check_pictures(gallery: Gallery, headers: Sequence[Header], reading: Reading, how: Decoding) -> None:
    """Refuse pictures that the classifier cannot take, or whose white is not that of the training."""
    for name, header in zip(gallery.names, headers, strict=True):
        # as in the training, grey pictures among ones in colour become colour
        channels = 3 if is_colour(header, how) or reading.shape[0] == 3 else 1
        _check_shape(name, (channels, header.height, header.width), reading, resized=how.resized)
    if reading.white is None:
        check_deep(gallery, headers, how.white, WHITE)


def _find_decoding(reading: Reading) -> tuple[Decoding, Scale]:
    """Return how pictures are decoded, and the scale of those of 8 bits."""
    if reading.white is not None:
        scale = replace(BYTES, white=reading.white, given=True) if reading.white <= 255 else BYTES
        return replace(reading.decoding, white=reading.white), scale
    return reading.decoding, reading.scale if reading.scale.values.dtype == "uint8" else BYTES


# --- arrays ---------------------------------------------------------------------------------------------------


def _open_array(path: Path, array: Any, reading: Reading) -> NewImages:
    channels, *sides = reading.shape
    if channels == 1 and array.shape == tuple(sides):
        array = array[None]  # a single grey image
    elif array.ndim == 2 and array.shape[1] != math.prod(reading.shape):
        raise PipelineError(
            f"images: {path} holds {len(array)} rows; rows of {array.shape[1]} numbers are no images of "
            f"{_describe(reading.shape)}, which the classifier takes; expected {math.prod(reading.shape)} in a row"
        )
    images = find_layout(f"images: {path}", array, reading.shape)
    return NewImages("index", range(len(images)), *_reader(images, reading))


def _reader(images: ArrayImages, reading: Reading) -> tuple[Callable[[int, int], torch.Tensor], list[str]]:
    """Return a function that reads images of an array from one position up to another, and notes on their scale."""
    _check_shape(images.name.removeprefix("images: "), images.shape, reading)
    scale = find_scale_like(reading.scale, images.name, find_values(images), reading.white, WHITE)

    def read(start: int, stop: int) -> torch.Tensor:
        import torch

        pixels = torch.from_numpy(np.array(scale.to_bytes(images[start:stop])))  # arrays in files are read-only
        return _fitted(pixels, reading.shape) if reading.resize else pixels

    return read, [scale.text]


def _load_numpy(path: Path) -> Any:
    if path.suffix.lower() == ".npy":
        return read_array(path, path.name)
    names = array_names(path)
    name = names[0] if len(names) == 1 else "images"
    if name not in names:
        raise PipelineError(f"images: {path} holds {', '.join(names) or 'nothing'}; name the array of images `images`")
    return read_array(path, name)


def _load_idx(path: Path) -> Array:
    try:
        array = idx.read(path)
    except idx.NoIDXError as error:
        raise PipelineError(f"images: {path} is no IDX file; name {KINDS}") from error
    if array.ndim == 1:
        raise PipelineError(f"images: {path} is an IDX file of labels; name the one of images")
    return array


# --- CSV ------------------------------------------------------------------------------------------------------


def _open_table(path: Path, reading: Reading) -> NewImages:
    table = find_table(path)
    if table.lists_files():
        return _open_listed(table, reading)
    rows = read_pixel_rows(table, None, math.prod(reading.shape), needs_labels=False)
    images = find_layout(f"images: {path}", rows.images, reading.shape)
    read, notes = _reader(images, reading)
    if rows.labels is not None:
        notes.append(f"the labels in {path} are not used")
    return NewImages("index", rows.names, read, [*rows.notes, *notes])


def _open_listed(table: TextTable, reading: Reading) -> NewImages:
    """Open the pictures that a table names."""
    folder = table.path.parent
    files = read_tree(folder).all_files()
    known = [file.relative_to(folder).as_posix() for file in files]
    named = read_label_table(table, needs_labels=False)
    chosen = list(rows_by_image(named, find_images(named, known)))
    return _open_pictures([files[n] for n in chosen], [known[n] for n in chosen], reading, [])


# --- the shape that a classifier takes ------------------------------------------------------------------------


def _check_shape(name: str, found: Shape, reading: Reading, resized: bool = False) -> None:
    """Refuse images that the classifier cannot take."""
    expected = reading.shape
    if resized:
        found = (found[0], *expected[1:])
    if found == expected:
        return
    if not reading.resize:
        raise PipelineError(
            f"images: {name} is {_describe(found)}, the classifier takes {_describe(expected)}; convert your images as "
            "those of its training were made, or let --resize true scale them and convert grey and colour"
        )
    if found[0] != expected[0] and {found[0], expected[0]} != {1, 3}:
        raise PipelineError(
            f"images: {name} has {found[0]} channels, the classifier takes {expected[0]}; only grey and colour can be "
            "converted, store images with the channels of its training"
        )


def _describe(shape: Shape) -> str:
    channels, height, width = shape
    return f"{height} x {width} pixels of {channels} channel{'' if channels == 1 else 's'}"


def _fitted(images: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Scale and convert images, shape (..., c, h, w), to the shape (C, H, W), as floats from 0 to 1."""
    from torchvision.transforms.functional import resize, rgb_to_grayscale

    from pipeline.models.inputs import as_input

    images = as_input(images)
    channels, *size = shape
    if images.shape[-3] != channels:
        images = rgb_to_grayscale(images) if channels == 1 else images.expand(*images.shape[:-3], 3, -1, -1)
    scaled: torch.Tensor = resize(images, size, antialias=True)
    return scaled.clamp(0, 1)
