"""Several processes pretrain one encoder: on CPUs, by the command line, as one process would."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.cli import main
from tests.conftest import Run, tiny_arguments

ROOT = Path(__file__).parent.parent
CPU = ("--runtime.accelerator=cpu", "--runtime.precision=32", "--runtime.threads=1")
TWO = ("--runtime.devices=2",)
# 9 images a step are 5 for one process and 4 for the other
PLAIN = (
    *CPU,
    "--pretrain.encoder.name=tests.plain_networks:Encoder",
    "--pretrain.decoder.name=tests.plain_networks:Decoder",
    "--pretrain.corruption=0",
    "--pretrain.batch_size=9",
    "--pretrain.epochs=3",
)
CORRUPTED = (*CPU, "--pretrain.epochs=4")


def launched(*arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """The command line in a process of its own, from the repository's root, with both outputs together."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def pretrain(runs: Path, *extra: str) -> tuple[int, str]:
    with launched("-m", "pipeline", *tiny_arguments(runs, "pretrain", extra)) as process:
        said, _ = process.communicate()
    return process.returncode, said


def artefact(runs: Path, *others: Path) -> Path:
    """The only pretraining that was not there before."""
    [folder] = set((runs / "tiny").glob("pretrain-*/")) - set(others)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "manifest.json"
    }


@pytest.fixture
def bare(pretrained_runs: Path, tmp_path: Path) -> Path:
    """A runs folder in which only stage data is done."""
    runs = Path(shutil.copytree(pretrained_runs, tmp_path / "bare"))
    for folder in (runs / "tiny").glob("pretrain-*/"):
        shutil.rmtree(folder)
    return runs


def history(folder: Path) -> list[list[float]]:
    with (folder / "history.csv").open(newline="") as file:
        return [[float(value) for value in row] for row in list(csv.reader(file))[1:]]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(bare: Path, tmp_path: Path) -> None:
    single = Path(shutil.copytree(bare, tmp_path / "single"))
    assert main(tiny_arguments(single, "pretrain", PLAIN)) == 0
    status, said = pretrain(bare, *PLAIN, *TWO)
    assert status == 0, said
    one, two = artefact(single), artefact(bare)
    assert one.name == two.name  # how many processes is not what it is made from
    for alone, together in zip(history(one), history(two), strict=True):
        assert together == pytest.approx(alone, rel=1e-3)
    for name, weight in load_file(one / "backbone.safetensors").items():
        assert torch.allclose(load_file(two / "backbone.safetensors")[name], weight, atol=1e-4), name
    # one process alone says what there is to say
    assert len(re.findall(r"epoch \d/3", said)) == 3
    assert said.count("pretrain:") == 5
    assert '"processes": 2' in (two / "manifest.json").read_text()


@pytest.mark.slow
def test_killed_together_they_go_on_together_to_the_same_bits_and_not_alone(bare: Path, tmp_path: Path) -> None:
    undisturbed = Path(shutil.copytree(bare, tmp_path / "undisturbed"))
    status, said = pretrain(undisturbed, *CORRUPTED, *TWO)
    assert status == 0, said
    process = launched("-m", "pipeline", *tiny_arguments(bare, "pretrain", (*CORRUPTED, *TWO)))
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 2/4" in line:
            [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(child), signal.SIGKILL)
            break
    said = process.stdout.read()
    assert process.wait(60) != 0
    process.stdout.close()
    assert not list((bare / "tiny").glob("pretrain-*/"))
    status, said = pretrain(bare, *CORRUPTED)
    assert status == 2
    assert "is of a training by 2 processes, but this one has 1" in said
    status, said = pretrain(bare, *CORRUPTED, *TWO)
    assert status == 0, said
    assert "epoch 2/4" not in said
    assert digests(artefact(bare)) == digests(artefact(undisturbed))


@pytest.mark.slow
def test_torchrun_may_start_them_on_several_nodes_and_what_is_there_is_not_trained(bare: Path, tmp_path: Path) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]

    def node(rank: int, folder: Path) -> subprocess.Popen[str]:
        torchrun = ["-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1"]
        place = ["--master-addr=127.0.0.1", f"--master-port={port}", "-m", "pipeline"]
        return launched(*torchrun, *place, *tiny_arguments(folder, "pretrain", (*CPU, "--runtime.nodes=2")))

    nodes = [node(rank, bare) for rank in (0, 1)]
    said = [process.communicate(timeout=900)[0] for process in nodes]
    assert [process.returncode for process in nodes] == [0, 0], said
    first = artefact(bare)
    assert "epoch 2/2" in said[0]
    assert "epoch" not in said[1]
    # another experiment takes it over: the second process hears that there is nothing to do
    (bare / "tiny").rename(bare / "other")
    shutil.copytree(bare / "other", bare / "tiny", ignore=shutil.ignore_patterns("pretrain-*"))
    nodes = [node(rank, bare) for rank in (0, 1)]
    said = [process.communicate(timeout=900)[0] for process in nodes]
    assert [process.returncode for process in nodes] == [0, 0], said
    assert "epoch" not in said[0] + said[1]
    assert digests(artefact(bare)) == digests(bare / "other" / first.name)


def test_no_process_at_all_is_refused(tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("pretrain", "--runtime.devices=0") == 2
    assert "runtime.devices: 0 is not allowed; expected at least 1" in capsys.readouterr().err
