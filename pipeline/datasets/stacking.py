"""Many pictures as one array, in memory or in a file; broken ones are refused or left out."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.datasets.decoding import (
    DEEP,
    BrokenPictureError,
    Decoding,
    Header,
    Pixels,
    as_colour,
    deep_pixels,
    is_colour,
    readable,
)
from pipeline.datasets.files import check_room
from pipeline.datasets.gallery import Gallery, list_broken, note_broken
from pipeline.datasets.scale import APART, GIVE_WHITE
from pipeline.datasets.streamed import CHUNK, Rows, Storage
from pipeline.errors import PipelineError


@dataclass(frozen=True)
class PictureSettings:
    """The settings in ``data.args`` by which pictures are read.

    Attributes:
        size: The side, or height and width, that every picture is resized to; None expects all to have one size.
        background: The colour behind transparent pictures; ``Decoding`` says what None means.
        white: The value of a white pixel; None takes 255, or 65,535 in pictures of 16 bits.
        skip_broken: Whether pictures that cannot be read are left out instead of refused.
    """

    size: int | Sequence[int] | None = None
    background: str | Sequence[int] | None = None
    white: float | None = None
    skip_broken: bool = False


@dataclass(frozen=True)
class Stacked:
    """Pictures as arrays.

    Attributes:
        parts: Arrays of uint8 intensities, each of shape (N, C, H, W), in memory or in a file.
        kept: For each part, the numbers of its pictures, from 0; numbers of broken pictures are missing.
        decoding: How the pictures were decoded.
        white: The value of white in ``parts``; None if the numbers themselves tell.
        notes: Sentences that the owner of the pictures should read.
    """

    parts: list[Pixels | Rows]
    kept: list[list[int]]
    decoding: Decoding
    white: float | None
    notes: list[str]


def stack(
    gallery: Gallery,
    counts: Sequence[int],
    settings: PictureSettings,
    storage: Storage | None = None,
    made_from: Any = None,
) -> Stacked:
    """Read pictures as uint8 arrays of shape (N, C, H, W), which are grey if all pictures are, else in colour.

    Args:
        gallery: All pictures.
        counts: The number of pictures in each of the resulting arrays, in order.
        settings: How the pictures are read.
        storage: Decides whether they are decoded into a file instead of memory; None takes memory.
        made_from: Values that JSON can hold, and that differ if the pictures of such a file have changed.

    Raises:
        PipelineError: If pictures cannot be read, all of which are named; if sizes differ and none is set; or if a
            setting is not allowed.
    """
    kept = [list(range(count)) for count in counts]
    try:
        return _stack(gallery, counts, kept, settings, storage, made_from)
    except BrokenPictureError:
        broken = gallery.find_broken()
    starts = itertools.accumulate(counts, initial=0)
    kept = [[n for n in part if start + n not in broken] for start, part in zip(starts, kept, strict=False)]
    emptied = any(count and not part for count, part in zip(counts, kept, strict=True))
    if not broken or not settings.skip_broken or emptied:
        raise PipelineError(list_broken(gallery, broken, "data.args.skip_broken true"))
    stacked = _stack(gallery, counts, kept, settings, storage, made_from)
    stacked.notes.insert(0, note_broken(gallery, broken))
    return stacked


def _stack(
    gallery: Gallery,
    counts: Sequence[int],
    kept: list[list[int]],
    settings: PictureSettings,
    storage: Storage | None,
    made_from: Any,
) -> Stacked:
    """Do the work of ``stack`` for the kept pictures of each part, until the first that cannot be read.

    Raises:
        BrokenPictureError: If a picture cannot be read.
    """
    starts = itertools.accumulate(counts, initial=0)
    chosen = gallery.only([start + n for start, part in zip(starts, kept, strict=False) for n in part])
    headers = chosen.headers()
    decoding = _find_decoding(chosen, headers, settings)
    shape = _find_shape(chosen, headers, settings.size, decoding)
    whole = _stored(chosen, shape, decoding, storage, [made_from, counts, kept])
    bounds = itertools.pairwise(itertools.accumulate(map(len, kept), initial=0))
    parts = [whole.cut(start, end) if isinstance(whole, Rows) else whole[start:end] for start, end in bounds]
    white = None if any(header.is_deep for header in headers) else settings.white
    return Stacked(parts, kept, decoding, white, list(_notes(headers, decoding)))


def _stored(
    gallery: Gallery, shape: tuple[int, int, int], how: Decoding, storage: Storage | None, made_from: Any
) -> Pixels | Rows:
    """Decode all pictures to one array, shape (N, C, H, W), in memory or in a file."""
    size = (len(gallery), *shape)
    if storage is not None and storage.streams(math.prod(size)):
        made_from = [made_from, dataclasses.asdict(how), shape]
        return storage.keep(made_from, size, lambda: _pieces(gallery, shape, how))
    check_room(f"{len(gallery)} pictures of {shape[1]} x {shape[2]} pixels", math.prod(size))
    whole = np.empty(size, np.uint8)
    start = 0
    for piece in _pieces(gallery, shape, how):
        whole[start : start + len(piece)] = piece
        start += len(piece)
    return whole


def _pieces(gallery: Gallery, shape: tuple[int, int, int], how: Decoding) -> Iterator[Pixels]:
    """Yield all pictures in order, decoded on all cores, a few megabytes at a time."""
    from tqdm import tqdm

    total, count = len(gallery), max(1, CHUNK // math.prod(shape))
    with tqdm(desc="reading images", total=total, disable=None, leave=False) as bar:
        for start in range(0, total, count):
            numbers = range(start, min(start + count, total))
            yield gallery.decode_all(numbers, shape, how)
            bar.update(len(numbers))


def _find_shape(
    gallery: Gallery, headers: Sequence[Header], size: int | Sequence[int] | None, how: Decoding
) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of all pictures."""
    channels = 3 if any(is_colour(header, how) for header in headers) else 1
    sides = _as_size(size)
    if sides is not None:
        return channels, *sides
    first = headers[0]
    for name, header in zip(gallery.names, headers, strict=True):
        if (header.height, header.width) != (first.height, first.width):
            raise PipelineError(
                f"images differ in size: {gallery.names[0]} is {first.height} x {first.width} (height x width), {name} "
                f"is {header.height} x {header.width}; resize them all to one with data.args.size, such as "
                f"{[first.height, first.width]}"
            )
    return channels, first.height, first.width


def _find_decoding(gallery: Gallery, headers: Sequence[Header], settings: PictureSettings) -> Decoding:
    if settings.white is None:
        check_deep(gallery, headers, DEEP, GIVE_WHITE)
    white = DEEP if settings.white is None else settings.white
    return Decoding(as_colour(settings.background), white, settings.size is not None)


def check_deep(gallery: Gallery, headers: Sequence[Header], white: float, setting: str) -> None:
    """Check that the pixels of pictures of 16 bits agree with the value of white, which nobody has named for them.

    Args:
        gallery: Pictures of any depth; those of 8 bits are not looked at.
        headers: Their headers, in the same order.
        white: The value that would become white.
        setting: The setting by which the user names white, for the message.

    Raises:
        PipelineError: If the brightest pixel is less than an eighth of white, since many cameras and scanners use the
            lower bits alone, or above it.
        BrokenPictureError: If a picture cannot be read.
    """
    deep = gallery.only([number for number, header in enumerate(headers) if header.is_deep])
    brightest = 0
    for number, name in enumerate(deep.names):
        with readable(name), deep.open(number) as picture:
            brightest = max(brightest, int(deep_pixels(picture).max()))
    if 0 < brightest < white / APART or brightest > white:
        raise PipelineError(
            f"{deep.names[0]}: pixels have 16 bits, but the brightest of {len(deep)} such pictures is {brightest} of "
            f"{white:g}; say which value is white with {setting}, such as {2 ** brightest.bit_length() - 1}, or "
            f"{white:g} if {'they are that dark' if brightest < white else 'what is brighter is white, too'}"
        )


def _notes(headers: Sequence[Header], how: Decoding) -> Iterator[str]:
    if n := sum(header.has_frames for header in headers):
        yield f"{n} of {len(headers)} pictures have several frames or pages: the first of each was taken"
    if n := sum(header.is_transparent for header in headers):
        where = "white, and on black where nothing would be seen on white"
        if how.background is not None:
            where = f"the colour {list(how.background)}"
        yield (
            f"{n} of {len(headers)} pictures can be transparent (they have an alpha channel): they were laid on "
            f"{where}; data.args.background sets the colour"
        )
    if n := sum(header.is_deep for header in headers):
        yield f"{n} of {len(headers)} pictures have 16 bits: 0 to {how.white:g} became 0 to 255"


def _as_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = [size, size] if isinstance(size, int) else size
    if not (isinstance(sides, Sequence) and len(sides) == 2 and all(isinstance(n, int) and n > 0 for n in sides)):
        raise PipelineError(f"data.args.size: {size!r} is not allowed; expected a side or [height, width], in pixels")
    height, width = sides
    return height, width
