"""Sealed JSON: a file that holds the SHA-256 of its own content, and those of the files that it vouches for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.config import JsonObject
from pipeline.errors import PipelineError
from pipeline.store import disk, regular_files
from pipeline.store.fingerprints import digest

# all that reading a JSON file of unknown content can raise: deep nesting a RecursionError, a pipe a PipelineError
UNREADABLE = (PipelineError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)

_SEAL = "sha256"  # the key of the digest of everything else in the file


def seal(content: Mapping[str, Any]) -> JsonObject:
    """Return JSON content with its own SHA-256 added as the key "sha256", which the content must not have."""
    assert _SEAL not in content
    return {**content, _SEAL: digest(dict(content))}


def unseal(path: Path) -> JsonObject:
    """Read a sealed file and return its content, which has a ``fingerprint`` and ``files``, without the seal.

    Raises:
        PipelineError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError: If the file is missing,
            is no regular file, or is not as it was written; these are all of ``UNREADABLE``.
    """
    content: JsonObject = json.loads(regular_files.read_text(path))
    if content.pop(_SEAL) != digest(content) or not isinstance(content["fingerprint"], str):
        raise ValueError("its SHA-256 is not the one that it holds")
    content["files"].items()
    return content


def read_sealed(path: Path, remedy: str) -> JsonObject:
    """Read a sealed file as ``unseal`` does.

    Raises:
        PipelineError: If the file is missing or is not as it was written; the message ends with ``remedy``.
    """
    try:
        return unseal(path)
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist; {remedy}") from None
    except UNREADABLE as error:
        raise PipelineError(f"{path} is not the file that was written ({error}); {remedy}") from error


def file_inside(folder: Path, name: str) -> Path:
    """Return the path of the file of this name in the folder.

    Raises:
        ValueError: If the name leads out of the folder, or to something that is no regular file.
    """
    plain = PurePosixPath(name)
    if plain.is_absolute() or ".." in plain.parts or not (folder / name).is_file():
        raise ValueError(f"{name!r} is no file inside {folder}")
    return folder / name


def check_files(folder: Path, digests: Mapping[str, str], remedy: str) -> None:
    """Compare files in a folder, by their names, with the SHA-256 that each had when it was written.

    Raises:
        PipelineError: If a file is missing or was changed; the message ends with the remedy.
    """
    for name, expected in digests.items():
        try:
            same = disk.sha256_file(file_inside(folder, name)) == expected
        except UNREADABLE as error:
            raise PipelineError(f"{folder / name} cannot be read ({error}); {remedy}") from error
        if not same:
            raise PipelineError(f"{folder / name} is not the file that was written (its SHA-256 differs); {remedy}")
