"""What a result depends on beside its settings: versions, machine, source revision, command, time."""

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
    """What a result depends on beside its settings.

    Attributes:
        command: The command line.
        created: The time, with its zone.
        python: Version of Python.
        platform: Name and version of the system.
        machine: Architecture of the processor.
        cpus: Number of processors.
        packages: Version of each package that computes.
        revision: The commit that the pipeline's checkout stood at, or "unknown".
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
        "created": now(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: version(name) for name in packages},
        "revision": _revision(),
    }


@functools.cache
def source_sha256() -> str:
    """SHA-256, in hex, of the package's own source: names and content of all its modules and templates.

    Cheap outputs that any module could change, such as the report, are made again whenever it differs.
    """
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in (".py", ".jinja", ".css", ".js"):
            digest.update(f"{path.relative_to(PACKAGE)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def now() -> str:
    """The time, with its zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def version(package: str) -> str:
    """Its installed version."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _revision() -> str:
    """The commit that a checkout stands at, read from .git without running git; "unknown" elsewhere."""
    git = PACKAGE.resolve().parent / ".git"
    with contextlib.suppress(OSError):
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        return (git / head.removeprefix("ref: ")).read_text(encoding="utf-8").strip()
    return "unknown"
