"""Several pretrained encoders: each mode that starts from one is trained with each, and the intervals say so."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.conftest import Run

SMALL = (
    "--grid.encoders=2",
    "--grid.labels=[50]",
    "--grid.modes=[frozen,scratch]",
    "--grid.baselines=false",
    "--pretrain.epochs=1",
)


def test_every_draw_meets_every_encoder_and_scratch_is_trained_once(
    tiny: Run, runs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tiny("pretrain", *SMALL, "--grid.jobs=2") == 0  # side by side
    shown = capfd.readouterr().out
    assert all(f"pretrain seed {seed}: epoch 1/1: train_loss" in shown for seed in (0, 1))
    assert "pretrain: 2/2 encoders" in shown
    for stage in ("pretrain", "compare", "report"):
        assert tiny(stage, *SMALL) == 0
    assert "epoch" not in capfd.readouterr().out  # the settings of jobs do not change what an encoder is
    folder = runs / "tiny"
    assert len(list(folder.glob("pretrain-*/embeddings.safetensors"))) == 2 + 1  # and the one of the fixture
    with (folder / "results.csv").open() as file:
        rows = [(row["mode"], row["seed"], row["encoder"]) for row in csv.DictReader(file)]
    frozen = [("frozen", draw, encoder) for draw in "01" for encoder in "01"]
    assert rows == [*frozen, ("scratch", "0", ""), ("scratch", "1", "")]
    compared = json.loads((folder / "comparison.json").read_text())
    assert [(row["mode"], row["draws"], row["encoders"]) for row in compared["summary"]] == [
        ("frozen", 2, 2),
        ("scratch", 2, 1),
    ]
    page = (folder / "report.html").read_text()
    assert "2 draws with each of 2 encoders" in page
    assert "on the seed of pretraining" in page
    assert "was measured under up to" not in page  # two encoders are no choice among settings


def test_experiments_with_several_encoders_are_paired_encoder_by_encoder(
    tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.cli import main

    for name, epochs in (("one", 1), ("two", 2)):
        for stage in ("data", "pretrain", "compare"):
            assert tiny(stage, *SMALL, f"--name={name}", f"--pretrain.epochs={epochs}", "--grid.modes=[frozen]") == 0
    assert main(["compare-runs", str(runs / "one"), str(runs / "two")]) == 0
    [written] = (runs / "compared").glob("*/compared.json")
    compared = json.loads(written.read_text())
    assert {row["draws"] for row in compared["paired"]} == {2}
    assert [row["quantity"] for row in compared["paired"]] == ["e_in", "e_out"]


def test_encoders_that_diverge_are_named(tiny: Run, runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    poor = ("--pretrain.learning_rate=1e30", "--grid.jobs=2", "--pretrain.seed=7")
    assert tiny("pretrain", *SMALL, *poor) == 2
    message = capfd.readouterr().err
    assert "2 of 2 encoders failed; the others are kept" in message
    assert "seed 7: PipelineError: training diverged in epoch 1" in message


def test_several_encoders_are_not_pretrained_by_several_processes(
    tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("pretrain", "--grid.encoders=2", "--runtime.devices=2", "--runtime.accelerator=cpu") == 2
    assert "grid.encoders: 2 encoders cannot be pretrained by 2 processes in one command" in capsys.readouterr().err
    assert tiny("compare", "--grid.encoders=0") == 2
    assert "grid.encoders: 0 is not allowed; expected at least 1" in capsys.readouterr().err
