"""Pieces of work for the workers of test_parallel.py, which import this file alone, and so begin sooner."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path
from typing import Any

from pipeline.store.artefact import Artefact


def note(log: Path, line: str) -> None:
    with log.open("a") as file:
        file.write(line + "\n")


def make(number: int, deaths: int, log: Path, folder: Path) -> dict[str, Any]:
    """Make an artefact; piece 1 kills its worker while it does, as many times as it is told."""
    note(log, f"begins {number}")
    (folder / "half").write_text("x")
    if number == 1 and log.read_text().splitlines().count("begins 1") <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    note(log, f"ends {number}")
    return {"number": number}


def build(experiment: Path, number: int, deaths: int, log: Path) -> Path:
    inputs = {"stage": "test", "number": number}
    return Artefact(experiment, f"pieces/{number}", inputs, functools.partial(make, number, deaths, log), "").build()


HELD: list[bytearray] = []


def grow() -> None:
    time.sleep(1.1)  # joblib looks at its workers once a second
    HELD.append(bytearray(b"x" * (400 << 20)))


def linger(log: Path) -> None:
    note(log, str(os.getpid()))
    time.sleep(60)
