"""Images that are too many for memory: they stay in files, and are read when they are used.

Files are read, not mapped: mapped pages count as memory of the process, and a mapped file that shrinks kills it. Images
that a file holds as (N, C, H, W) bytes are read from there; all others, such as pictures or floats, are converted once
into such a file below ``data.root``.
"""

from __future__ import annotations

import dataclasses
import io
import math
import mmap
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from pipeline.errors import PipelineError
from pipeline.store.disk import read_json, write_atomic, write_json
from pipeline.store.fingerprints import fingerprint
from pipeline.store.memory import available_memory

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]

SHARE = 0.5  # the share of the available memory that images may take; networks, batches and the system need the rest
CHUNK = 2**24  # bytes that are read at a time when all images are read
READERS = 4  # the number of batches that are read at the same time, ahead of the training


@dataclass(frozen=True)
class Rows:
    """An array in a file, whose rows are read when they are indexed by a slice or an array of indices.

    Attributes:
        path: The file, which must not change while it is in use.
        offset: The number of bytes before the first row.
        dtype: The type of the elements.
        shape: The shape of the array; rows are the first axis, and are stored one after the other.
        stamp: The size, the number and the times of change of the file when it was opened.
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    stamp: tuple[int, ...]

    @classmethod
    def of(cls, array: np.memmap[Any, Any]) -> Self | None:
        """Return the rows behind a memory-mapped array or a slice of one; None if they are not contiguous."""
        whole: Any = array
        while isinstance(whole.base, np.ndarray):  # a slice has the offset of the array that it was sliced from
            whole = whole.base
        if not isinstance(whole.base, mmap.mmap) or not array.flags.c_contiguous or array.filename is None:
            return None
        start = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        path = Path(str(array.filename))
        return cls(path, whole.offset + start, array.dtype, array.shape, _stamp(path.stat()))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def identity(self) -> list[Any]:
        """JSON values that differ for other rows, and if the file has changed."""
        return [str(self.path.absolute()), *self.stamp, self.offset, self.dtype.str, *self.shape]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | Indices) -> Array:
        rows = np.arange(*index.indices(len(self))) if isinstance(index, slice) else index
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        size = self.dtype.itemsize * math.prod(self.shape[1:])
        if not found.size:
            return found
        view = memoryview(found.data).cast("B")
        # consecutive rows are read together
        starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1).tolist()
        try:
            with self.path.open("rb", buffering=0) as file:
                complete = True
                for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
                    file.seek(self.offset + int(rows[start]) * size)
                    complete &= _fill(file, view[start * size : end * size])
                # checked after reading, since the file may change while it is read; the last value also changes on
                # renaming
                unchanged = complete and _stamp(os.fstat(file.fileno()))[:3] == self.stamp[:3]
        except OSError as error:
            raise PipelineError(f"{self.path} cannot be read ({error}); restore the file") from error
        if not unchanged:
            raise PipelineError(f"{self.path} was changed while it was in use; run the same command again")
        return found

    def reshape(self, *shape: int) -> Rows:
        """Return the same bytes as an array of another shape."""
        return dataclasses.replace(self, shape=shape)

    def cut(self, start: int, stop: int) -> Rows:
        """Return the rows from one up to another, still in the file."""
        skipped = start * self.dtype.itemsize * math.prod(self.shape[1:])
        return dataclasses.replace(self, offset=self.offset + skipped, shape=(stop - start, *self.shape[1:]))


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    """Return values that differ if a file was changed; users cannot set the last of its times."""
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _fill(file: Any, view: memoryview) -> bool:
    """Fill a view with bytes of the file, and return whether there were enough."""
    done = 0
    while done < len(view):
        count = file.readinto(view[done:])
        if not count:
            return False
        done += count
    return True


class Streamed:
    """uint8 images, shape (N, C, H, W), in one or several files; indexing reads images into a tensor.

    Args:
        parts: The files, whose images all have one shape.
        rows: The numbers of the images, counted over all files, in this order, shape (N,); None takes all.
    """

    def __init__(self, parts: Sequence[Rows], rows: Indices | None = None) -> None:
        self.parts = tuple(parts)
        self.ends = np.cumsum([len(part) for part in self.parts])
        self.rows = rows

    @property
    def shape(self) -> torch.Size:
        """The shape of the images, (N, C, H, W)."""
        import torch

        return torch.Size((len(self), *self.parts[0].shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        """The type of tensors that images are read into."""
        import torch

        return torch.uint8

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.rows is None else len(self.rows)

    def __getitem__(self, index: Any) -> Tensor:
        import torch

        return torch.from_numpy(self._read(self._places(index)))

    def subset(self, index: Any) -> Streamed:
        """Return some of the images, still in their files."""
        return Streamed(self.parts, self._places(index))

    def ahead(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the images at each of these indices, in order; the next batches are read while one is used."""
        waiting, coming = deque[Any](), iter(batches)
        with ThreadPoolExecutor(READERS) as pool:
            try:
                while True:
                    waiting += (
                        pool.submit(self.__getitem__, batch) for batch in islice(coming, 2 * READERS - len(waiting))
                    )
                    if not waiting:
                        return
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _places(self, index: Any) -> Indices:
        """Return the numbers, counted over all files, of the images at indices, a mask or a slice."""
        chosen = np.arange(*index.indices(len(self))) if isinstance(index, slice) else np.asarray(index)
        if chosen.dtype == bool:
            chosen = np.flatnonzero(chosen)
        return cast(Indices, chosen if self.rows is None else self.rows[chosen])

    def _read(self, places: Indices) -> Array:
        found = np.empty((len(places), *self.parts[0].shape[1:]), np.uint8)
        start = 0
        for part, end in zip(self.parts, self.ends.tolist(), strict=True):
            own = (places >= start) & (places < end)
            if own.all():
                return part[places - start]
            found[own] = part[places[own] - start]
            start = end
        return found


# --- when images are streamed, and from where -----------------------------------------------------------------


@dataclass(frozen=True)
class Storage:
    """Decides whether images are streamed, and keeps converted images and results about them in a folder.

    Attributes:
        root: The folder for raw files; converted images are kept in root/streamed.
        streaming: "auto", "always" or "never", as ``DataConfig`` explains.
    """

    root: Path
    streaming: str = "auto"

    def streams(self, size: int) -> bool:
        """Whether images that take this number of bytes are streamed."""
        return self.streaming == "always" or (self.streaming == "auto" and size > SHARE * available_memory())

    def keep(self, made_from: Any, shape: tuple[int, ...], pieces: Callable[[], Iterator[Array]]) -> Rows:
        """Write a file of uint8 images of shape (N, C, H, W) unless it exists, and return its rows.

        The content, of which some images are yielded at a time, depends on ``made_from`` alone, values that JSON can
        hold.

        Raises:
            PipelineError: If the file cannot be written, or the disk has no room for it.
        """
        path = self._path(made_from, ".npy")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PipelineError(f"data.root: {path.parent} cannot be made ({error}); name another folder") from error
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                for left_over in path.parent.glob(f".{path.name}.*"):  # left by a killed process
                    left_over.unlink()
                self._check_room(math.prod(shape))
                write_atomic(path, _npy(shape, pieces()))
        rows = Rows.of(np.load(path, mmap_mode="r", allow_pickle=False))
        assert rows is not None
        return rows

    def recall(self, made_from: Any, find: Callable[[], Any]) -> Any:
        """Return a result that is computed once for each value of ``made_from``, and kept in a file as JSON."""
        path = self._path(made_from, ".json")
        if not path.exists():
            write_json(path, find())
        return read_json(path, "delete it, and run the same command again")

    def _path(self, made_from: Any, suffix: str) -> Path:
        return self.root / "streamed" / f"{fingerprint({'made_from': made_from})[:32]}{suffix}"

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self.root).free
        if free < size:
            raise PipelineError(
                f"data.root: {self.root} has {show(free)} free, the converted images take {show(size)}; name a folder "
                "with more room"
            )


def _npy(shape: tuple[int, ...], pieces: Iterator[Array]) -> Iterator[bytes]:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    yield header.getvalue()
    for piece in pieces:
        yield np.ascontiguousarray(piece, np.uint8).tobytes()


def show(size: int) -> str:
    """Return a number of bytes as text, such as "1.5 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
