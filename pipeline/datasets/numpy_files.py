"""Reader ``numpy``: an .npz archive, or a folder of .npy files, one an array."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.base import ImageData
from pipeline.datasets.files import existing
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

    Raises:
        PipelineError: The file cannot be read, or an array is missing or not what ``from_arrays`` takes.
    """
    source = existing(path)
    names = {"images": images, "labels": labels}
    given = zip(OPTIONAL, (unlabelled, test_images, test_labels, class_names), strict=True)
    there = _names(source)
    names |= {role: name or role for role, name in given if name or role in there}
    for role, name in names.items():
        if name not in there:
            raise PipelineError(
                f"data.args.{role}: {source} holds no array {name!r}; it holds {', '.join(there) or 'none'}: "
                f"name the right one with data.args.{role}"
            )
    return from_arrays(**{role: _read(source, name) for role, name in names.items()}, shape=shape, white=white)


def _names(source: Path) -> list[str]:
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
        raise PipelineError(f"data.args.path: {source} is no .npz archive ({error}); write it with np.savez") from error


def _read(source: Path, name: str) -> Any:
    try:
        if source.is_dir():
            return np.load(source / f"{name}.npy", allow_pickle=False)
        with np.load(source, allow_pickle=False) as archive:
            return archive[name]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if "pickle" in str(error):
            error = ValueError("it holds Python objects, which are not read since they could run code")
        raise PipelineError(
            f"{name}: cannot be read from {source}: {error}; save it again as one array of numbers or of strings"
        ) from error
