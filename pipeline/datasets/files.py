"""What the readers of files share: paths at which there must be something, sizes that must fit, gzipped content.

Files are taken for hostile: what one declares is believed no further than memory reaches, and nothing in it is run.
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
    """The path, if a regular file or a folder is there. A relative one starts at the working directory.

    Raises:
        PipelineError: If nothing is there, or a pipe, a device or a socket.
    """
    found = Path(str(path)).expanduser()
    if not found.exists():
        raise PipelineError(f"{setting}: {found} does not exist (looked in {Path.cwd()}); correct the path")
    check_regular(found, setting, folder_allowed=True)
    return found


def existing_file(path: Any, setting: str = "data.args.path") -> Path:
    """The same for a path that must be a file.

    Raises:
        PipelineError: If no regular file is there.
    """
    found = existing(path, setting)
    check_regular(found, setting)
    return found


def check_room(name: str, needed: int) -> None:
    """Refuse what would not fit into half of the machine's memory; reading makes a copy.

    Args:
        name: What the message calls it.
        needed: Bytes.

    Raises:
        PipelineError: It would not.
    """
    room = physical_memory() // 2
    if needed > room:
        raise PipelineError(
            f"{name} would take {min(needed, 2**80) / 2**30:,.0f} GiB of memory, where {room / 2**30:.1f} GiB may be "
            "used; get the file again, or take fewer or smaller images"
        )


@contextmanager
def unpacked(path: Path) -> Iterator[Content]:
    """Open a file's content, unpacked if it is gzipped, whatever the file is called.

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
    """So many bytes, or all if there are fewer; memory is taken as they come."""
    content = bytearray()
    while len(content) < most and (chunk := file.read(min(_CHUNK, most - len(content)))):
        content += chunk
    return content


def unpacked_size(path: Path) -> int:
    """Bytes of a file's content, at a chunk's memory.

    Raises:
        PipelineError: They would not fit into memory.
    """
    size = 0
    with unpacked(path) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            check_room(str(path), size)
    return size
