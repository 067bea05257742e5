"""Functions that all readers of files share: checks of paths and sizes, and gzipped content.

Files may be hostile: no more memory is taken than there is, whatever size a file declares, and nothing in it is run.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.errors import PipelineError
from pipeline.store.memory import physical_memory
from pipeline.store.regular_files import check_regular

Content = IO[bytes] | gzip.GzipFile

_CHUNK = 2**20  # bytes that are unpacked at a time


def existing(path: Any, setting: str = "data.args.path") -> Path:
    """Return a path at which there is a regular file or a folder; a relative one starts at the working directory.

    Raises:
        PipelineError: If there is nothing at the path, or a pipe, a device or a socket.
    """
    found = Path(str(path)).expanduser()
    if not found.exists():
        raise PipelineError(f"{setting}: {found} does not exist (looked in {Path.cwd()}); correct the path")
    check_regular(found, setting, folder_allowed=True)
    return found


def existing_file(path: Any, setting: str = "data.args.path") -> Path:
    """Return a path at which there is a regular file; a relative one starts at the working directory.

    Raises:
        PipelineError: If there is no regular file at the path.
    """
    found = existing(path, setting)
    check_regular(found, setting)
    return found


def check_room(name: str, needed: int) -> None:
    """Refuse data of so many bytes that they take more than half of the machine's memory; reading them makes a copy.

    Raises:
        PipelineError: If they take more than half of the memory.
    """
    room = physical_memory() // 2
    if needed > room:
        raise PipelineError(
            f"{name} would take {min(needed, 2**80) / 2**30:,.0f} GiB of memory, where {room / 2**30:.1f} GiB may be "
            "used; get the file again, or take fewer or smaller images"
        )


@contextmanager
def unpacked(path: Path) -> Iterator[Content]:
    """Open a file for reading, and unpack it if its content is gzipped, whatever its name is.

    Raises:
        PipelineError: If it is no regular file.
    """
    check_regular(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=file) as content:
                yield content
        else:
            yield file


def read_most(file: Content, most: int) -> bytearray:
    """Read up to ``most`` bytes; memory is taken only for bytes that are there."""
    content = bytearray()
    while len(content) < most and (chunk := file.read(min(_CHUNK, most - len(content)))):
        content += chunk
    return content


def unpacked_size(path: Path) -> int:
    """Return the number of bytes of a file's unpacked content, reading one chunk at a time.

    Raises:
        PipelineError: If the content would not fit into half of the memory.
    """
    size = 0
    with unpacked(path) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            check_room(str(path), size)
    return size
