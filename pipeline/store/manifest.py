"""The manifest of an artefact: its inputs, its outcome, and the SHA-256 of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar, cast

from pipeline.errors import PipelineError
from pipeline.store import disk, provenance
from pipeline.store.fingerprints import FORMAT, Inputs, fingerprint
from pipeline.store.provenance import Provenance
from pipeline.store.sealed import UNREADABLE, check_files, file_inside, read_sealed, seal, unseal

MANIFEST = "manifest.json"

Outcome = TypeVar("Outcome")


class FileEntry(TypedDict):
    """One file of an artefact: its SHA-256 in hex, and its size in bytes."""

    sha256: str
    bytes: int


class Manifest(TypedDict, Generic[Outcome]):
    """The content of an artefact's manifest.json.

    Attributes:
        format: The version of all formats that it was written with.
        fingerprint: The SHA-256 of ``format`` and ``inputs``, in hex.
        inputs: All that the artefact was made from.
        outcome: The results that are read most often, so that no other file has to be opened for them.
        seconds: The time that making the artefact took.
        files: The SHA-256 and the size of each file in the folder, by its name; the manifest itself is not listed.
        provenance: The versions, the machine and the command that made the artefact.
    """

    format: int
    fingerprint: str
    inputs: Inputs
    outcome: Outcome
    seconds: float
    files: dict[str, FileEntry]
    provenance: Provenance


def write_manifest(folder: Path, inputs: Inputs, outcome: object, seconds: float) -> None:
    """Write the manifest of a folder that is complete otherwise; every file in it is listed with its SHA-256.

    Inputs and outcome are values that JSON can hold; making the artefact took so many seconds.

    Raises:
        PipelineError: If the folder cannot be written to.
    """
    manifest: Manifest[object] = {
        "format": FORMAT,
        "fingerprint": fingerprint(inputs),
        "inputs": inputs,
        "outcome": outcome,
        "seconds": round(seconds, 3),
        "files": {
            str(path.relative_to(folder)): {"sha256": disk.sha256_file(path), "bytes": path.stat().st_size}
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
        "provenance": provenance.collect(),
    }
    disk.write_json(folder / MANIFEST, seal(manifest))


def is_whole(folder: Path, wanted: str) -> bool:
    """Whether the folder holds a complete artefact with this fingerprint, by its manifest and its files' sizes."""
    try:
        manifest = unseal(folder / MANIFEST)
        sizes = (
            file_inside(folder, name).stat().st_size == entry["bytes"] for name, entry in manifest["files"].items()
        )
        return bool(manifest["fingerprint"] == wanted) and all(sizes)
    except UNREADABLE:
        return False


def open_artefact(folder: Path, remedy: str) -> Manifest[Any]:
    """Check an artefact's manifest and every file in its folder, and return the manifest.

    Raises:
        PipelineError: If the manifest is missing (the message then ends with ``remedy``), or it or a file was changed.
    """
    again = f"delete {folder} and run its stage again"
    manifest = read_sealed(folder / MANIFEST, again if (folder / MANIFEST).exists() else remedy)
    try:
        digests = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    except (KeyError, TypeError) as error:
        raise PipelineError(f"{folder / MANIFEST} is not the file that was written ({error!r}); {again}") from error
    check_files(folder, digests, again)
    return cast(Manifest[Any], manifest)
