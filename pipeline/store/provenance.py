"""The provenance of a result: the versions, the machine, the source revision, the command and the time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import TypedDict

import pipeline

PACKAGE = Path(pipeline.__file__).parent


class Provenance(TypedDict):
    """All that a result depends on beside its settings.

    Attributes:
        command: The command line.
        created: The time at which the result was made, with its time zone.
        python: The version of Python.
        platform: The name and the version of the operating system.
        machine: The architecture of the processor.
        cpus: The number of processors; None if the system does not tell.
        packages: The version of each package that the numbers may depend on.
        revision: The commit that was checked out, or "unknown" where the package was installed otherwise.
    """

    command: str
    created: str
    python: str
    platform: str
    machine: str
    cpus: int | None
    packages: dict[str, str]
    revision: str


def collect() -> Provenance:
    """Return the provenance of a result that this process makes now."""
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
        "created": now(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: version(name) for name in packages},
        "revision": _revision(),
    }


@functools.cache
def source_sha256(folder: Path = PACKAGE) -> str:
    """Return the SHA-256, in hex, of the names and the content of all modules and templates in a folder.

    Outputs that take moments and that any of them could change, such as the report, are made again when it differs.

    Args:
        folder: The folder; by default, that of this package.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".jinja", ".css", ".js"):
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def now() -> str:
    """Return the time in the ISO format, with its time zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


@functools.cache  # each artefact tells the versions, and looking them up takes as long as writing it
def version(package: str) -> str:
    """Return a package's installed version, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _revision() -> str:
    """Return the commit that is checked out, read from .git without running git; "unknown" where there is none."""
    git = PACKAGE.resolve().parent / ".git"
    with contextlib.suppress(OSError):
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        return (git / head.removeprefix("ref: ")).read_text(encoding="utf-8").strip()
    return "unknown"
