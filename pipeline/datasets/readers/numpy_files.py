"""Reader ``numpy``: an .npz archive, or a folder of .npy files, whose arrays may be larger than memory."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.files import check_room, existing
from pipeline.datasets.image_data import Parts
from pipeline.datasets.streamed import Array, Storage
from pipeline.errors import PipelineError
from pipeline.store.regular_files import check_regular

OPTIONAL = ("unlabelled", "test_images", "test_labels", "class_names")


def load(
    path: str,
    images: str = "images",
    labels: str = "labels",
    unlabelled: str | None = None,
    test_images: str | None = None,
    test_labels: str | None = None,
    class_names: str | None = None,
    shape: Sequence[int] | None = None,
    white: float | None = None,
    storage: Storage | None = None,
) -> Parts:
    """Read images and labels from NumPy files, in the forms that ``from_arrays`` takes. Pickled content is refused.

    An array is named by its name in the archive, or by the name of its file without the ending.

    Args:
        path: The archive, or the folder.
        images: The name of the array of images.
        labels: The name of the array of labels; if there are arrays of images only, they have no labels.
        unlabelled: The name of the array of images without labels; None takes "unlabelled" if it is there.
        test_images: The name of the array of test images; None takes "test_images" if it is there.
        test_labels: The name of the array of test labels; None takes "test_labels" if it is there.
        class_names: The name of the array of class names, strings of shape (classes,); None takes "class_names" if it
            is there.
        shape: The shape of an image in rows of pixels, as ``from_arrays`` takes it.
        white: The value of white, as ``from_arrays`` takes it.
        storage: Decides whether arrays in .npy files are streamed; None always uses memory.

    Raises:
        PipelineError: If a file cannot be read, an array is missing, or ``from_arrays`` refuses an array.
    """
    source = existing(path)
    names = {"images": images, "labels": labels}
    given = zip(OPTIONAL, (unlabelled, test_images, test_labels, class_names), strict=True)
    there = array_names(source)
    names |= {role: name or role for role, name in given if name or role in there}
    has_labels = labels in there or labels != "labels" or bool(set(there) - set(names.values()))
    if not has_labels:
        del names["labels"]
    for role, name in names.items():
        if name not in there:
            raise PipelineError(
                f"data.args.{role}: {source} holds no array {name!r}; it holds {', '.join(there) or 'none'}: "
                f"name the right one with data.args.{role}"
            )
    arrays: dict[str, Any] = {role: read_array(source, name) for role, name in names.items()}
    if not has_labels:
        arrays["labels"] = None
    return from_arrays(**arrays, shape=shape, white=white, storage=storage)


def array_names(source: Path) -> list[str]:
    """Return the names of the arrays in an .npz archive, or in a folder of .npy files.

    Raises:
        PipelineError: If the source is neither.
    """
    if source.is_dir():
        return sorted(file.stem for file in source.glob("*.npy"))
    if source.suffix == ".npy":
        raise PipelineError(
            f"data.args.path: {source} is one array; give the folder that holds images.npy and labels.npy"
        )
    try:
        with zipfile.ZipFile(source) as archive:
            return sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))
    except Exception as error:  # a broken or hostile archive can raise anything
        raise PipelineError(f"data.args.path: {source} is no .npz archive ({error}); write it with np.savez") from error


def read_array(source: Path, name: str) -> Array:
    """Read an array of an .npz archive, or map one of a folder of .npy files, or of one such file, to memory.

    Raises:
        PipelineError: If it cannot be read, or is pickled.
    """
    file = source / f"{name}.npy" if source.is_dir() else source
    check_regular(file)
    try:
        if file.suffix.lower() == ".npy":
            with file.open("rb") as opened:
                _check_header(opened, file.stat().st_size, mapped=True)
            mapped: Array = np.lib.format.open_memmap(file, mode="r")  # pages are read when they are used
            return mapped
        with zipfile.ZipFile(source) as archive, archive.open(f"{name}.npy") as packed:
            _check_header(packed, archive.getinfo(f"{name}.npy").file_size)
            array: Array = np.lib.format.read_array(packed, allow_pickle=False)
            return array
    except MemoryError:
        raise
    except PipelineError as error:
        raise PipelineError(f"{name}: {source} holds {error}") from error
    except Exception as error:  # a broken or hostile file can raise anything
        raise PipelineError(
            f"{name}: cannot be read from {source}: {error}; save it again as one array of numbers or of strings"
        ) from error


def _check_header(file: IO[bytes], size: int, mapped: bool = False) -> None:
    """Compare the header of an .npy file with the file's size and, unless it is mapped, with the memory.

    The file is at its start afterwards.

    Raises:
        PipelineError: If the array would not fit into memory.
        ValueError: If it holds Python objects, or has not the size that its header declares.
    """
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"it has version {version} of the format; expected 1.0 or 2.0")
    shape, _, kind = readers[version](file)
    if kind.hasobject:
        raise ValueError("it holds Python objects, which are not read since they could run code")
    needed = math.prod(shape) * kind.itemsize
    if min(shape, default=0) < 0 or file.tell() + needed != size:
        raise ValueError(f"its header declares {kind} of shape {shape}, and it has {size} bytes")
    if not mapped:
        check_room("an array that", needed)
    file.seek(0)
