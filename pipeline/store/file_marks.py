"""Marks of files: sizes and times, by which a change of them is noticed without reading them."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Marks = dict[str, list[int]]  # size, and times of the last change of content and of the file, ns, by absolute path

SHOWN = 3  # names that a sentence lists


def marks(paths: Iterable[Path]) -> Marks:
    """The marks of files and folders; what is not there has none."""
    found: Marks = {}
    for path in paths:
        with contextlib.suppress(OSError):
            stat = path.stat()
            found[str(path.absolute())] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return found


def files_below(path: Path, without: Iterable[Path] = ()) -> Iterator[Path]:
    """The file itself, or every file below the folder, links followed; nothing where there is neither.

    Args:
        path: A file or a folder.
        without: Folders that are passed over.
    """
    if path.is_file():
        yield path
    passed_over, seen = {folder.resolve() for folder in without}, set()
    for folder, subfolders, names in os.walk(path, followlinks=True):
        here = Path(folder).resolve()
        if here in passed_over or here in seen:  # a link may lead to a folder above it
            subfolders.clear()
            continue
        seen.add(here)
        yield from (Path(folder) / name for name in names)


def describe_changes(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """What happened to files between two looks at them, in words; "" if nothing.

    Examples:
        >>> describe_changes({"a/x.png": 1, "a/y.png": 1}, {"a/x.png": 2, "b/y.png": 1})
        'x.png changed; y.png is new; y.png is gone'
        >>> describe_changes({}, {"1.png": 1, "2.png": 1, "3.png": 1, "4.png": 1})
        '4 files are new (1.png, 2.png, 3.png, ...)'
    """
    changed = sorted(name for name in before if name in after and before[name] != after[name])
    new, gone = sorted(set(after) - set(before)), sorted(set(before) - set(after))
    kinds = (("changed", "changed", changed), ("is new", "are new", new), ("is gone", "are gone", gone))
    return "; ".join(_listed(*kind) for kind in kinds if kind[2])


def _listed(one: str, several: str, paths: list[str]) -> str:
    names = [Path(path).name for path in paths]
    if len(names) == 1:
        return f"{names[0]} {one}"
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{len(names)} files {several} ({shown})"


# --- the files that a piece of code reads ---------------------------------------------------------------------

_watching: list[set[str]] = []  # sets that paths are added to, one for each ``opened_files`` that is active
_hooked = False


@contextlib.contextmanager
def opened_files() -> Iterator[set[str]]:
    """Collect the files that are opened to be read, and the folders that are listed, while the block runs.

    Source code and the folders that it is looked for in, files of installed packages, and devices are left out. Code
    that opens files without Python, as some C++ libraries do, goes unnoticed.
    """
    global _hooked
    if not _hooked:
        sys.addaudithook(_note)  # there is no way to remove one
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
    """Whether a file is opened to be read, of the arguments that Python reports; ``os.open`` has no mode."""
    if isinstance(mode, str):
        return mode.startswith("r") and "+" not in mode
    return isinstance(flags, int) and not flags & (os.O_WRONLY | os.O_RDWR)


def _is_of_the_user(path: str) -> bool:
    if path.endswith((".py", ".pyc")) or path in {str(Path(entry).absolute()) for entry in sys.path}:
        return False
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    foreign = (*libraries, sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/etc")
    return not any(Path(path).is_relative_to(folder) for folder in foreign)
