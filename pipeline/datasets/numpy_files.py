"""Reader ``numpy``: an .npz archive, or a folder of .npy files, one an array, which may be larger than memory."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from pipeline.datasets.arrays import Array, from_arrays
from pipeline.datasets.base import ImageData
from pipeline.datasets.files import existing
from pipeline.datasets.streamed import Storage
from pipeline.errors import PipelineError

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
        labels: Likewise.
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
    for role, name in names.items():
        if name not in there:
            raise PipelineError(
                f"data.args.{role}: {source} holds no array {name!r}; it holds {', '.join(there) or 'none'}: "
                f"name the right one with data.args.{role}"
            )
    arrays: dict[str, Any] = {role: read_array(source, name) for role, name in names.items()}
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
        with zipfile.ZipFile(source) as archive:
            return sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))
    except (OSError, zipfile.BadZipFile) as error:
        raise PipelineError(f"{source} is no .npz archive ({error}); write it with np.savez") from error


def read_array(source: Path, name: str) -> Array:
    """An array of an .npz archive, or, memory-mapped, of a folder of .npy files or of one such file.

    Raises:
        PipelineError: It cannot be read; nothing pickled is.
    """
    file = source / f"{name}.npy" if source.is_dir() else source
    try:
        if file.suffix.lower() == ".npy":
            return cast(Array, np.load(file, mmap_mode="r", allow_pickle=False))
        with np.load(source, allow_pickle=False) as archive:
            return cast(Array, archive[name])
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if "pickle" in str(error) or "Python objects" in str(error):
            error = ValueError("it holds Python objects, which are not read since they could run code")
        raise PipelineError(
            f"{name}: cannot be read from {source}: {error}; save it again as one array of numbers or of strings"
        ) from error
