"""Reader ``idx``: the file format of the MNIST family, plain or gzipped."""

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

_EMNIST = "emnist"  # the start of the names of EMNIST's files
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load(path: str, train: str | None = None, test: str | None = None, white: float | None = None) -> Parts:
    """Read images and labels from a folder of files such as train-images-idx3-ubyte and train-labels-idx1-ubyte.

    The images of EMNIST, which is recognised by the names of its files, have rows and columns exchanged there and are
    put upright. A file emnist-...-mapping.txt beside them names the classes.

    Args:
        path: The folder.
        train: The start of the names of the training files. None takes "train", or the only start that contains this
            word, such as emnist-letters-train.
        test: The start of the names of the test files. None takes "t10k", or the start of the training files with
            "test" for "train", such as emnist-letters-test. A test set is held out if there is no such file, or if this
            is "".
        white: The value of white, if it is not 255, or not 1 among floats.

    Raises:
        PipelineError: If a file is missing or broken, there are several training sets, or ``from_arrays`` refuses the
            arrays.
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
    """Return the start of the names of the training files."""
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
    """Return the possible starts of the names of the test files, for those of the training files."""
    if "train" not in train:
        return []
    return [train.replace("train", "t10k"), train.replace("train", "test")]


def _read_part(folder: Path, start: str) -> dict[str, npt.NDArray[Any]]:
    """Read the images and labels in the files whose names start so; for EMNIST, upright and with names of classes."""
    images, labels = (read(_find(folder, start, part)) for part in ("images", "labels"))
    if not start.startswith(_EMNIST):
        return {"images": images, "labels": labels}
    if images.ndim == 3:
        images = images.transpose(0, 2, 1)
    mapping = folder / f"{start.rpartition('-')[0]}-mapping.txt"
    return {"images": images, "labels": _named(labels, mapping) if mapping.is_file() else labels}


def _named(labels: npt.NDArray[Any], mapping: Path) -> npt.NDArray[Any]:
    """Replace labels by the characters in EMNIST's mapping, whose lines have a label and the codes of its characters.

    Raises:
        PipelineError: If the mapping lacks a label, or cannot be read.
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
    """A file is no IDX file."""


def read(path: Path) -> npt.NDArray[Any]:
    """Read the array in an IDX file, plain or gzipped.

    Raises:
        NoIDXError: If the file is no IDX file.
        PipelineError: If the file is cut short, or longer than its header says.
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
        more = " or more" if len(content) > expected else ""
        found = f"{start + len(content)} bytes{more}"
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
