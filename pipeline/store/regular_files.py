"""Regular files are told from pipes, devices and sockets before they are opened: reading one of those may never end."""

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
    """Refuse what is no regular file, following links. A path at which there is nothing passes.

    Args:
        path: The path that is about to be opened.
        setting: The setting that the message starts with, such as "data.args.path"; empty for none.
        folder_allowed: Whether a folder passes, too.

    Raises:
        PipelineError: If a folder, a named pipe, a device or a socket is at the path.
    """
    kind = _special_kind(path)
    if kind is None or (folder_allowed and kind == "a folder"):
        return
    where = f"{setting}: {path}" if setting else str(path)
    raise PipelineError(f"{where} is {kind}; expected a regular file{' or a folder' * folder_allowed}")


def check_tree(folder: Path, depth: int = 4) -> None:
    """Refuse a folder in which there is a named pipe, a device or a socket, so many levels deep.

    For libraries that open the files below a folder themselves. What is hidden, as its name starts with a dot, is left
    out.

    Raises:
        PipelineError: If there is one; the message names it.
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


def _special_kind(path: Path) -> str | None:
    """What is at the path, in words; None for a regular file, nothing at all, or what cannot be asked."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return next((kind for kind, is_of_kind in _KINDS.items() if is_of_kind(mode)), None)
