"""Files that are whole or absent, whatever is killed or fills up: atomic writes, locks, and reading with a remedy."""

from __future__ import annotations

import contextlib
import csv
import errno
import glob
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pipeline.errors import PipelineError
from pipeline.store import regular_files

if TYPE_CHECKING:
    import torch

PATIENCE = 2  # seconds that another process is waited for without a word


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes | str | Iterable[bytes]) -> None:
    """Write a file so that readers see the old content or the new, never a part; large content comes in pieces.

    Raises:
        PipelineError: If the folder cannot be written to, or the disk is full.
    """
    write_together(path.parent, {path.name: content})


def write_together(folder: Path, contents: Mapping[str, bytes | str | Iterable[bytes]]) -> None:
    """Write several files atomically, in their order; if there is no room for one of them, none is replaced.

    Args:
        folder: The folder of all of them; it is made if it is missing.
        contents: The content of each file by its name; text is written in UTF-8.

    Raises:
        PipelineError: If the folder cannot be written to, or the disk is full.
    """
    written: dict[Path, Path] = {}
    try:
        for name, content in contents.items():
            path = folder / name
            with readable_os_errors(path):
                folder.mkdir(parents=True, exist_ok=True)
                handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
                written[path] = Path(temporary)
                with os.fdopen(handle, "wb") as file:
                    file.writelines(_pieces(content))
                    file.flush()
                    os.fsync(file.fileno())
                written[path].chmod(0o666 & ~umask())  # only their owner may read the files that mkstemp makes
        for path, beside in written.items():
            with readable_os_errors(path):
                beside.replace(path)
                sync(folder)
    finally:
        for beside in written.values():
            beside.unlink(missing_ok=True)


def _pieces(content: bytes | str | Iterable[bytes]) -> Iterable[bytes]:
    if isinstance(content, str):
        return [content.encode()]
    return [content] if isinstance(content, bytes) else content


def discard(path: Path) -> None:
    """Remove a file, if it exists, that no process is writing, and temporary files that were left beside it."""
    clear(path)
    if path.exists():  # on a read-only disk, removing a missing file is an error, too
        path.unlink(missing_ok=True)


def clear(path: Path) -> None:
    """Remove temporary files that killed processes left beside a file; no process may be writing the file now."""
    for left_over in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}"):  # the names that mkstemp gives
        if left_over.is_file():
            left_over.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file in one piece, even if other processes are adding lines, too.

    The line break is written first, so that a line which a full disk cut short does not spoil the next one.

    Raises:
        PipelineError: If the path leads to something other than a regular file, the file cannot be written, or the disk
            is full.
    """
    regular_files.check_regular(path)
    with readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            content = f"\n{line}".encode()
            if os.write(descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors atomically to a safetensors file, by their names."""
    from safetensors.torch import save

    write_atomic(path, save({name: value.contiguous() for name, value in tensors.items()}))


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON atomically; a ValueError refuses NaN and infinity, since JSON has neither."""
    write_atomic(path, as_json(content))


def as_json(content: Any) -> str:
    """Return indented JSON; a ValueError refuses NaN and infinity, since JSON has neither."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_csv(path: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str] = ()) -> None:
    """Write rows of the same columns as a CSV file, atomically; ``as_csv`` explains the arguments."""
    write_atomic(path, as_csv(rows, columns))


def as_csv(rows: Iterable[Mapping[str, object]], columns: Sequence[str] = ()) -> str:
    r"""Return rows of the same columns as CSV; floats keep every digit, so that others can compute with them.

    Args:
        rows: The values of each row by column; there is at least one row unless the columns are named.
        columns: The columns' names in their order; without any, the first row tells.

    Examples:
        >>> as_csv([{"a": 0.1, "b": "x, y"}])
        'a,b\n0.1,"x, y"\n'
    """
    text, remaining = io.StringIO(), iter(rows)
    first = [] if columns else [next(remaining)]
    writer = csv.DictWriter(text, fieldnames=list(columns or first[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(first)
    writer.writerows(remaining)
    return text.getvalue()


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file.

    Raises:
        PipelineError: If the file is missing, is no regular file, or is not JSON; the message ends with ``remedy``.
    """
    try:
        return json.loads(regular_files.read_text(path))
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; {remedy}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PipelineError(f"{path} cannot be read ({error}); {remedy}") from error


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file that a stage wrote, each as text by column.

    Raises:
        PipelineError: If the file cannot be read, has no rows, or has rows of different lengths.
    """
    regular_files.check_regular(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise PipelineError(f"{path} cannot be read ({error}); delete it and run its stage again") from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise PipelineError(f"{path} holds no rows, or rows that are cut short; delete it and run its stage again")
    return rows


def read_columns(path: Path) -> dict[str, list[float]]:
    """Read a CSV file of numbers, by column.

    Raises:
        PipelineError: If the file cannot be read, has no rows, or holds something other than numbers.
    """
    rows = read_rows(path)
    try:
        return {name: [float(row[name]) for row in rows] for name in rows[0]}
    except ValueError as error:
        raise PipelineError(f"{path} holds no numbers ({error}); delete its folder and run its stage again") from error


def umask() -> int:
    """Return the permission bits that the system withholds from new files of this process."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Wait until the disk has stored a file's content, or a folder's list of names."""
    if os.name == "nt":  # Windows can open no folder, and sync no file that is open for reading only
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def readable_os_errors(path: Path) -> Iterator[None]:
    """Turn an error of the system in writing a path into one clear message.

    Raises:
        PipelineError: If the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise PipelineError(
            f"cannot write {path}: {reason}; check that the folder is writable and the disk has room, "
            "or choose another folder with --runs"
        ) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a path, and wait for it if another process has it; the lock of a dead process is released.

    Whoever has to wait for more than two seconds is told what for.
    """
    with readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            print(f"another process is making {path}; waiting for it", flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
