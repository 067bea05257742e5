"""The run folder: paths, atomic writes, manifests, fingerprints, locks. No other module knows how it is laid out.

An *artefact* is a folder with a ``manifest.json`` that holds a fingerprint of all that it was made from and the
SHA-256 of every file in it. It is built beside its final place and renamed into it, so it is whole or absent.
Its folder's name ends with the fingerprint's first characters: changed settings make a new folder beside the old
one, and nothing that was made before is overwritten.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.errors import PipelineError

FORMAT = 1  # raise it when an artefact's meaning changes: older ones are then made again, never mixed in

MANIFEST = "manifest.json"


def fingerprint(inputs: dict[str, Any]) -> str:
    """SHA-256, in hex, of JSON-able inputs and the format version, independent of the order of keys."""
    canonical = json.dumps({"format": FORMAT, **inputs}, sort_keys=True, separators=(",", ":"))
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
    write_pieces(path, [content.encode() if isinstance(content, str) else content])


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """The same for a file that is made piece by piece, being too large to be in memory as a whole.

    Raises:
        PipelineError: The folder cannot be written to, or the disk is full.
    """
    with _readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())  # mkstemp's files are for their owner alone
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON atomically; NaN and infinity are refused, since JSON has neither."""
    write_atomic(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write one or more rows of the same columns atomically; floats keep every digit, to be recomputed with."""
    text, remaining = io.StringIO(), iter(rows)
    first = next(remaining)
    writer = csv.DictWriter(text, fieldnames=list(first), lineterminator="\n")
    writer.writeheader()
    writer.writerow(first)
    writer.writerows(remaining)
    write_atomic(path, text.getvalue())


def read_json(path: Path, remedy: str) -> Any:
    """Read JSON, or say which file is unreadable and what to do.

    Raises:
        PipelineError: The file is missing or is not JSON; the message ends with ``remedy``.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; {remedy}") from None
    except (OSError, ValueError) as error:
        raise PipelineError(f"{path} cannot be read ({error}); {remedy}") from error


def read_columns(path: Path) -> dict[str, list[float]]:
    """A CSV of numbers, by column.

    Raises:
        PipelineError: It cannot be read, has no rows, or holds something else than numbers.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in rows[0]}
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise PipelineError(f"{path} cannot be read ({error}); delete its folder and run its stage again") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
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


def vouches(record: Path, mark: str) -> bool:
    """Whether a JSON record has this fingerprint and the files beside it are the ones that it was written for."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(record.read_text(encoding="utf-8"))
        same = all(sha256_file(record.parent / name) == digest for name, digest in found["files"].items())
        return bool(found["fingerprint"] == mark) and same
    return False


# --- artefacts ------------------------------------------------------------------------------------------------


def artefact_path(experiment: Path, relative: str, inputs: dict[str, Any]) -> Path:
    """Where the artefact made from these inputs lies inside the experiment's folder."""
    return marked_path(experiment, relative, fingerprint(inputs))


def marked_path(experiment: Path, relative: str, mark: str) -> Path:
    """Where the artefact with this fingerprint lies inside the experiment's folder."""
    return experiment / f"{relative}-{mark[:8]}"


def is_finished(folder: Path, mark: str) -> bool:
    """Whether the folder holds a whole artefact with this fingerprint; reads its manifest alone."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == entry["bytes"] for name, entry in manifest["files"].items())
        return whole and bool(manifest["fingerprint"] == mark)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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
    with _readable_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if is_finished(folder, mark) or _adopt(experiment, folder, mark):
                return folder
            with _staging(folder) as staging:
                started = time.monotonic()
                outcome = make(staging)
                _write_manifest(staging, inputs, mark, outcome, time.monotonic() - started)
                _put_in_place(staging, folder)
    return folder


def open_artefact(folder: Path, remedy: str) -> dict[str, Any]:
    """Check every file of an artefact against its manifest and return the manifest.

    Raises:
        PipelineError: It is missing or a file in it was changed.
    """
    manifest: dict[str, Any] = read_json(folder / MANIFEST, remedy)
    if not (isinstance(manifest, dict) and is_finished(folder, manifest.get("fingerprint", ""))):
        raise PipelineError(f"{folder} is not whole; delete it and run its stage again")
    for name, entry in manifest["files"].items():
        path = folder / name
        if sha256_file(path) != entry["sha256"]:
            raise PipelineError(
                f"{path} is not the file that was written (its SHA-256 differs from the manifest's); "
                f"delete {folder} and run its stage again"
            )
    return manifest


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


def provenance() -> dict[str, Any]:
    """What a result depends on beside its settings: versions, machine, source revision, command."""
    packages = (
        "torch",
        "torchvision",
        "pytorch-lightning",
        "torchmetrics",
        "scikit-learn",
        "numpy",
        "scipy",
        "matplotlib",
    )
    return {
        "command": " ".join(["python -m pipeline", *sys.argv[1:]]),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: version(name) for name in packages},
        "revision": _revision(),
    }


def version(package: str) -> str:
    """Its installed version."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _revision() -> str:
    """The commit that a checkout stands at, read from .git without running git; "unknown" elsewhere."""
    git = Path(__file__).resolve().parent.parent / ".git"
    with contextlib.suppress(OSError):
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        return (git / head.removeprefix("ref: ")).read_text(encoding="utf-8").strip()
    return "unknown"


def _write_manifest(folder: Path, inputs: dict[str, Any], mark: str, outcome: dict[str, Any], seconds: float) -> None:
    files = {
        str(path.relative_to(folder)): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    write_json(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "fingerprint": mark,
            "inputs": inputs,
            "outcome": outcome,
            "seconds": round(seconds, 3),
            "files": files,
            "provenance": provenance(),
        },
    )


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside the final one, removed again unless it was renamed into place.

    Whoever calls holds the artefact's lock: what a killed process left of an earlier attempt can be cleared away.
    """
    for left_over in folder.parent.glob(f".{folder.name}.*/"):
        shutil.rmtree(left_over, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    staging.chmod(0o777 & ~_umask())
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, folder: Path) -> None:
    """Rename into place; what lies there is broken (else it had been reused) and is kept until the new is whole."""
    broken = folder.with_name(f".{folder.name}.broken")
    if folder.exists():
        shutil.rmtree(broken, ignore_errors=True)
        folder.rename(broken)
    staging.rename(folder)
    _sync_folder(folder.parent)
    shutil.rmtree(broken, ignore_errors=True)


def _adopt(experiment: Path, folder: Path, mark: str) -> bool:
    """Copy the same artefact from a sibling experiment, so that what two configs share is computed once."""
    for other in sorted(experiment.parent.glob(f"*/{folder.relative_to(experiment)}")):
        if not is_finished(other, mark):
            continue
        open_artefact(other, "")  # a sibling that was tampered with is refused aloud, not copied
        _copy(other, folder)
        return True
    return False


def _copy(folder: Path, target: Path) -> None:
    with _staging(target) as staging:
        shutil.copytree(folder, staging, dirs_exist_ok=True)
        _put_in_place(staging, target)
