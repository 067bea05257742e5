"""Reader ``idx``: the file format of the MNIST family, unpacked or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.base import ImageData
from pipeline.datasets.files import existing
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
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path} cannot be read ({error}); get the file again") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise NoIDXError(f"{path} is no IDX file (it starts with {content[:4].hex(' ')}); get the file again")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start].ljust(start - 4, b"\0"), ">u4").tolist()
    kind = np.dtype(_TYPES[content[2]])
    expected = start + kind.itemsize * math.prod(shape)
    if len(content) != expected:
        raise PipelineError(f"{path} has {len(content)} bytes, its header says {expected}; get the file again")
    return np.frombuffer(content, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))


def _find(folder: Path, start: str, part: str) -> Path:
    files = sorted(folder.glob(f"{start}-{part}*"))
    if not files:
        there = ", ".join(sorted(file.name for file in folder.glob("*")))[:200] or "nothing"
        raise PipelineError(
            f"data.args.path: {folder} holds no {start}-{part}-idx... file; it holds {there}. data.args.train and "
            "data.args.test say what the names start with"
        )
    return files[0]
