"""Sealed JSON: a file that holds the SHA-256 of its own content, and those of the files that it vouches for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import PipelineError
from pipeline.store.fingerprints import digest

# what reading JSON of any content as if it were ours can raise; deep nesting exhausts the stack
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)

_SEAL = "sha256"  # the key of the digest of everything else in the file


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON-able content with the SHA-256 of it added; it must not have a key "sha256" of its own."""
    assert _SEAL not in content
    return {**content, _SEAL: digest(dict(content))}


def unseal(path: Path) -> dict[str, Any]:
    """Read a sealed file and return its content, which has a ``fingerprint`` and ``files``, without the seal.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError: If the file (any of ``UNREADABLE``)
            is missing, or is not what was written.
    """
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if content.pop(_SEAL) != digest(content) or not isinstance(content["fingerprint"], str):
        raise ValueError("its SHA-256 differs from the one that stands in it")
    content["files"].items()
    return content


def read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    """Read a sealed file as ``unseal`` does.

    Raises:
        PipelineError: If the file is missing or is not what was written; the message ends with ``remedy``.
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
