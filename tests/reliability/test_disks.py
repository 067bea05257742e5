"""Full disks and closed doors: a message with the path, a status other than 0, and what was there is as it was."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.conftest import Count
from tests.reliability.forking import SMALL, digests, finish, left_over
from tests.test_command_line import snapshot

pytestmark = pytest.mark.slow

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")

STAGES = {
    "pretrain": ("pretrain", "--pretrain.seed=7"),
    "sample": ("sample", "--count=9"),
    "train": ("train", "--mode=finetune", "--labels=100", "--seed=5"),
    "compare": ("compare", "--grid.labels=[50,100]"),
    "report": ("report",),
    "export": ("export", "--onnx=false"),
}


@contextlib.contextmanager
def mounted(folder: Path, size: int, options: str = "") -> Iterator[Path]:
    """A file system in memory of so many bytes."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, free: int) -> Path:
    """A file that leaves so many bytes of its file system, in whole pages."""
    ballast = folder / "ballast"
    status = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, status.f_bavail * status.f_frsize - free))
    return ballast


@ROOT
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_said_and_nothing_is_lost(stage: str, compared: Path, tmp_path: Path, count: Count) -> None:
    """However much room is left until the stage needs it."""
    failed = 0
    with mounted(tmp_path / "disk", 8 * 2**20) as disk:
        runs = Path(shutil.copytree(compared, disk / "runs"))
        book = runs / "small" / "test_access.jsonl"  # a look is written down before it is taken, whatever follows
        looked = book.read_bytes()
        before = {path: digest for path, digest in snapshot(runs / "small").items() if Path(path) != book}
        arguments = [*STAGES[stage][:1], *SMALL, *STAGES[stage][1:], f"--runs={runs}"]
        for pages in (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
            ballast = fill(disk, pages * 4096)
            log = tmp_path / f"log-{pages}"
            status = finish(arguments, log)
            ballast.unlink()
            if status == 0:
                break
            said = log.read_text()
            assert status == 2, said
            assert f"cannot write {runs}" in said
            assert "No space left on device" in said
            assert "Traceback" not in said
            now = snapshot(runs / "small")
            assert {path: now.get(path) for path in before} == before
            assert book.read_bytes().startswith(looked)
            failed += 1
        assert failed > 0
        assert finish(arguments, tmp_path / "log") == 0, (tmp_path / "log").read_text()
        assert left_over(runs / "small") == []
    count("full disks survived", failed)


@ROOT
@pytest.mark.parametrize("stage", ["data", "pretrain", "train"])
def test_what_is_finished_can_be_read_where_nothing_can_be_written(stage: str, compared: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 8 * 2**20) as disk:
        runs = Path(shutil.copytree(compared, disk / "runs"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        options = ["--mode=frozen", "--labels=50", "--seed=0"] if stage == "train" else []
        log = tmp_path / "log"
        assert finish([stage, *SMALL, *options, f"--runs={runs}"], log) == 0, log.read_text()
        options += ["--pretrain.seed=3", "--name=new"]
        assert finish([stage, *SMALL, *options, f"--runs={runs}"], log) == 2
        assert str(runs / "new") in log.read_text()
        assert "Traceback" not in log.read_text()


def give_up_privileges() -> None:
    """Files are as closed to this process from here on as their modes say, even if root runs it."""
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, nothing) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="root gives up its privileges in Linux's way")
@pytest.mark.parametrize("door", ["a folder not to be written to", "a file not to be read", "a folder not to be read"])
def test_a_closed_door_is_named(door: str, compared: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(compared, tmp_path / "runs"))
    closed, mode = {
        "a folder not to be written to": (runs / "small" / "cells", 0o555),
        "a file not to be read": (next(runs.glob("small/pretrain-*/embeddings.safetensors")), 0o000),
        "a folder not to be read": (next(runs.glob("small/data-*")), 0o000),
    }[door]
    closed.chmod(mode)
    arguments, log = ["train", *SMALL, "--mode=frozen", "--labels=100", "--seed=9", f"--runs={runs}"], tmp_path / "log"
    status = finish(arguments, log, give_up_privileges)
    assert status == 2, log.read_text()
    assert str(closed) in log.read_text()
    assert "Traceback" not in log.read_text()
    closed.chmod(0o755)
    assert finish(arguments, log, give_up_privileges) == 0, log.read_text()


@pytest.mark.parametrize("part", ["cells", "results.csv", "pretrain", "checkpoint"])
def test_a_file_where_a_folder_should_be_or_the_other_way_round(part: str, compared: Path, tmp_path: Path) -> None:
    experiment = Path(shutil.copytree(compared, tmp_path / "runs")) / "small"
    stage, extra, place = {
        "cells": ("train", ("--mode=scratch",), experiment / "cells"),
        "results.csv": ("compare", ("--grid.draws=1",), experiment / "results.csv"),
        "pretrain": ("pretrain", (), next(experiment.glob("pretrain-*"))),
        "checkpoint": ("pretrain", ("--pretrain.seed=4",), experiment / "pretrain"),
    }[part]
    if part == "checkpoint":
        log = tmp_path / "first"
        assert finish([stage, *SMALL, *extra, f"--runs={tmp_path / 'runs'}"], log) == 0
        made = max(experiment.glob("pretrain-*"), key=lambda path: path.stat().st_mtime)
        shutil.rmtree(made)
        place = experiment / f".{made.name}.checkpoint"
        place.mkdir()
        (place / "mine").write_text("mine")
    elif place.is_dir():
        shutil.rmtree(place)
        place.write_text("mine")
    else:
        place.unlink()
        place.mkdir()
        (place / "mine").write_text("mine")
    log = tmp_path / "log"
    status = finish([stage, *SMALL, *extra, f"--runs={tmp_path / 'runs'}"], log)
    assert status == 2, log.read_text()
    assert str(place) in log.read_text()
    assert "Traceback" not in log.read_text()
    assert (place if place.is_file() else place / "mine").read_text() == "mine"


def elsewhere(folder: Path) -> None:
    import tempfile

    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None


@pytest.mark.parametrize("where", ["another file system", "nowhere"])
def test_the_temporary_folder_does_not_matter(where: str, compared: Path, tmp_path: Path) -> None:
    folder = Path("/dev/shm") if where == "another file system" else tmp_path / "nowhere"
    if where == "another file system" and not folder.is_dir():
        pytest.skip("there is no /dev/shm")
    runs, log = Path(shutil.copytree(compared, tmp_path / "runs")), tmp_path / "log"
    expected = digests(runs / "small")
    shutil.rmtree(runs / "small" / "cells")
    (runs / "small" / "comparison.json").unlink()
    status = finish(["compare", *SMALL, f"--runs={runs}"], log, functools.partial(elsewhere, folder))
    assert status == 0, log.read_text()
    assert digests(runs / "small") == expected
