"""Reader ``numpy``: an .npz archive, or a folder of .npy files, one an array, which may be larger than memory."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline.datasets.arrays import Array, from_arrays
from pipeline.datasets.files import check_room, existing
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.streamed import Storage
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
) -> ImageData | tuple[ImageData, ImageData]:
    """Images and labels as ``from_arrays`` takes them. Nothing pickled is read.

    Args:
        path: The archive, or the folder.
        images: What the array is called, in the archive or as a file without its ending.
        labels: Likewise; if there are no arrays but images, these have no labels.
        unlabelled: Likewise; None takes the array "unlabelled" if there is one.
        test_images: Likewise.
        test_labels: Likewise.
        class_names: Likewise; strings, shape (classes,).
        shape: See ``from_arrays``.
        white: See ``from_arrays``.
        storage: See ``from_arrays``; only .npy files are streamed.

    Raises:
        PipelineError: The file cannot be read, or an array is missing or not what ``from_arrays`` takes.
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
    """What the arrays in an .npz archive, or in a folder of .npy files, are called.

    Raises:
        PipelineError: It is neither.
    """
    if source.is_dir():
        return sorted(file.stem for file in source.glob("*.npy"))
    if source.suffix == ".npy":
        raise PipelineError(
            f"data.args.path: {source} is one array; give the folder that holds images.npy and labels.npy"
        )
    try:
        return names_in(source)
    except Exception as error:  # whatever zipfile raises of what is broken or hostile
        raise PipelineError(f"data.args.path: {source} is no .npz archive ({error}); write it with np.savez") from error


def read_array(source: Path, name: str) -> Array:
    """An array of an .npz archive, or, memory-mapped, of a folder of .npy files or of one such file.

    Raises:
        PipelineError: It cannot be read; nothing pickled is.
    """
    file = source / f"{name}.npy" if source.is_dir() else source
    check_regular(file)
    try:
        if file.suffix.lower() == ".npy":
            with file.open("rb") as opened:
                check_header(opened, file.stat().st_size, mapped=True)
            mapped: Array = np.lib.format.open_memmap(file, mode="r")  # read as it is needed
            return mapped
        return read_npz(source, name)
    except MemoryError:
        raise
    except PipelineError as error:
        raise PipelineError(f"{name}: {source} holds {error}") from error
    except Exception as error:  # whatever numpy and zipfile raise of what is broken or hostile
        raise PipelineError(
            f"{name}: cannot be read from {source}: {error}; save it again as one array of numbers or of strings"
        ) from error


# --- what else reads NumPy's files calls these; errors are those of numpy and zipfile --------------------------


def names_in(path: Path) -> list[str]:
    """The arrays in an .npz archive."""
    with zipfile.ZipFile(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


def read_npz(path: Path, name: str) -> Array:
    """One array of an .npz archive; the archive is read in memory, and nothing is unpacked to the disk."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        return read_npy(file, archive.getinfo(f"{name}.npy").file_size)


def read_npy(file: IO[bytes], size: int) -> Array:
    """The array in an .npy file of so many bytes.

    Raises:
        PipelineError: It would not fit into memory.
        ValueError: It holds Python objects, or is not as large as its header says.
    """
    check_header(file, size)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def check_header(file: IO[bytes], size: int, mapped: bool = False) -> None:
    """Hold what an .npy file declares against its size and, unless it is mapped, the memory; go back to its start.

    Raises:
        PipelineError: The array would not fit into memory.
        ValueError: It holds Python objects, or is not as large as its header says.
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
