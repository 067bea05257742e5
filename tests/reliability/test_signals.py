"""SIGTERM ends with status 143 and Ctrl-C with 130, within ten seconds; what was done is kept, and no process stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.reliability.forking import SMALL, check_whole, finish

pytestmark = pytest.mark.slow

SECONDS = 10
# so long that it is in the midst of it when the signal comes
LONG = ("--train.length=1e6", "--train.evaluations=100000", "--train.patience=0", "--pretrain.epochs=100000")
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}


@contextmanager
def begun(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command, the first of a process group that heeds Ctrl-C, as a terminal's shell starts it; none outlives us."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests may have it ignored
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def members(group: int) -> list[int]:
    """Processes of this group that still live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = stat.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:  # gone in between
            continue
        if int(number) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_for(found: object, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + 120
    while not found():  # type: ignore[operator]
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")
@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", ["pretrain", "train", "compare"])
def test_a_signal_ends_it_soon_and_it_can_go_on(
    stage: str, number: signal.Signals, compared: Path, tmp_path: Path
) -> None:
    small = [*SMALL, "--grid.modes=[scratch]", "--grid.jobs=2", f"--runs={tmp_path}"]
    for made in ("data", "pretrain"):
        assert finish([made, *small], tmp_path / "log") == 0
    options = ["--mode=scratch", "--labels=50"] if stage == "train" else []
    command = [sys.executable, "-m", "pipeline", stage, *options, *small, *LONG[: 3 if stage == "pretrain" else 2]]
    with begun(command, tmp_path / "log") as process:
        if stage == "pretrain":
            wait_for(lambda: "epoch 3/" in (tmp_path / "log").read_text(), process, tmp_path / "log")
        else:
            wait_for(lambda: list(tmp_path.glob("small/cells/.scratch-*.????????")), process, tmp_path / "log")
            time.sleep(2)  # in the midst of training
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # a terminal sends it to all
        else:
            process.send_signal(number)
        assert process.wait(SECONDS) == STATUS[number], (tmp_path / "log").read_text()
        limit = time.monotonic() + SECONDS
        while members(process.pid) and time.monotonic() < limit:
            time.sleep(0.1)
        assert members(process.pid) == []
    said = (tmp_path / "log").read_text()
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    assert "resource_tracker" not in said
    check_whole(tmp_path / "small")
    assert finish([stage, *options, *small], tmp_path / "log") == 0


def test_make_starts_no_stage_after_a_signal(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    binaries = tmp_path / "venv" / "bin"
    binaries.mkdir(parents=True)
    python = binaries / "python"  # a link would lose the packages of the environment that it lies in
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (binaries.parent / ".installed").touch()
    settings = " ".join([*SMALL, *LONG, f"--runs={tmp_path}"])
    command = ["make", "-C", str(root), f"VENV={binaries.parent}", "CONFIG=configs/digits.yaml", f"ARGS={settings}"]
    log = tmp_path / "log"
    with begun(command, log) as process:
        wait_for(lambda: "epoch 3/" in log.read_text(), process, log)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(SECONDS) != 0
        assert "compare" not in log.read_text()
        assert members(process.pid) == []
