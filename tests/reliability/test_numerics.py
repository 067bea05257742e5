"""Numbers under stress: handled, or refused in words. A training that diverged is no result."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.cli import main
from pipeline.models.autoencoder import Autoencoder
from pipeline.models.side_by_side import SideBySide
from tests.conftest import Run
from tests.test_cells import cell

SHORT = (
    "--pretrain.encoder.name=mlp",
    "--pretrain.encoder.widths=[8]",
    "--pretrain.decoder.widths=[8]",
    "--pretrain.epochs=1",
    "--pretrain.holdout=4",
    "--train.length=3",
    "--train.unlabelled_steps=20",
    "--train.evaluations=4",
)


def run(stage: str, path: Path, *extra: str) -> int:
    """A stage on the arrays in this folder."""
    own = ("--name=x", "--data.dataset=numpy", f"--data.args.path={path}", f"--runs={path / 'runs'}")
    budget = ("--grid.labels=[20]",) if stage == "pretrain" else ()  # the default budgets are more than its images
    return main([stage, *own, *SHORT, *budget, *extra])


def save(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    np.save(path / "images.npy", images)
    np.save(path / "labels.npy", labels)


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Two classes of noise, and among the images black and white ones."""
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    images[0], images[1] = 0, 255
    save(tmp_path, images, np.arange(60) % 2)
    assert run("data", tmp_path) == 0
    return tmp_path


def nothing_is_left(runs: Path) -> bool:
    return not any(path.name.startswith(("pretrain-", "scratch-")) for path in runs.rglob("*"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("stage", ["pretrain", "train"])
def test_a_loss_that_is_no_number_ends_it(
    stage: str, value: float, noise: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module: Any = {"pretrain": Autoencoder, "train": SideBySide}[stage]
    step = module.training_step

    def broken(self: Any, batch: object) -> Any:
        trained = self._trainer is not None  # the check before any training would refuse the model itself
        return step(self, batch) * value if trained else step(self, batch)

    monkeypatch.setattr(module, "training_step", broken)
    assert run(stage, noise, *(["--mode=scratch", "--labels=20"] if stage == "train" else [])) == 2
    unit = {"pretrain": "epoch", "train": "step"}[stage]
    assert f"training diverged in {unit} " in capsys.readouterr().err
    assert nothing_is_left(noise / "runs")


def test_what_only_the_last_step_broke_is_seen_too(
    noise: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def explode(self: Autoencoder) -> None:
        with torch.no_grad():
            for weight in self.encoder.parameters():
                weight.fill_(math.nan)

    monkeypatch.setattr(Autoencoder, "on_train_end", explode)
    assert run("pretrain", noise, "--pretrain.holdout=0") == 2
    assert "embeddings are not finite numbers; lower the learning rate" in capsys.readouterr().err
    assert nothing_is_left(noise / "runs")


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["1e6", "1e30"])
def test_exploding_gradients_make_no_encoder_that_is_not_finite(rate: str, noise: Path) -> None:
    status = run("pretrain", noise, f"--pretrain.learning_rate={rate}", "--pretrain.epochs=3")
    [*made] = (noise / "runs").glob("x/pretrain-*/history.csv")
    assert (status, len(made)) in ((0, 1), (2, 0))
    for path in made:
        assert "nan" not in path.read_text()
        assert "inf" not in path.read_text()


def test_black_and_white_images_and_three_labels_in_batches_of_two(noise: Path) -> None:
    small = ("--labels=4", "--train.val_fraction=0.4", "--train.batch_size=2", "--pretrain.batch_size=2")
    assert run("pretrain", noise, "--pretrain.batch_size=2") == 0
    for mode in ("scratch", "frozen"):
        assert run("train", noise, f"--mode={mode}", *small) == 0
    for path in (noise / "runs").glob("x/cells/*/metrics.json"):
        said = json.loads(path.read_text())
        assert (said["e_in"]["n"], said["e_val"]["n"]) == (3, 1)  # one example to validate on
        assert math.isfinite(said["e_val"]["loss"])


def test_a_budget_of_one_label_a_class_is_refused_in_words(noise: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", noise, "--mode=scratch", "--labels=2") == 2
    assert "a budget of 2 leaves no example for validation; take at least 10" in capsys.readouterr().err


def test_a_class_with_a_single_label_is_trained_on_or_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    images, test = (generator.integers(0, 256, (n, 8, 8), np.uint8) for n in (40, 10))
    save(tmp_path, images, np.array([2] + [0, 1] * 19 + [0]))
    assert run("data", tmp_path) == 2
    assert "'2' (1)" in capsys.readouterr().err  # no test set can be held out of it
    np.save(tmp_path / "test_images.npy", test)
    np.save(tmp_path / "test_labels.npy", np.arange(10) % 3)
    assert run("data", tmp_path) == 0
    assert run("train", tmp_path, "--mode=scratch", "--labels=20") == 0
    [split] = tmp_path.glob("runs/x/cells/*/split.json")
    assert 0 in json.loads(split.read_text())["train"]["index"]  # trained on, not validated on


def test_images_of_one_value_all_over_cannot_be_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, np.zeros((40, 8, 8), np.uint8), np.arange(40) % 2)
    assert run("data", tmp_path) == 2
    assert "every training image also lies in the test set" in capsys.readouterr().err


@pytest.mark.slow
def test_a_thousand_classes(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8000, 8, 8), np.uint8)
    save(tmp_path, images, np.arange(8000) % 1000)
    grid = ("--grid.labels=[5000]", "--grid.draws=2", "--grid.modes=[frozen,scratch]", "--grid.baselines=false")
    for stage in ("data", "pretrain", "compare", "report"):
        assert run(stage, tmp_path, *grid, "--grid.jobs=1") == 0, stage
    [cell, *_] = tmp_path.glob("runs/x/cells/scratch-*/metrics.json")
    said = json.loads(cell.read_text())
    assert np.array(said["confusion"]).shape == (1000, 1000)
    assert said["e_out"]["error"] > 0.9  # it is noise


def test_a_finished_cell_holds_finite_numbers_alone(runs: Path, tiny: Run) -> None:
    assert tiny("train", "--mode=scratch") == 0
    for path in cell(runs, "scratch").glob("*"):
        if path.suffix in (".json", ".csv"):
            assert not re.search(r"\b(nan|inf|infinity)\b", path.read_text().lower()), path
