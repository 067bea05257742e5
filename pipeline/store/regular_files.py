"""Checks that a path is a regular file before it is opened: reading a pipe, a device or a socket may never end."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import PipelineError

_KINDS: dict[str, Callable[[int], bool]] = {
    "a folder": stat.S_ISDIR,
    "a named pipe": stat.S_ISFIFO,
    "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    "a socket": stat.S_ISSOCK,
}


def check_regular(path: Path, setting: str = "", folder_allowed: bool = False) -> None:
    """Refuse a path that leads to something other than a regular file.

    Links are followed. A path at which there is nothing is accepted.

    Args:
        path: The path that is about to be opened.
        setting: The setting that named the path, with which the message starts, such as "data.args.path"; "" for none.
        folder_allowed: Whether a folder is accepted, too.

    Raises:
        PipelineError: If a folder, a named pipe, a device or a socket is at the path.
    """
    kind = _special_kind(path)
    if kind is None or (folder_allowed and kind == "a folder"):
        return
    where = f"{setting}: {path}" if setting else str(path)
    expected = "a regular file or a folder" if folder_allowed else "a regular file"
    raise PipelineError(f"{where} is {kind}; expected {expected}")


def check_tree(folder: Path, depth: int = 4) -> None:
    """Refuse a folder that holds a named pipe, a device or a socket.

    This is for folders whose files a library opens by itself.

    Args:
        folder: The folder. Entries whose names start with a dot are left out; a path that is no folder is accepted.
        depth: The number of levels of folders that are searched, 1 for the folder's own entries only.

    Raises:
        PipelineError: If there is such a file; the message names it.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as scanned:
        entries = [entry for entry in scanned if not entry.name.startswith(".")]
    for entry in entries:
        if not entry.is_dir():
            check_regular(Path(entry.path))
        elif depth > 1:
            check_tree(Path(entry.path), depth - 1)


def read_text(path: Path) -> str:
    """Read a file in UTF-8.

    Raises:
        PipelineError: If the path leads to a folder, a named pipe, a device or a socket.
        OSError: If the file is missing or cannot be read.
        UnicodeDecodeError: If it is not UTF-8.
    """
    check_regular(path)
    return path.read_text(encoding="utf-8")


def _special_kind(path: Path) -> str | None:
    """Say what the path leads to; None for a regular file, for nothing at all, and if the system does not tell."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # a ValueError means that the name holds a NUL
        return None
    return next((kind for kind, is_of_kind in _KINDS.items() if is_of_kind(mode)), None)
