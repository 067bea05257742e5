"""The run folder: paths, atomic writes, manifests, fingerprints, locks. No other module knows how it is laid out.

An *artefact* is a folder with a ``manifest.json`` that holds a fingerprint of all that it was made from and the
SHA-256 of every file in it, and its own. It is built beside its final place and renamed into it, so it is whole or
absent. Its folder's name ends with the fingerprint's first characters: changed settings make a new folder beside the
old one, and nothing that was made before is overwritten.

A *record* is the same for files that every run replaces, such as results.csv: a JSON file beside them, with their
SHA-256 and its own, replaced together with them.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import glob
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pipeline import provenance
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import torch

FORMAT = 2  # raise it when an artefact's meaning changes: older ones are then made again, never mixed in

MANIFEST = "manifest.json"
_SEAL = "sha256"  # of the rest of the JSON that it stands in

# what reading JSON of any content as if it were ours can raise; deep nesting exhausts the stack
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def fingerprint(inputs: dict[str, Any]) -> str:
    """SHA-256, in hex, of JSON-able inputs and the format version, independent of the order of keys."""
    return _digest({"format": FORMAT, **inputs})


def _digest(content: dict[str, Any]) -> str:
    plain = json.loads(json.dumps(content))  # as it is read again: keys are strings, tuples are lists
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- atomic writes --------------------------------------------------------------------------------------------


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
            with _readable_os_errors(path):
                folder.mkdir(parents=True, exist_ok=True)
                handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
                written[path] = Path(temporary)
                with os.fdopen(handle, "wb") as file:
                    file.writelines(_pieces(content))
                    file.flush()
                    os.fsync(file.fileno())
                written[path].chmod(0o666 & ~_umask())  # mkstemp's files are for their owner alone
        for path, beside in written.items():
            with _readable_os_errors(path):
                beside.replace(path)
                _sync(folder)
    finally:
        for beside in written.values():
            beside.unlink(missing_ok=True)


def _pieces(content: bytes | str | Iterable[bytes]) -> Iterable[bytes]:
    if isinstance(content, str):
        return [content.encode()]
    return [content] if isinstance(content, bytes) else content


def discard(path: Path) -> None:
    """Remove a file that is no longer needed and nobody is writing."""
    _clear(path)
    if path.exists():  # where nothing can be written, removing what is not there is an error, too
        path.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    """Remove what kills in the midst of writing a file have left beside it; nobody may be writing it."""
    for left_over in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}"):  # mkstemp's names
        if left_over.is_file():
            left_over.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file in one piece, whoever else is adding to it, and whatever a full disk has cut short before.

    Raises:
        PipelineError: The file cannot be written, or the disk is full.
    """
    with _readable_os_errors(path):
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
    write_atomic(path, _as_json(content))


def _as_json(content: Any) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_csv(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write one or more rows of the same columns atomically, see ``as_csv``."""
    write_atomic(path, as_csv(rows))


def as_csv(rows: Iterable[Mapping[str, object]]) -> str:
    """One or more rows of the same columns as CSV; floats keep every digit, to be recomputed with."""
    text, remaining = io.StringIO(), iter(rows)
    first = next(remaining)
    writer = csv.DictWriter(text, fieldnames=list(first), lineterminator="\n")
    writer.writeheader()
    writer.writerow(first)
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    """Have the disk keep a file's content, or a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _readable_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise PipelineError(
            f"cannot write {path}: {reason}; check that the folder is writable and the disk has room, "
            "or choose another folder with --runs"
        ) from error


# --- sealed JSON: records and manifests -----------------------------------------------------------------------


def write_record(path: Path, mark: str, content: dict[str, Any], files: Mapping[str, bytes | str]) -> dict[str, Any]:
    """Write files and, beside them, the JSON record that vouches for them: all, or if there is no room, none.

    Args:
        path: Of the record; the files lie beside it.
        mark: Fingerprint of all that they were made from.
        content: What the record says beyond ``fingerprint`` and ``files``.
        files: Content by name.

    Returns:
        The record, as ``read_record`` gives it.

    Raises:
        PipelineError: The folder cannot be written.
    """
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    record = {**content, "fingerprint": mark, "files": digests}
    with _locked(path):
        for name in (*contents, path.name):
            _clear(path.with_name(name))
        write_together(path.parent, {**contents, path.name: _as_json(_sealed(record))})
    return record


def read_record(path: Path, remedy: str) -> dict[str, Any]:
    """The record, after it and every file that it speaks of were checked.

    Raises:
        PipelineError: It is missing, or it or such a file was changed; the message ends with ``remedy``.
    """
    record = _read_sealed(path, remedy)
    for name, digest in record["files"].items():
        try:
            same = sha256_file(_inside(path.parent, name)) == digest
        except (OSError, ValueError) as error:
            raise PipelineError(f"{path.parent / name} cannot be read ({error}); {remedy}") from error
        if not same:
            raise PipelineError(f"{path.parent / name} is not the file that {path} speaks of; {remedy}")
    return record


def find_record(path: Path, mark: str) -> dict[str, Any] | None:
    """The record if it has this fingerprint, and it and the files beside it are whole; else None."""
    with contextlib.suppress(PipelineError):
        record = read_record(path, "")
        return record if record["fingerprint"] == mark else None
    return None


def _sealed(content: dict[str, Any]) -> dict[str, Any]:
    """JSON-able content and the SHA-256 of it."""
    return {**content, _SEAL: _digest(content)}


def _unsealed(path: Path) -> dict[str, Any]:
    """What a sealed file says of ``fingerprint`` and ``files``, and the rest.

    Raises:
        _UNREADABLE: It is missing, or is not what was written.
    """
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if content.pop(_SEAL) != _digest(content) or not isinstance(content["fingerprint"], str):
        raise ValueError("its SHA-256 differs from the one that stands in it")
    content["files"].items()
    return content


def _read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    try:
        return _unsealed(path)
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; {remedy}") from None
    except _UNREADABLE as error:
        raise PipelineError(f"{path} is not the file that was written ({error}); {remedy}") from error


def _inside(folder: Path, name: str) -> Path:
    """A file of this name in the folder.

    Raises:
        ValueError: The name leads out of the folder, or to what is no plain file.
    """
    plain = PurePosixPath(name)
    if plain.is_absolute() or ".." in plain.parts or not (folder / name).is_file():
        raise ValueError(f"{name!r} is no file inside {folder}")
    return folder / name


# --- locks ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from what this one makes; the system releases the lock of a process that died."""
    with _readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


# --- artefacts ------------------------------------------------------------------------------------------------


def artefact_path(experiment: Path, relative: str, inputs: dict[str, Any]) -> Path:
    """Where the artefact made from these inputs lies inside the experiment's folder."""
    return marked_path(experiment, relative, fingerprint(inputs))


def marked_path(experiment: Path, relative: str, mark: str) -> Path:
    """Where the artefact with this fingerprint lies inside the experiment's folder."""
    return experiment / f"{relative}-{mark[:8]}"


def checkpoint_path(folder: Path) -> Path:
    """Where the training of an artefact to be is saved until it is in its place: beside it."""
    return folder.with_name(f".{folder.name}.checkpoint")


def is_finished(folder: Path, mark: str) -> bool:
    """Whether the folder holds a whole artefact with this fingerprint; reads its manifest alone."""
    try:
        manifest = _unsealed(folder / MANIFEST)
        sizes = (_inside(folder, name).stat().st_size == entry["bytes"] for name, entry in manifest["files"].items())
        return bool(manifest["fingerprint"] == mark) and all(sizes)
    except _UNREADABLE:
        return False


def build(
    experiment: Path,
    relative: str,
    inputs: dict[str, Any],
    make: Callable[[Path], dict[str, Any]],
) -> Path:
    """Make an artefact unless it is there, or take it over from another experiment below the same runs folder.

    Args:
        experiment: The experiment's folder.
        relative: The artefact's name inside it, without the fingerprint.
        inputs: All that it is made from; their fingerprint recognises it.
        make: Called with an empty folder to fill; what it returns is written into the manifest as ``outcome``.

    Returns:
        The artefact's folder.

    Raises:
        PipelineError: The folder cannot be written.
    """
    mark = fingerprint(inputs)
    folder = artefact_path(experiment, relative, inputs)
    if is_finished(folder, mark):
        return folder
    with _locked(folder), _readable_os_errors(folder):
        if is_finished(folder, mark) or _adopt(experiment, folder, mark):
            return folder
        if folder.is_file():
            raise FileExistsError(errno.EEXIST, "a file is in its place")
        with _staging(folder) as staging:
            started = time.monotonic()
            outcome = make(staging)
            _write_manifest(staging, inputs, mark, outcome, time.monotonic() - started)
            _put_in_place(staging, folder)
    return folder


def open_artefact(folder: Path, remedy: str) -> dict[str, Any]:
    """Check an artefact's manifest and every file in it, and return the manifest.

    Raises:
        PipelineError: It is missing, or a file in it was changed.
    """
    manifest = _read_sealed(folder / MANIFEST, _again(folder) if (folder / MANIFEST).exists() else remedy)
    for name, entry in manifest["files"].items():
        try:
            same = sha256_file(_inside(folder, name)) == entry["sha256"]
        except _UNREADABLE as error:
            raise PipelineError(f"{folder / name} cannot be read ({error}); {_again(folder)}") from error
        if not same:
            raise PipelineError(
                f"{folder / name} is not the file that was written (its SHA-256 differs from the manifest's); "
                f"{_again(folder)}"
            )
    return manifest


def _again(folder: Path) -> str:
    return f"delete {folder} and run its stage again"


def copy_artefact(folder: Path, target: Path) -> None:
    """Copy an artefact to any place, whole or not at all; there already, it is left as it is.

    Raises:
        PipelineError: Something else is there, or it cannot be written.
    """
    if is_finished(target, open_artefact(folder, "make it again")["fingerprint"]):
        return
    if target.exists():
        raise PipelineError(f"{target} exists already; name a folder that does not")
    with _readable_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(folder, target)


def _write_manifest(folder: Path, inputs: dict[str, Any], mark: str, outcome: dict[str, Any], seconds: float) -> None:
    files = {
        str(path.relative_to(folder)): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {
        "format": FORMAT,
        "fingerprint": mark,
        "inputs": inputs,
        "outcome": outcome,
        "seconds": round(seconds, 3),
        "files": files,
        "provenance": provenance.collect(),
    }
    write_json(folder / MANIFEST, _sealed(manifest))


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside the final one, removed again unless it was renamed into place.

    Whoever calls holds the artefact's lock: what a killed process left of an earlier attempt can be cleared away.
    """
    for ending in ("?" * 8, "broken"):  # mkdtemp's names, and that of what was being replaced
        for left_over in folder.parent.glob(f".{glob.escape(folder.name)}.{ending}/"):
            shutil.rmtree(left_over, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    staging.chmod(0o777 & ~_umask())
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, folder: Path) -> None:
    """Rename into place; what lies there is broken (else it had been reused) and is kept until the new is whole."""
    for path in (*staging.rglob("*"), staging):
        _sync(path)
    broken = folder.with_name(f".{folder.name}.broken")
    if folder.exists():
        shutil.rmtree(broken, ignore_errors=True)
        folder.rename(broken)
    staging.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(broken, ignore_errors=True)


def _adopt(experiment: Path, folder: Path, mark: str) -> bool:
    """Copy the same artefact from a sibling experiment, so that what two configs share is computed once."""
    for other in sorted(experiment.parent.glob(f"*/{folder.relative_to(experiment)}")):
        if is_finished(other, mark):
            _copy(other, folder)  # a sibling that was tampered with is refused aloud
            return True
    return False


def _copy(folder: Path, target: Path) -> None:
    """Copy what the manifest speaks of, and it."""
    manifest = open_artefact(folder, "")
    with _staging(target) as staging:
        for name in (*manifest["files"], MANIFEST):
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, staging / name)
        _put_in_place(staging, target)
