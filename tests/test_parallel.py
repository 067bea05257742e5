"""Tasks on clusters: the same cells as in processes of this machine, and nothing lost where workers die."""

from __future__ import annotations

import csv
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import extras, parallel
from pipeline.cli import main
from pipeline.config import Experiment, GridConfig, RuntimeConfig
from pipeline.errors import PipelineError
from pipeline.parallel import Task, fan_out
from tests.conftest import TINY, Run, tiny_arguments
from tests.pieces import build, grow

ROOT = Path(__file__).parent.parent
SMALL = ("--grid.labels=[50]", "--grid.baselines=false")
SIX = range(6)
ENDS = [f"ends {number}" for number in SIX]


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


DASK = pytest.param("dask", marks=needs("distributed"))
RAY = pytest.param("ray", marks=(needs("ray"), pytest.mark.slow))


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of results.csv without the time that they took."""
    with (folder / "tiny" / "results.csv").open(newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


# --- a worker dies --------------------------------------------------------------------------------------------


def do(folder: Path, deaths: int, backend: Any) -> list[str]:
    """Do six pieces with two workers; what was noted, sorted."""
    runtime = RuntimeConfig(backend=backend, progress=False)
    config, log = Experiment("work", str(folder), grid=GridConfig(jobs=2), runtime=runtime), folder / "log"
    config.folder.mkdir(parents=True, exist_ok=True)
    works = [Task(f"piece {number}", functools.partial(build, config.folder, number, deaths, log)) for number in SIX]
    fan_out(config, works, "test", "piece")
    return sorted(log.read_text().splitlines())


@pytest.mark.parametrize("backend", [DASK, RAY])
def test_where_a_worker_dies_its_piece_is_begun_again_and_no_other(backend: str, tmp_path: Path) -> None:
    noted = do(tmp_path, deaths=1, backend=backend)
    assert noted == sorted([*(f"begins {number}" for number in SIX), "begins 1", *ENDS])
    left = [path.name for path in (tmp_path / "work" / "pieces").iterdir() if not path.name.endswith(".lock")]
    assert sorted(name.split("-")[0] for name in left) == [str(number) for number in SIX]


@pytest.mark.slow
@pytest.mark.parametrize("backend", [DASK, RAY])
def test_a_piece_that_always_kills_its_worker_is_given_up_and_named(backend: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"piece 1: \w+"):
        do(tmp_path, deaths=99, backend=backend)
    assert [line for line in do(tmp_path, deaths=0, backend=backend) if line.startswith("ends")] == ENDS


@pytest.mark.slow
def test_a_killed_process_of_this_machine_is_said_to_be_one_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="a worker was killed"):
        do(tmp_path, deaths=1, backend="processes")
    noted = do(tmp_path, deaths=1, backend="processes")
    # the other process is ended too, maybe between a piece's end and its being in place, so that it is made once more
    assert {line for line in noted if line.startswith("ends")} == set(ENDS)
    assert len(noted) <= len(SIX) + len(ENDS) + 3  # the killed piece's beginning, and one such piece
    assert do(tmp_path, deaths=1, backend="processes") == noted  # all are in place


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_workers_end_soon_after_a_command_that_was_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import functools, pathlib; from pipeline.config import *; from pipeline.parallel import *; "
        "from tests.pieces import linger; "
        f"config = Experiment('work', {str(tmp_path)!r}, grid=GridConfig(jobs=2)); config.folder.mkdir(); "
        f"fan_out(config, [Task('', functools.partial(linger, pathlib.Path({str(log)!r})))] * 2, 'test', 'piece')"
    )
    command = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    limit = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < 2:
        assert command.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    workers = [int(line) for line in log.read_text().splitlines()]
    assert all(map(lives, workers))
    command.kill()
    command.wait()
    limit = time.monotonic() + 10
    while any(map(lives, workers)) and time.monotonic() < limit:
        time.sleep(0.1)
    left = [worker for worker in workers if lives(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert left == []


# --- the grid -------------------------------------------------------------------------------------------------


@needs("distributed")
def test_a_grid_on_a_cluster_has_the_same_rows(runs: Path, tiny: Run, compared_runs: Path) -> None:
    assert tiny("compare", *SMALL, "--runtime.backend=dask") == 0
    assert rows(runs) == [row for row in rows(compared_runs) if row["labels"] == "50"]


def lock_holder(folder: Path) -> int | None:
    """The process that holds one of the locks in a folder."""
    inodes = {path.stat().st_ino for path in folder.glob(".*.lock")}
    for line in Path("/proc/locks").read_text().splitlines():
        found = re.search(r"FLOCK .*?(\d+) \w+:\w+:(\d+) ", line)
        if found and int(found[2]) in inodes:
            return int(found[1])
    return None


def command(runs: Path, stage: str, *extra: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", *tiny_arguments(runs, stage, extra)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="no /proc/locks to find the worker by")
@pytest.mark.parametrize("backend", [DASK, RAY])
def test_a_worker_killed_in_the_midst_of_a_cell_loses_none(backend: str, runs: Path, tiny: Run, tmp_path: Path) -> None:
    long = ("--train.length=60", "--train.evaluations=40", "--train.patience=0")
    undisturbed = Path(shutil.copytree(runs, tmp_path / "undisturbed"))
    options = (*long, "--grid.baselines=false", "--grid.jobs=2")
    with subprocess.Popen(command(runs, "compare", *options, f"--runtime.backend={backend}")) as process:
        cells, killed = runs / "tiny" / "cells", None
        while killed is None and process.poll() is None:
            time.sleep(0.02)
            if any(cells.glob(".*-*.*/")):
                killed = lock_holder(cells)
        assert killed is not None
        assert killed != process.pid
        os.kill(killed, signal.SIGKILL)
        assert process.wait(500) == 0
    assert main(tiny_arguments(undisturbed, "compare", options)) == 0
    assert rows(runs) == rows(undisturbed)
    assert len(rows(runs)) == 12
    assert not [path for path in cells.iterdir() if path.is_dir() and path.name.startswith(".")]


def test_a_worker_that_outlives_the_command_notices_other_images(tmp_path: Path) -> None:
    """With one job the worker is this process."""
    file, folder = tmp_path / "images.npz", tmp_path / "runs"
    settings = (*TINY[2:], "--name=mine", "--data.dataset=numpy", f"--data.args.path={file}", f"--runs={folder}")
    quick = (*SMALL, "--grid.modes=[scratch]", "--grid.draws=1")
    splits = []
    for seed in range(2):
        images = np.random.default_rng(seed).integers(0, 256, (200, 8, 8), dtype=np.uint8)
        np.savez(file, images=images, labels=np.arange(200) % 10)
        shutil.rmtree(folder, ignore_errors=True)
        for stage in ("data", "compare"):
            assert main([stage, *settings, *quick]) == 0
        [split] = folder.glob("mine/cells/*/split.json")
        splits.append(split.read_text())
    assert splits[0] != splits[1]  # it has the images' checksums


# --- clusters that are there ----------------------------------------------------------------------------------


@contextmanager
def running(*arguments: object, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    # in a group of its own: where ray ends, it ends its whole group
    process = subprocess.Popen(list(map(str, arguments)), cwd=cwd, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens at {port}")


@pytest.mark.slow
@needs("distributed")
def test_workers_started_elsewhere_find_relative_folders_and_threads_are_refused(
    runs: Path, tiny: Run, compared_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask, port = Path(sys.executable).with_name("dask"), free_port()
    address = f"tcp://127.0.0.1:{port}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(runs.parent)
    arguments = [*TINY, *SMALL, "--runs=runs", "--data.root=runs/raw", "--runtime.backend=dask"]

    def compare(capture: bool) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline", "compare", *arguments, f"--runtime.address={address}"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=capture,
            text=True,
            check=False,
        )

    with running(dask, "scheduler", "--host=127.0.0.1", f"--port={port}", "--no-dashboard", cwd=elsewhere):
        wait_for(port)
        with running(dask, "worker", address, "--nthreads=2", "--no-dashboard", cwd=elsewhere):
            time.sleep(10)  # until it has joined
            refused = compare(capture=True)
            assert refused.returncode == 2
            assert "1 of 1 workers" in refused.stderr
            assert "--nthreads 1" in refused.stderr
            assert not (runs / "tiny" / "cells").exists()
        workers = ("--nthreads=1", "--nworkers=2", "--no-dashboard")
        with running(dask, "worker", address, *workers, cwd=elsewhere):
            assert compare(capture=False).returncode == 0
    assert rows(runs) == [row for row in rows(compared_runs) if row["labels"] == "50"]
    assert not list(elsewhere.glob("**/cells"))


@pytest.mark.slow
@needs("ray")
def test_a_ray_cluster_that_is_there_is_used(runs: Path, tiny: Run, compared_runs: Path, tmp_path: Path) -> None:
    ray, port = Path(sys.executable).with_name("ray"), free_port()
    start = ("start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false")
    with running(ray, *start, cwd=tmp_path):
        wait_for(port)
        options = (*SMALL, "--runtime.backend=ray", f"--runtime.address=127.0.0.1:{port}")
        with_token = {**os.environ, "RAY_AUTH_MODE": "token"}  # which `ray start` asks for
        subprocess.run(command(runs, "compare", *options), check=True, cwd=ROOT, env=with_token)
    assert rows(runs) == [row for row in rows(compared_runs) if row["labels"] == "50"]


# --- what is refused before any work --------------------------------------------------------------------------


@needs("distributed")
def test_a_cluster_that_cannot_be_reached_is_said_before_any_work(
    runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "PATIENCE", 0.5)
    address = f"tcp://127.0.0.1:{free_port()}"
    options = ("--grid.modes=[propagate]", "--runtime.backend=dask", f"--runtime.address={address}")
    assert tiny("compare", *SMALL, *options) == 2
    message = capsys.readouterr().err
    assert f"runtime.address: no dask cluster can be reached at '{address}'" in message
    assert not [path for path in (runs / "tiny").iterdir() if path.name.startswith(("cells", "graph"))]


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_missing_extra_is_said_before_any_work(
    name: str, runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    assert tiny("compare", *SMALL, "--grid.modes=[propagate]", f"--runtime.backend={name}") == 2
    message = capsys.readouterr().err
    assert f"runtime.backend {name} needs " in message
    assert f"pip install -c constraints.txt -e '.[{name}]'" in message
    assert not [path for path in (runs / "tiny").iterdir() if path.name.startswith(("cells", "graph"))]


def test_an_address_needs_a_cluster(tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("compare", "--runtime.address=tcp://127.0.0.1:8786") == 2
    assert "runtime.backend is processes" in capsys.readouterr().err


# --- processes that grow --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_workers")
def test_a_worker_that_grows_is_replaced_and_nothing_waits_for_it(tmp_path: Path) -> None:
    """As one does that imports torch after a small piece; warnings are errors here, in joblib's threads too."""
    config = Experiment(runs=str(tmp_path), grid=GridConfig(jobs=2), runtime=RuntimeConfig(progress=False))
    config.folder.mkdir()
    fan_out(config, [Task(f"small {number}", time.time) for number in range(4)], "grow", "piece")
    fan_out(config, [Task(f"large {number}", grow) for number in range(6)], "grow", "piece")
