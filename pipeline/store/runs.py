"""The run folder: paths, manifests, fingerprints, artefacts and records. No other module knows how it is laid out.

An *artefact* is a folder with a ``manifest.json`` that holds a fingerprint of all that it was made from and the
SHA-256 of every file in it, and its own. It is built beside its final place and renamed into it, so it is whole or
absent. Its folder's name ends with the fingerprint's first characters: changed settings make a new folder beside the
old one, and nothing that was made before is overwritten.

A *record* is the same for files that every run replaces, such as results.csv: a JSON file beside them, with their
SHA-256 and its own, replaced together with them.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import PipelineError
from pipeline.store import disk, provenance

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
    with disk.locked(path):
        for name in (*contents, path.name):
            disk.clear(path.with_name(name))
        disk.write_together(path.parent, {**contents, path.name: disk.as_json(_sealed(record))})
    return record


def read_record(path: Path, remedy: str) -> dict[str, Any]:
    """The record, after it and every file that it speaks of were checked.

    Raises:
        PipelineError: It is missing, or it or such a file was changed; the message ends with ``remedy``.
    """
    record = _read_sealed(path, remedy)
    for name, digest in record["files"].items():
        try:
            same = disk.sha256_file(_inside(path.parent, name)) == digest
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
    with disk.locked(folder), disk.readable_os_errors(folder):
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
            same = disk.sha256_file(_inside(folder, name)) == entry["sha256"]
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
    with disk.readable_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(folder, target)


def _write_manifest(folder: Path, inputs: dict[str, Any], mark: str, outcome: dict[str, Any], seconds: float) -> None:
    files = {
        str(path.relative_to(folder)): {"sha256": disk.sha256_file(path), "bytes": path.stat().st_size}
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
    disk.write_json(folder / MANIFEST, _sealed(manifest))


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside the final one, removed again unless it was renamed into place.

    Whoever calls holds the artefact's lock: what a killed process left of an earlier attempt can be cleared away.
    """
    for ending in ("?" * 8, "broken"):  # mkdtemp's names, and that of what was being replaced
        for left_over in folder.parent.glob(f".{glob.escape(folder.name)}.{ending}/"):
            shutil.rmtree(left_over, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    staging.chmod(0o777 & ~disk.umask())
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, folder: Path) -> None:
    """Rename into place; what lies there is broken (else it had been reused) and is kept until the new is whole."""
    for path in (*staging.rglob("*"), staging):
        disk.sync(path)
    broken = folder.with_name(f".{folder.name}.broken")
    if folder.exists():
        shutil.rmtree(broken, ignore_errors=True)
        folder.rename(broken)
    staging.rename(folder)
    disk.sync(folder.parent)
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
