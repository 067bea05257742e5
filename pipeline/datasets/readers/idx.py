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
from pipeline.datasets.image_data import Parts, describe
from pipeline.errors import PipelineError

_EMNIST = "emnist"  # what the names of its files start with
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load(path: str, train: str | None = None, test: str | None = None, white: float | None = None) -> Parts:
    """Read images and labels from a folder such as MNIST's: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-...

    The files of EMNIST are known by their names, and their images, which lie on their side, are put upright. A file
    emnist-...-mapping.txt beside them names the classes.

    Args:
        path: The folder.
        train: What the names of the training files start with; None finds it: "train", or the only start with that word
            in it, such as emnist-letters-train.
        test: What the names of the test files start with. None finds it: "t10k" for "train", or what differs from the
            training files' in that word alone, such as emnist-letters-test; a test set is held out if there is none, or
            if this is "".
        white: The value of the brightest possible pixel, if it is not 255, nor 1 among floats.

    Raises:
        PipelineError: If a file is missing or broken, there are several training sets, or it is not what
            ``from_arrays`` takes.
    """
    folder = existing(path)
    starts = sorted({file.name.partition("-images")[0] for file in folder.glob("*-images*")})
    train = train or _find_train(folder, starts)
    notes = []
    if test is None:
        test = next((start for start in _test_starts(train) if start in starts), "")
        if not test:
            notes.append(f"{folder} holds no test files of {train}; a fifth of its images is held out instead")
    arrays: dict[str, Any] = _read_part(folder, train)
    if test:
        arrays |= {f"test_{name}": array for name, array in _read_part(folder, test).items()}
    if train.startswith(_EMNIST):
        notes.append("the images of EMNIST lie on their side in its files; they were put upright")
    return describe(from_arrays(**arrays, white=white), notes=notes)


def _find_train(folder: Path, starts: list[str]) -> str:
    """What the names of the training files start with."""
    found = [start for start in starts if "train" in start]
    if "train" in found or not found:
        return "train"
    if len(found) > 1:
        raise PipelineError(
            f"data.args.train: {folder} holds several training sets; name one of {', '.join(found)}, what its files "
            "start with"
        )
    return found[0]


def _test_starts(train: str) -> list[str]:
    """What the names of the test files of these training files may start with."""
    return [train.replace("train", word) for word in ("t10k", "test") if "train" in train]


def _read_part(folder: Path, start: str) -> dict[str, npt.NDArray[Any]]:
    """The images and labels in the files that start so; those of EMNIST upright, with the names of its classes."""
    images, labels = (read(_find(folder, start, part)) for part in ("images", "labels"))
    if not start.startswith(_EMNIST):
        return {"images": images, "labels": labels}
    if images.ndim == 3:
        images = images.transpose(0, 2, 1)
    mapping = folder / f"{start.rpartition('-')[0]}-mapping.txt"
    return {"images": images, "labels": _named(labels, mapping) if mapping.is_file() else labels}


def _named(labels: npt.NDArray[Any], mapping: Path) -> npt.NDArray[Any]:
    """Labels by the characters that EMNIST's mapping says; each line has a label and the codes of its characters.

    Raises:
        PipelineError: If it lacks a label, or is no such file.
    """
    try:
        rows = [
            [int(word) for word in line.split()] for line in mapping.read_text("ascii").splitlines() if line.strip()
        ]
        characters = {row[0]: chr(row[-1]) for row in rows}
        return np.array([characters[label] for label in labels.ravel().tolist()])
    except (OSError, ValueError, KeyError) as error:
        raise PipelineError(f"{mapping} does not name every label ({error}); get it again, or remove it") from error


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
