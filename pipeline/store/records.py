"""Records: a JSON file that vouches for files beside it which every run replaces, such as results.csv.

A record holds a fingerprint of all that the files were made from, their SHA-256 and its own. It is replaced together
with the files. Whatever is made once, and never replaced, is an artefact instead.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.store import disk
from pipeline.store.sealed import file_inside, read_sealed, seal


def write_record(
    path: Path, fingerprint: str, content: Mapping[str, Any], files: Mapping[str, bytes | str]
) -> dict[str, Any]:
    """Write files and, beside them, the record that vouches for them: all of them, or none if there is no room.

    Args:
        path: Where the record is written; the files are written into the same folder.
        fingerprint: The fingerprint of all that the files were made from.
        content: What the record says beyond ``fingerprint`` and ``files``.
        files: Each file's content by its name.

    Returns:
        The record, as ``read_record`` gives it.

    Raises:
        PipelineError: If the folder cannot be written.
    """
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    digests = {name: hashlib.sha256(written).hexdigest() for name, written in contents.items()}
    record = {**content, "fingerprint": fingerprint, "files": digests}
    with disk.locked(path):
        for name in (*contents, path.name):
            disk.clear(path.with_name(name))
        disk.write_together(path.parent, {**contents, path.name: disk.as_json(seal(record))})
    return record


def read_record(path: Path, remedy: str) -> dict[str, Any]:
    """Read a record and check every file that it vouches for.

    Raises:
        PipelineError: If the record is missing, or it or such a file was changed; the message ends with ``remedy``.
    """
    record = read_sealed(path, remedy)
    for name, digest in record["files"].items():
        try:
            same = disk.sha256_file(file_inside(path.parent, name)) == digest
        except (OSError, ValueError) as error:
            raise PipelineError(f"{path.parent / name} cannot be read ({error}); {remedy}") from error
        if not same:
            raise PipelineError(f"{path.parent / name} is not the file that {path} speaks of; {remedy}")
    return record


def find_record(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the record if it has this fingerprint, and it and the files beside it are whole; else None."""
    with contextlib.suppress(PipelineError):
        record = read_record(path, "")
        return record if record["fingerprint"] == fingerprint else None
    return None
