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

from filelock import FileLock

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import torch


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    Raises:
        PipelineError: The folder cannot be written to, or the disk is full.
    """
    write_together(path.parent, {path.name: content})


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """The same for a file that is made piece by piece, being too large to be in memory as a whole.

    Raises:
        PipelineError: The folder cannot be written to, or the disk is full.
    """
    write_together(path.parent, {path.name: pieces})


def write_together(folder: Path, contents: Mapping[str, bytes | str | Iterable[bytes]]) -> None:
    """Write files, each at once, in their order; if there is no room for one of them, none is replaced.

    Raises:
        PipelineError: The folder cannot be written to, or the disk is full.
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
                written[path].chmod(0o666 & ~umask())  # mkstemp's files are for their owner alone
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
    """Remove a file that is no longer needed and nobody is writing."""
    clear(path)
    if path.exists():  # where nothing can be written, removing what is not there is an error, too
        path.unlink(missing_ok=True)


def clear(path: Path) -> None:
    """Remove what kills in the midst of writing a file have left beside it; nobody may be writing it."""
    for left_over in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}"):  # mkstemp's names
        if left_over.is_file():
            left_over.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file in one piece, whoever else is adding to it, and whatever a full disk has cut short before.

    Raises:
        PipelineError: The file cannot be written, or the disk is full.
    """
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
    """Write tensors atomically, in the safetensors format."""
    from safetensors.torch import save

    write_atomic(path, save({name: value.contiguous() for name, value in tensors.items()}))


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON atomically; NaN and infinity are refused, since JSON has neither."""
    write_atomic(path, as_json(content))


def as_json(content: Any) -> str:
    """Readable JSON; NaN and infinity are refused, since JSON has neither."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_csv(path: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str] = ()) -> None:
    """Write rows of the same columns atomically, see ``as_csv``."""
    write_atomic(path, as_csv(rows, columns))


def as_csv(rows: Iterable[Mapping[str, object]], columns: Sequence[str] = ()) -> str:
    r"""Rows of the same columns as CSV; floats keep every digit, to be recomputed with.

    Args:
        rows: At least one, unless the columns are named.
        columns: Their names; none are taken from the first row.

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
    """Read JSON, or say which file is unreadable and what to do.

    Raises:
        PipelineError: The file is missing or is not JSON; the message ends with ``remedy``.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; {remedy}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PipelineError(f"{path} cannot be read ({error}); {remedy}") from error


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file that stage compare or study wrote, by column.

    Raises:
        PipelineError: It cannot be read, has no rows, or rows of different lengths.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise PipelineError(f"{path} cannot be read ({error}); delete it and run its stage again") from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise PipelineError(f"{path} holds no rows, or rows that are cut short; delete it and run its stage again")
    return rows


def read_columns(path: Path) -> dict[str, list[float]]:
    """A CSV of numbers, by column.

    Raises:
        PipelineError: It cannot be read, has no rows, or holds something else than numbers.
    """
    rows = read_rows(path)
    try:
        return {name: [float(row[name]) for row in rows] for name in rows[0]}
    except ValueError as error:
        raise PipelineError(f"{path} holds no numbers ({error}); delete its folder and run its stage again") from error


def umask() -> int:
    """The permissions that new files of this process are born without."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Have the disk keep a file's content, or a folder's list of names."""
    if os.name == "nt":  # it opens no folder, and syncs no file that is open for reading only
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def readable_os_errors(path: Path) -> Iterator[None]:
    """Turn what the system says on failing to write the path into one clear message.

    Raises:
        PipelineError: An OSError was raised inside.
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
    """Keep other processes from what this one makes; the system releases the lock of a process that died."""
    with readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
