"""What the slow tests counted is printed at the end: the figures of docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Protocol

import pytest

from tests.reliability.forking import SMALL, finish

FIGURES: Counter[str] = Counter()


class Count(Protocol):
    """Adds to one of the charts."""

    def __call__(self, name: str, number: int = 1) -> None: ...


@pytest.fixture
def count() -> Count:
    """Add to one of the charts."""

    def add(name: str, number: int = 1) -> None:
        FIGURES[name] += number

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, number in sorted(FIGURES.items()):
        terminalreporter.write_line(f"{number:>8,} {name}")


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder in which every stage of the small experiment up to compare is done. Not to be written to."""
    runs = tmp_path_factory.mktemp("small")
    for stage in ("data", "pretrain", "compare"):
        assert finish([stage, *SMALL, f"--runs={runs}"], runs / "log") == 0, (runs / "log").read_text()
    return runs
