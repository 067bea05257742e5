"""What a result depends on beside its settings: versions, machine, source revision, command, time."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any


def collect() -> dict[str, Any]:
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
    git = Path(__file__).resolve().parent.parent / ".git"
    with contextlib.suppress(OSError):
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        return (git / head.removeprefix("ref: ")).read_text(encoding="utf-8").strip()
    return "unknown"
