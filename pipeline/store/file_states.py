"""The states of files, their sizes and times, from which a change is noticed without reading the files."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# by absolute path: size in bytes, time of the last change of the content, and of its entry, both in ns since 1970
FileStates = dict[str, list[int]]

SHOWN = 3  # the number of names that a sentence lists at most


def file_states(paths: Iterable[Path]) -> FileStates:
    """Return the states of files and folders; a path at which there is nothing is left out."""
    found: FileStates = {}
    for path in paths:
        with contextlib.suppress(OSError):
            stat = path.stat()
            found[str(path.absolute())] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return found


def files_below(path: Path, without: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield the file itself, or every file below the folder, following links.

    Args:
        path: A file or a folder; nothing is yielded if there is neither.
        without: Folders that are not entered.
    """
    if path.is_file():
        yield path
    excluded, seen = {folder.resolve() for folder in without}, set()
    for folder, subfolders, names in os.walk(path, followlinks=True):
        here = Path(folder).resolve()
        if here in excluded or here in seen:  # a link may lead to a folder above it
            subfolders.clear()
            continue
        seen.add(here)
        yield from (Path(folder) / name for name in names)


def describe_changes(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Say in words which files, whose states are given by their paths, were changed, added or removed.

    Files are named below the folder that holds all of them, since their folder may be their class.

    Returns:
        A sentence without a full stop; "" if nothing has changed.

    Examples:
        >>> describe_changes({"a/x.png": 1, "a/y.png": 1}, {"a/x.png": 2, "b/y.png": 1})
        'a/x.png changed; b/y.png is new; a/y.png is gone'
        >>> describe_changes({}, {"1.png": 1, "2.png": 1, "3.png": 1, "4.png": 1})
        '4 files are new (1.png, 2.png, 3.png, ...)'
    """
    changed = sorted(name for name in before if name in after and before[name] != after[name])
    new, gone = sorted(set(after) - set(before)), sorted(set(before) - set(after))
    kinds = (("changed", "changed", changed), ("is new", "are new", new), ("is gone", "are gone", gone))
    if not (changed or new or gone):
        return ""
    base = _common_folder([*before, *after])
    return "; ".join(_listed(*kind, base) for kind in kinds if kind[2])


def _common_folder(paths: Iterable[str]) -> str:
    """Return the innermost folder that holds all of these files; "" if there is none, as on two drives of Windows."""
    with contextlib.suppress(ValueError):
        return os.path.commonpath([str(Path(path).parent) for path in paths])
    return ""


def _listed(one: str, several: str, paths: list[str], base: str) -> str:
    names = [str(Path(path).relative_to(base)) if base else path for path in paths]
    if len(names) == 1:
        return f"{names[0]} {one}"
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{len(names)} files {several} ({shown})"


# --- which files a piece of code reads ------------------------------------------------------------------------

_watching: list[set[str]] = []  # the sets of all ``opened_files`` that are active now; each opened path is added
_hooked = False


@contextlib.contextmanager
def opened_files() -> Iterator[set[str]]:
    """Collect the files that are opened to be read, and the folders that are listed, while the block runs.

    Left out are source code and the folders of ``sys.path``, files of installed packages, time zones, which libraries
    look up when they are imported, and devices. Files that a library opens without Python, as some C++ libraries do,
    are not noticed.

    Yields:
        A set of absolute paths, which is complete when the block has ended.
    """
    global _hooked
    if not _hooked:
        sys.addaudithook(_note)  # Python has no way to remove a hook
        _hooked = True
    found: set[str] = set()
    _watching.append(found)
    try:
        yield found
    finally:
        _watching.remove(found)
        found.difference_update([path for path in found if not _is_of_the_user(path)])


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching or event not in ("open", "os.listdir", "os.scandir"):
        return
    path = arguments[0]
    if not isinstance(path, str | os.PathLike) or (event == "open" and not _reads(arguments[1], arguments[2])):
        return
    for found in _watching:
        found.add(str(Path(os.fsdecode(path)).absolute()))


def _reads(mode: object, flags: object) -> bool:
    """Whether a file is opened to be read; ``open`` reports a mode, and ``os.open`` flags alone."""
    if isinstance(mode, str):
        return mode.startswith("r") and "+" not in mode
    return isinstance(flags, int) and not flags & (os.O_WRONLY | os.O_RDWR)


def _is_of_the_user(path: str) -> bool:
    if path.endswith((".py", ".pyc")) or path in {str(Path(entry).absolute()) for entry in sys.path}:
        return False
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    foreign = (*libraries, *zoneinfo.TZPATH, sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/etc")
    return not any(Path(path).is_relative_to(folder) for folder in foreign)
