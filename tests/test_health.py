"""An arm that was given no chance is flagged wherever its result is shown, with the setting to change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.evaluation.health import Arm, Remedies, examine
from tests.conftest import Run

REMEDIES = Remedies("train.length", "train.patience", "train.modes.scratch.encoder_lr", "raise train.length")
SETTLED = [0.6, 0.3, 0.05, 0.0, 0.0, 0.0, 0.0, 0.0]
FALLING = [0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
WELL = Arm("scratch", [SETTLED] * 4, [SETTLED] * 4, [False] * 4, 0.05, 1000, 0.9, {"knn": 0.1})


def kinds(arm: Arm) -> list[str]:
    return [flag.kind for flag in examine(arm, REMEDIES)]


def test_an_arm_that_is_well_is_not_flagged() -> None:
    assert kinds(WELL) == []
    assert kinds(replace(WELL, e_in=[], e_val=[], stopped_early=[])) == []  # a head that was fitted to convergence


def test_training_that_ended_while_the_error_fell_is_flagged_with_what_ended_it() -> None:
    [stopped] = examine(replace(WELL, e_in=[FALLING] * 4, stopped_early=[True] * 4), REMEDIES)
    assert (stopped.kind, "train.patience" in stopped.text) == ("E_in not settled", True)
    [limited] = examine(replace(WELL, e_in=[FALLING] * 4), REMEDIES)
    assert (limited.kind, "train.length" in limited.text) == ("E_in not settled", True)
    assert kinds(replace(WELL, e_val=[FALLING] * 4)) == ["at its cap"]
    assert kinds(replace(WELL, e_val=[FALLING] * 4, stopped_early=[True] * 4)) == []


def test_a_fall_in_a_single_draw_is_chance() -> None:
    assert kinds(replace(WELL, e_in=[SETTLED, SETTLED, SETTLED, FALLING])) == []


def test_chance_and_the_best_baseline_are_what_an_arm_has_to_beat() -> None:
    assert kinds(replace(WELL, e_out=0.89, baselines={})) == ["at chance"]
    [flag] = examine(replace(WELL, e_out=0.2, baselines={"knn": 0.15, "logistic": 0.12}), REMEDIES)
    assert flag.kind == "worse than a baseline"
    assert "logistic on 12.00 %" in flag.text


def test_an_arm_that_errs_less_than_chance_is_not_said_to_err_no_less() -> None:
    [few] = examine(replace(WELL, e_out=0.0, chance=0.0625, images=32), REMEDIES)
    assert "no less than" not in few.text
    assert "errs on 0.0 % of the test images, always naming the commonest class on 6.2 %: 32 test images" in few.text
    [worse] = examine(replace(WELL, e_out=0.9, baselines={}), REMEDIES)
    assert "no less than by always naming the commonest class (90.0 %)" in worse.text


def test_an_arm_starved_on_purpose_is_flagged_in_terminal_and_report(
    tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    starved = ("--train.length=1", "--train.modes.scratch.encoder_lr=1e-7", "--train.modes.scratch.head_lr=1e-7")
    options = (*starved, "--grid.labels=[100]", "--grid.modes=[frozen,scratch]")
    assert tiny("compare", *options) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "! not to be trusted as they stand:" in told
    assert "100! scratch" in told
    assert "100! worse than a baseline: scratch errs on" in told
    assert "train.modes.scratch.encoder_lr" in told
    flags = json.loads((runs / "tiny" / "comparison.json").read_text())["flags"]
    assert {"at chance", "worse than a baseline"} <= {flag["kind"] for flag in flags if flag["mode"] == "scratch"}
    [frozen] = [flag for flag in flags if flag["mode"] == "frozen"]  # two epochs of pretraining are hardly any
    assert frozen["kind"] == "worse than a baseline"
    assert "raise pretrain.epochs or change pretrain.method" in frozen["text"]
    assert tiny("report", *options) == 0
    for name in ("report.html", "report.md"):
        page = (runs / "tiny" / name).read_text()
        assert "Not to be trusted as it stands:" in page
        assert "worse than a baseline" in page
