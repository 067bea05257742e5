"""The make targets, with a stand-in for Python that writes down what it is asked to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.commands import COMMANDS
from pipeline.invocation import BY_MAKE

ROOT = Path(__file__).parent.parent

STAND_IN = """#!/bin/sh
echo "$3 $4 $5" >> {log}
echo "$FEWLABELS_BY_MAKE" >> {log}.asked
[ "$3" != "{failing}" ]
"""


def make(tmp_path: Path, *arguments: str, failing: str = "none") -> tuple[int, list[str]]:
    """Run make with a stand-in virtual environment; its exit status and the stages it ran."""
    log = tmp_path / "log"
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN.format(log=log, failing=failing))
    python.chmod(0o755)
    (tmp_path / "venv" / ".installed").touch()
    command = ["make", "--no-print-directory", f"VENV={tmp_path / 'venv'}", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    ran = [line.split(" ", 1)[0] for line in log.read_text().splitlines()] if log.exists() else []
    return result.returncode, ran


def test_the_default_runs_every_stage_in_one_process(tmp_path: Path) -> None:
    assert make(tmp_path) == (0, ["all"])


def test_the_last_stage_runs_every_other_one_first(tmp_path: Path) -> None:
    assert make(tmp_path, "report") == (0, ["data", "pretrain", "compare", "report"])


def test_a_cell_runs_what_it_needs_first(tmp_path: Path) -> None:
    assert make(tmp_path, "train", "MODE=my_modes:OWN", "SEED=3") == (0, ["data", "pretrain", "train"])
    assert "train --mode my_modes:OWN" in (tmp_path / "log").read_text()


def test_suggest_takes_the_labels_of_earlier_rounds(tmp_path: Path) -> None:
    assert make(tmp_path, "suggest", "LABELS=20", "ROUND=2", "LABELLED=my labels.csv") == (0, ["suggest"])
    assert "suggest --labels 20" in (tmp_path / "log").read_text()


def test_a_config_may_have_a_space_in_its_name(tmp_path: Path) -> None:
    assert make(tmp_path, "data", "CONFIG=my configs/x.yaml") == (0, ["data"])
    assert (tmp_path / "log").read_text() == "data --config my configs/x.yaml\n"


def test_predict_compares_first_unless_a_cell_is_named(tmp_path: Path) -> None:
    assert make(tmp_path, "predict", "IMAGES=my images") == (0, ["data", "pretrain", "compare", "predict"])
    assert "predict --images my images" in (tmp_path / "log").read_text()
    (tmp_path / "again").mkdir()
    assert make(tmp_path / "again", "predict", "IMAGES=mine", "CELL=here") == (0, ["predict"])


def test_stages_before_the_target_pass_over_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make hands the same ARGS to each of them."""
    make(tmp_path, "predict", "IMAGES=new.npy", "ARGS=--coverage 0.9")
    assert set((tmp_path / "log.asked").read_text().splitlines()) == {"predict"}
    monkeypatch.chdir(tmp_path)
    words = ["data", "--name=d", "--coverage", "0.9", "--data.dataset=digits", "--max-error=0.1"]
    monkeypatch.setenv(BY_MAKE, "predict")
    assert main(words) == 0
    monkeypatch.setenv(BY_MAKE, "data")
    with pytest.raises(SystemExit, match="2"):
        main(words)


@pytest.mark.parametrize(("failing", "ran"), [("data", 1), ("pretrain", 2), ("compare", 3)])
def test_make_never_carries_on_after_a_stage_that_failed(failing: str, ran: int, tmp_path: Path) -> None:
    status, stages = make(tmp_path, "report", failing=failing)
    assert status != 0
    assert len(stages) == ran


def test_help_names_every_target() -> None:
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {*COMMANDS, "all", "test", "lint", "clean", "help"}
    described = {name for line in text.splitlines() if line.startswith("  ") for name in line[2:20].split()}
    assert targets <= described
