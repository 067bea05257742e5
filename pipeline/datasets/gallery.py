"""Pictures that are opened one by one; broken ones are found, and all named in one message."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets.decoding import (
    FORMATS,
    BrokenPictureError,
    Decoding,
    Header,
    Pixels,
    decode,
    read_header,
    readable,
)
from pipeline.errors import PipelineError, list_names

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 20  # the number of broken pictures that a message names at most


@dataclass(frozen=True)
class Gallery:
    """Pictures that are opened one by one.

    Attributes:
        names: The name of each picture in messages.
        open: Opens the picture with a number, from 0; of a file, Pillow then reads the header only.
    """

    names: Sequence[str]
    open: Callable[[int], Image]

    @classmethod
    def of_files(cls, files: Sequence[Path]) -> Gallery:
        """Return a gallery of picture files."""
        from PIL import Image

        return cls([str(file) for file in files], lambda number: Image.open(files[number], formats=FORMATS))

    def __len__(self) -> int:
        return len(self.names)

    def only(self, numbers: Sequence[int]) -> Gallery:
        """Return a gallery of the pictures with these numbers, in this order."""
        return Gallery([self.names[number] for number in numbers], lambda number: self.open(numbers[number]))

    def headers(self) -> list[Header]:
        """Return the properties of each picture, without decoding it.

        Raises:
            BrokenPictureError: If one cannot be opened, or declares more pixels than Pillow allows.
        """
        with _strict_pillow():
            return [self._header(number) for number in range(len(self))]

    def decode(self, number: int, shape: tuple[int, int, int], how: Decoding) -> Pixels:
        """Decode one picture to an array of this shape, as ``decoding.decode`` does.

        Raises:
            BrokenPictureError: If the picture cannot be read.
        """
        with readable(self.names[number]), self.open(number) as picture:
            return decode(picture, shape, how)

    def decode_all(self, numbers: Sequence[int], shape: tuple[int, int, int], how: Decoding) -> Pixels:
        """Decode the pictures with these numbers on all cores; the result has shape (n, C, H, W).

        Raises:
            BrokenPictureError: If one cannot be read.
        """
        with _quiet_pillow(), ThreadPoolExecutor() as pool:
            return np.stack(list(pool.map(lambda number: self.decode(number, shape, how), numbers)))

    def find_broken(self) -> dict[int, str]:
        """Decode every picture, and return the numbers of those that cannot be read, each with the reason."""
        with _strict_pillow(), ThreadPoolExecutor() as pool:
            reasons = list(pool.map(self._reason, range(len(self))))
        return {number: reason for number, reason in enumerate(reasons) if reason}

    def _header(self, number: int) -> Header:
        with readable(self.names[number]), self.open(number) as picture:
            return read_header(picture)

    def _reason(self, number: int) -> str:
        try:
            header = self._header(number)
            self.decode(number, (1, header.height, header.width), Decoding())
        except BrokenPictureError as error:
            return error.reason
        return ""


@contextmanager
def all_broken_named(gallery: Gallery, remedy: str) -> Iterator[None]:
    """Run a block, and name all broken pictures of a gallery in one message if the block comes upon one.

    The remedy is the option by which broken pictures are left out.

    Raises:
        PipelineError: If the block raised a BrokenPictureError.
    """
    try:
        yield
    except BrokenPictureError:
        raise PipelineError(list_broken(gallery, gallery.find_broken(), remedy)) from None


def list_broken(gallery: Gallery, broken: Mapping[int, str], remedy: str) -> str:
    """Return a message that names the first pictures that cannot be read, each with its reason, and the remedy.

    The reasons are given by the numbers of the pictures; the remedy is the option by which broken ones are left out.
    """
    if len(gallery) == 1:  # nothing would be left without it
        return f"{gallery.names[0]} cannot be read as a picture: {broken[0]}; repair it, or name another"
    lines = [f"  {gallery.names[number]}: {reason}" for number, reason in list(broken.items())[:SHOWN]]
    if len(broken) > SHOWN:
        lines.append(f"  and {len(broken) - SHOWN} more")
    files = f"{len(broken)} of {len(gallery)} files cannot be read as a picture"
    return "\n".join([f"{files}; repair them, remove them, or leave them out with {remedy}:", *lines])


def note_broken(gallery: Gallery, broken: Mapping[int, str]) -> str:
    """Return a sentence that tells which broken pictures were left out."""
    names = [gallery.names[number] for number in broken]
    return f"{len(broken)} pictures that cannot be read were left out: {list_names(names, SHOWN)}"


# --- warnings of Pillow ---------------------------------------------------------------------------------------
# All threads share the filters of warnings, so these blocks are entered before threads are started.


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Hide Pillow's warnings, which do not help a user, such as that a palette has transparency."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Hide Pillow's warnings, but raise an error if a picture declares more pixels than Pillow allows."""
    from PIL import Image

    with _quiet_pillow():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
