"""Modes as data: what a mode may be, how a config changes one, and that every mode takes the same path."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import TrainConfig
from pipeline.errors import PipelineError
from pipeline.modes import BUILT_IN, FitChanges, FitConfig, Mode, find_mode
from pipeline.parsers import stage_parser
from tests.conftest import Run, of_mode
from tests.test_plugins import install

ROOT = Path(__file__).parent.parent

OWN_MODES = """
from pipeline.models.classifier import Classifier
from pipeline.models.self_training import SelfTrainingClassifier
from pipeline.modes import FitConfig, Mode

asked = []

class Counting(SelfTrainingClassifier):
    def loss(self, x, labels):
        asked.append(len(x))
        return super().loss(x, labels)

class Plain(Classifier):
    pass

FIT = FitConfig(encoder_lr=0.002, head_lr=0.005, head_first=True)
COUNTING = Mode(True, True, "self-training, counted", spreads_labels=True, fit=FIT, classifier=f"{__name__}:Counting")
PLAIN = Mode(True, True, "not its class", spreads_labels=True, fit=FIT, classifier=f"{__name__}:Plain")
QUICK = Mode(True, True, "fine-tuned, quick", fit=FitConfig(encoder_lr=0.01, head_lr=0.02))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with modes on the import path, beside the metadata of a package that names one of them."""
    (tmp_path / "own_modes.py").write_text(OWN_MODES)
    install(tmp_path, "own", datasets=(), modes=("quick = own_modes:QUICK",))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_modes", raising=False)
    return tmp_path


# --- a mode by itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "fit", "message"),
    [
        ({"pretrained": False, "trains_encoder": False}, {}, "trains_encoder: False"),
        ({"pretrained": False, "spreads_labels": True}, {}, "spreads_labels: True"),
        ({"pretrained": False}, {"head_first": True}, "head_first: True"),
        ({"trains_encoder": False}, {"encoder_lr": 0.0, "head_first": True}, "head_first: True"),
        ({"trains_encoder": False}, {}, "encoder_lr: 0.1"),
        ({}, {"encoder_lr": 0.0}, "encoder_lr: 0.0"),
    ],
)
def test_flags_that_contradict_one_another_are_refused_when_a_mode_is_made(
    flags: dict[str, Any], fit: dict[str, Any], message: str
) -> None:
    whole = {"pretrained": True, "trains_encoder": True, "summary": "", **flags}
    with pytest.raises(PipelineError, match=re.escape(f"{message} is not allowed")):
        Mode(fit=FitConfig(**{"encoder_lr": 0.1, **fit}), **whole)


def test_a_config_can_change_every_setting_of_a_mode() -> None:
    settings, changes = ({field.name for field in dataclasses.fields(kind)} for kind in (FitConfig, FitChanges))
    assert settings == changes


@pytest.mark.parametrize("name", ["finetune", "quick", "own_modes:COUNTING"])
def test_a_config_changes_the_settings_that_it_names_and_no_other(name: str, own: Path) -> None:
    whole = find_mode(name)
    changed = TrainConfig(modes={name: FitChanges(head_lr=0.5)}).mode(name)
    assert changed == dataclasses.replace(whole, fit=dataclasses.replace(whole.fit, head_lr=0.5))
    assert whole.fit != FitConfig(head_lr=whole.fit.head_lr)  # there was something to lose


@pytest.mark.parametrize("name", ["finetune", "own_modes:COUNTING"])
def test_an_impossible_change_is_refused_with_the_settings(name: str, own: Path) -> None:
    with pytest.raises(PipelineError, match=rf"train\.modes\.{name}: encoder_lr: 0\.0 is not allowed"):
        TrainConfig(modes={name: FitChanges(encoder_lr=0.0)})


def test_config_files_and_options_change_a_mode_field_by_field(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("train: {modes: {finetune: {head_lr: 0.1, encoder_lr: 0.2}, propagate: {head_lr: 0.3}}}")
    second.write_text("train: {modes: {finetune: {encoder_lr: 0.5}, scratch: {head_lr: 0.4}}}")
    parser = stage_parser("train")
    words = [
        f"--config={first}",
        *of_mode("finetune", head_lr=0.4),
        f"--config={second}",
        *of_mode("finetune", head_first="false"),
    ]
    assert parser.instantiate(parser.parse_args(words)).train.modes == {
        "finetune": FitChanges(head_lr=0.4, encoder_lr=0.5, head_first=False),
        "propagate": FitChanges(head_lr=0.3),
        "scratch": FitChanges(head_lr=0.4),
    }


# --- through the command line ---------------------------------------------------------------------------------


def test_a_self_training_mode_of_ones_own_keeps_its_class_and_can_be_made_again(
    own: Path, runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", "--mode=own_modes:COUNTING", "--labels=50") == 0
    asked = sys.modules["own_modes"].asked
    assert asked == [128] * 20
    assert tiny("train", "--mode=own_modes:PLAIN", "--labels=50") == 2
    assert "mode own_modes:PLAIN: classifier own_modes:Plain is not a SelfTrainingClassifier" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["self_train", "own_modes:COUNTING"])
def test_without_an_ema_nobody_confirms_spread_labels(
    mode: str, own: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", f"--mode={mode}", "--train.ema_decay=0") == 2
    assert f"train.ema_decay: 0.0 is not allowed; expected a share above 0 for mode {mode}" in capsys.readouterr().err
    assert tiny("train", "--mode=scratch", "--train.ema_decay=0") == 0


def test_the_rates_of_another_mode_are_no_part_of_a_cell(runs: Path, tiny: Run) -> None:
    """The head that fine-tuning starts from is fitted by the recipe that all modes share."""
    for change in ((), of_mode("propagate", head_lr=1), of_mode("frozen", head_lr=1)):
        assert tiny("train", "--mode=finetune", *change) == 0
    assert len(list(runs.glob("tiny/cells/finetune-*/"))) == 1
    assert tiny("train", "--mode=finetune", "--train.l2=[30]") == 0
    assert len(list(runs.glob("tiny/cells/finetune-*/"))) == 2


# --- one list of modes ----------------------------------------------------------------------------------------


def test_modes_are_listed_in_one_place() -> None:
    """Three of a mode's names on one line are a second list of them, which would have to be kept up to date by hand."""
    lists = []
    for path in sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"), ROOT / "Makefile"]):
        for line in path.read_text().splitlines():
            named = [name for name in BUILT_IN if re.search(rf"\b{name}\b", line)]
            if len(named) > 2 and path.name != "modes.py":
                lists.append(f"{path.relative_to(ROOT)}: {line.strip()}")
    assert lists == ['pipeline/config/grid.py: modes: tuple[str, ...] = ("frozen", "finetune", "scratch")']
