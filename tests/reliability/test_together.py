"""Two processes in one folder: every cell is made once, no file is torn, nobody waits for ever."""

from __future__ import annotations

import multiprocessing
import shutil
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from pipeline.store import disk
from pipeline.store.artefact import Artefact
from tests.reliability.conftest import Count
from tests.reliability.forking import SMALL, check_whole, digests, finish, left_over, start

TRIALS = 100
LIMIT = 120  # seconds; a deadlock lasts longer


def write_down_each_cell() -> None:
    """Say in the log which cell is measured and written by which process."""
    from pipeline.artefacts import cell as cells

    leave = cells._measure_and_save

    def noted(cell: cells.Cell, *rest: object) -> object:
        print(f"made {cell.mode}-{cell.labels}-{cell.seed}", flush=True)
        return leave(cell, *rest)  # type: ignore[arg-type]

    cells._measure_and_save = noted  # type: ignore[assignment]


def both(arguments: list[str], folder: Path) -> list[str]:
    """Run the same command twice at the same time; the cells that were made, over both."""
    logs = [folder / "first", folder / "second"]
    processes: list[BaseProcess] = [start(arguments, log, write_down_each_cell) for log in logs]
    for process in processes:
        process.join(LIMIT)
    said = "".join(log.read_text() for log in logs)
    assert [process.exitcode for process in processes] == [0, 0], said
    return sorted(line for line in said.splitlines() if line.startswith("made "))


def trial(compared: Path, folder: Path, expected: dict[str, str]) -> None:
    folder.mkdir()
    runs = Path(shutil.copytree(compared, folder / "runs"))
    shutil.rmtree(runs / "small" / "cells")
    for name in ("results.csv", "comparison.json"):
        (runs / "small" / name).unlink()
    made = both(["compare", *SMALL, f"--runs={runs}"], folder)
    assert made == [f"made {mode}-50-{seed}" for mode in ("frozen", "scratch") for seed in (0, 1)]
    assert digests(runs / "small") == expected
    check_whole(runs / "small")
    assert left_over(runs / "small") == []
    shutil.rmtree(folder)


@pytest.mark.slow
def test_two_at_once(compared: Path, tmp_path: Path, count: Count) -> None:
    for number in range(TRIALS):
        trial(compared, tmp_path / str(number), digests(compared / "small"))
    count("trials of two processes in one folder", TRIALS)


def test_without_the_lock_both_would_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above would see, if nothing kept the two apart."""
    made = []

    def make(folder: Path) -> dict[str, object]:
        made.append(folder)
        if len(made) == 1:  # as if the other process came in between
            Artefact(tmp_path / "a", "demo", {"stage": "demo"}, make, "").build()
        return {}

    class Open:
        def __init__(self, path: Path) -> None: ...

        def acquire(self, timeout: float = -1) -> None: ...

        def release(self) -> None: ...

    monkeypatch.setattr(disk, "FileLock", Open)
    Artefact(tmp_path / "a", "demo", {"stage": "demo"}, make, "").build()
    assert len(made) == 2


def hold(path: Path, ready: object) -> None:
    with disk.locked(path):
        ready.set()  # type: ignore[attr-defined]
        multiprocessing.Event().wait()


@pytest.mark.slow
def test_the_lock_of_a_dead_process_does_not_block(compared: Path, tmp_path: Path) -> None:
    runs, context = Path(shutil.copytree(compared, tmp_path / "runs")), multiprocessing.get_context("forkserver")
    [cell] = (runs / "small" / "cells").glob("frozen-50-0-*")
    shutil.rmtree(cell)
    ready = context.Event()
    holder = context.Process(target=hold, args=(cell, ready))
    holder.start()
    assert ready.wait(60)
    arguments, log = ["train", *SMALL, "--mode=frozen", "--labels=50", f"--runs={runs}"], tmp_path / "log"
    waiting = start(arguments, log)
    waiting.join(3)
    assert waiting.exitcode is None  # it is kept out while the other lives
    holder.kill()
    holder.join()
    waiting.join(LIMIT)
    assert waiting.exitcode == 0, log.read_text()
    assert finish(arguments, log) == 0
