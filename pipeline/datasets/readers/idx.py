"""Reader ``idx``: the file format of the MNIST family, unpacked or gzipped."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.files import Content, check_room, existing, read_most, unpacked
from pipeline.datasets.image_data import ImageData
from pipeline.errors import PipelineError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load(
    path: str, train: str = "train", test: str = "t10k", white: float | None = None
) -> ImageData | tuple[ImageData, ImageData]:
    """Images and labels from a folder such as MNIST's: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-...

    Args:
        path: The folder.
        train: What the names of the training files start with.
        test: What the names of the test files start with; a test set is held out if there are none.
        white: The value of the brightest possible pixel, if it is not 255, nor 1 among floats.

    Raises:
        PipelineError: A file is missing or broken, or not what ``from_arrays`` takes.
    """
    folder = existing(path)
    arrays: dict[str, Any] = {
        "images": read(_find(folder, train, "images")),
        "labels": read(_find(folder, train, "labels")),
    }
    if any(folder.glob(f"{test}-*")):
        arrays["test_images"] = read(_find(folder, test, "images"))
        arrays["test_labels"] = read(_find(folder, test, "labels"))
    return from_arrays(**arrays, white=white)


class NoIDXError(PipelineError):
    """A file is of another kind."""


def read(path: Path) -> npt.NDArray[Any]:
    """The array in an IDX file, plain or gzipped.

    Raises:
        NoIDXError: The file is not IDX.
        PipelineError: It is not whole.
    """
    try:
        with unpacked(path) as file:
            return _parse(path, file)
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} cannot be read ({error}); get the file again") from error


def _parse(path: Path, file: Content) -> npt.NDArray[Any]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES:
        raise NoIDXError(f"{path} is no IDX file (it starts with {head.hex(' ')}); get the file again")
    start, sizes = 4 + 4 * head[3], file.read(4 * head[3])
    if 4 + len(sizes) < start:
        raise PipelineError(f"{path} has {4 + len(sizes)} bytes, its header says {start}; get the file again")
    shape, kind = np.frombuffer(sizes, ">u4").tolist(), np.dtype(_TYPES[head[2]])
    expected = kind.itemsize * math.prod(shape)
    check_room(str(path), expected)
    content = read_most(file, expected + 1)
    if len(content) != expected:
        found = f"{start + len(content)} bytes{' or more' * (len(content) > expected)}"
        raise PipelineError(f"{path} has {found}, its header says {start + expected}; get the file again")
    return np.frombuffer(content, kind).reshape(shape).astype(kind.newbyteorder("="))


def _find(folder: Path, start: str, part: str) -> Path:
    files = sorted(folder.glob(f"{start}-{part}*"))
    if not files:
        there = ", ".join(sorted(file.name for file in folder.glob("*")))[:200] or "nothing"
        raise PipelineError(
            f"data.args.path: {folder} holds no {start}-{part}-idx... file; it holds {there}. data.args.train and "
            "data.args.test say what the names start with"
        )
    return files[0]
