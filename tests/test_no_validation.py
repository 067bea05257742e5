"""train.validation none: a budget so small that no label can be spared, such as ten labels of ten classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import NetworkConfig, PretrainConfig, TrainConfig
from pipeline.estimators import SemiSupervisedClassifier
from pipeline.store import disk
from tests.conftest import Run

NONE = "--train.validation=none"
MODES = ("frozen", "finetune", "self_train", "scratch")
GRID = (NONE, "--grid.labels=[10]", f"--grid.modes=[{','.join(MODES)}]")


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


@pytest.mark.parametrize("mode", MODES)
def test_a_cell_learns_from_all_ten_labels_and_is_reproduced(
    mode: str, tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", NONE, f"--mode={mode}", "--labels=10") == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert f"{mode}, 10 labels, draw 0: E_in" in out
    assert "% of 10, E_out" in out
    assert "E_val" not in out
    assert "nan" not in out.lower()
    [cell] = runs.glob(f"tiny/cells/{mode}-10-0-*")
    said = metrics(cell)
    assert (said["e_in"]["n"], said["e_val"], said["missed_classes"]) == (10, None, [])
    assert (said["temperature"], said["stopped_early"], said["kept"]) == (1.0, False, said["last"])
    split = json.loads((cell / "split.json").read_text())
    assert len(split["train"]["index"]) == 10
    assert split["val"]["index"] == []
    if mode == "frozen":
        assert (said["unit"], said["kept"]) == ("l2", 10.0)  # the middle one of 1, 3, 10, 30, 100
    else:
        assert said["unit"] == "step"
        rows = disk.read_rows(cell / "history.csv")
        assert len(rows) == 4
        assert float(rows[-1]["e_in"]) == said["e_in"]["error"]
        assert not any("val" in name for name in rows[0])
    assert tiny("reproduce", f"--cell={cell}") == 0, capsys.readouterr().err
    assert "the same to the bit" in capsys.readouterr().out


@pytest.fixture
def compared(tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The tiny experiment, compared with ten labels."""
    assert tiny("compare", *GRID) == 0, capsys.readouterr().err
    return runs / "tiny"


def test_ten_labels_are_compared_reported_exported_and_used(
    compared: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nan" not in capsys.readouterr().out.lower()
    rows = disk.read_rows(compared / "results.csv")
    assert {(row["n_train"], row["n_val"], row["e_val"]) for row in rows} == {("10", "0", "")}
    assert tiny("report", *GRID) == 0, capsys.readouterr().err
    for name in ("report.html", "report.md"):
        page = (compared / name).read_text()
        assert "No label was left for validation" in page
        assert "none fitted" in page
        assert "E_val there" not in page
        assert "no promise: it has 0 labels" in page
    images = tmp_path / "images.npy"
    np.save(images, np.zeros((3, 8, 8), dtype=np.uint8))
    assert tiny("predict", *GRID, f"--images={images}") != 0
    assert "name one, such as --mode frozen" in capsys.readouterr().err
    one = ("--mode=self_train", *GRID)
    assert tiny("predict", *one, f"--images={images}") == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "the first draw at 10 labels" in out
    assert "the probabilities are not calibrated" in out
    assert tiny("predict", *one, f"--images={images}", "--max-error=0.01") != 0
    assert "it learnt from every label of its budget" in capsys.readouterr().err
    assert tiny("export", *one, "--onnx=false", f"--out={tmp_path / 'export'}") == 0, capsys.readouterr().err
    card = (tmp_path / "export" / "README.md").read_text()
    assert "all of them trained on" in card
    assert "The probabilities are not calibrated" in card
    assert "E_val" not in card
    assert tiny("predict", f"--cell={tmp_path / 'export'}", f"--images={images}") == 0, capsys.readouterr().err


@pytest.mark.parametrize("sampling", ["random", "chosen"])
def test_every_label_of_any_draw_is_trained_on(
    sampling: str, tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = (NONE, "--grid.labels=[10]", "--grid.modes=[frozen,scratch]", "--grid.draws=1")
    assert tiny("compare", *grid, f"--grid.sampling={sampling}") == 0, capsys.readouterr().err
    cells = list(runs.glob("tiny/cells/[!.]*"))
    assert [metrics(cell)["e_in"]["n"] for cell in cells] == [10, 10]


@pytest.mark.parametrize("way", ["holdout", "kfold"])
def test_a_budget_too_small_for_validation_names_the_remedy(
    way: str, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", f"--train.validation={way}", "--labels=10") != 0
    assert "train.validation none" in capsys.readouterr().err


def test_trials_need_labels_to_choose_by(tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("train", NONE, '--train.trials={"frozen": [{"weight_decay": 0.1}]}', "--labels=10") != 0
    assert "train.trials" in (said := capsys.readouterr().err)
    assert "no label to choose by" in said


def test_a_study_of_validation_errors_refuses_to_have_none(tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("study", NONE, "--study.name=overfit", "--grid.modes=[frozen,finetune]") != 0
    assert "leaves no label to validate on" in capsys.readouterr().err


def test_an_estimator_learns_from_one_label_a_class() -> None:
    generator = np.random.default_rng(0)
    images = generator.random((40, 64), dtype=np.float32)
    labels = np.array([0, 1, *[-1] * 38])
    encoder = NetworkConfig(widths=(8,), hidden=(8,))
    classifier = SemiSupervisedClassifier(
        "finetune",
        pretrain=PretrainConfig(encoder=encoder, latent=4, epochs=1),
        train=TrainConfig(validation="none", length=4, evaluations=2),
        random_state=0,
    ).fit(images, labels)
    assert classifier.split_.train.tolist() == [0, 1]
    assert classifier.split_.val.tolist() == []
    assert classifier.temperature_ == 1.0
    assert np.isfinite(classifier.predict_proba(images)).all()
