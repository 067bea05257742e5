"""Stage train through the command line: what a cell leaves behind, and what its mode promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchmetrics.functional.classification import binary_calibration_error

from pipeline.config import DataConfig
from pipeline.datasets.loading import load
from pipeline.store import disk
from tests.conftest import Run, in_both_precisions, of_mode


def cell(runs: Path, mode: str, labels: int = 100, seed: int = 0) -> Path:
    found = sorted((runs / "tiny" / "cells").glob(f"{mode}-{labels}-{seed}-*"), key=lambda path: path.stat().st_mtime)
    return found[-1]


def metrics(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return content


@in_both_precisions
@pytest.mark.parametrize("mode", ["frozen", "finetune", "scratch"])
def test_every_number_of_a_cell_can_be_recounted_from_its_predictions(mode: str, runs: Path, tiny: Run) -> None:
    assert tiny("train", f"--mode={mode}", "--labels=100", "--seed=1") == 0
    folder = cell(runs, mode, seed=1)
    said, dataset = metrics(folder), load(DataConfig("digits"))
    with np.load(folder / "predictions.npz", allow_pickle=False) as predictions:
        names = {"train_index", "train_pred", "val_index", "val_pred", "test_pred", "test_label", "test_name"}
        sureness = {"val_probability", "val_right", "test_probability", "test_probability_before"}
        assert set(predictions) == names | sureness
        assert np.array_equal(predictions["test_label"], dataset.test.labels.numpy())
        assert tuple(predictions["test_name"].tolist()) == dataset.test.names
        train_labels, test_labels = dataset.train.labels.numpy(), dataset.test.labels.numpy()
        wrong = {
            "e_in": predictions["train_pred"] != train_labels[predictions["train_index"]],
            "e_val": predictions["val_pred"] != train_labels[predictions["val_index"]],
            "e_out": predictions["test_pred"] != test_labels,
        }
        assert np.array_equal(predictions["val_right"], ~wrong["e_val"])
        probability = torch.from_numpy(predictions["test_probability"])
    right = torch.from_numpy(~wrong["e_out"]).long()
    off_by = float(binary_calibration_error(probability, right, n_bins=15))
    assert said["calibration_error"]["after"] == pytest.approx(off_by)
    for name, mistakes in wrong.items():
        assert said[name]["errors"] == mistakes.sum()
        assert said[name]["n"] == len(mistakes)
        assert said[name]["error"] == mistakes.mean()
    assert said["e_in"]["n"] + said["e_val"]["n"] == 100
    confusion = np.array(said["confusion"])
    assert confusion.sum() - confusion.trace() == said["e_out"]["errors"]


@in_both_precisions
@pytest.mark.parametrize("mode", ["frozen", "scratch"])
def test_the_kept_measurement_is_that_of_the_classifier(mode: str, runs: Path, tiny: Run) -> None:
    assert tiny("train", f"--mode={mode}", "--train.length=12", "--train.evaluations=12") == 0
    folder = cell(runs, mode)
    history = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    said = metrics(folder)
    [kept] = np.flatnonzero(history[said["unit"]] == said["kept"])
    if mode == "frozen":
        assert said["unit"] == "l2"
        assert kept == history["loss_val"].argmin()
    else:
        assert said["unit"] == "step"
        allowed = history["loss_val"].min() + history["se_val"][history["loss_val"].argmin()]
        assert kept == np.flatnonzero(history["loss_val"] <= allowed)[-1]
    assert said["last"] == history[said["unit"]][-1]
    best = history[kept]
    assert (said["e_in"]["error"], said["e_val"]["error"]) == (best["e_in"], best["e_val"])
    assert said["e_val"]["loss"] == pytest.approx(best["loss_val"], rel=1e-4)


def test_a_frozen_encoder_keeps_every_bit_and_a_fine_tuned_one_does_not(runs: Path, tiny: Run) -> None:
    [artefact] = (runs / "tiny").glob("pretrain-*")
    pretrained = load_file(artefact / "backbone.safetensors")
    for mode in ("frozen", "finetune"):
        assert tiny("train", f"--mode={mode}") == 0
        folder = cell(runs, mode)
        weights = load_file(folder / "weights.safetensors")
        same = {name: torch.equal(weights[f"backbone.{name}"], value) for name, value in pretrained.items()}
        assert any("running_mean" in name for name in same)
        digests = metrics(folder)["encoder_sha256"]
        if mode == "frozen":
            assert all(same.values())
            assert digests["before"] == digests["after"]
        else:
            assert not any(unchanged for name, unchanged in same.items() if not name.startswith("norm"))
            assert digests["before"] != digests["after"]


def test_how_images_are_augmented_belongs_to_the_cells_whose_encoder_is_trained(runs: Path, tiny: Run) -> None:
    """The same invariances in other words are the same cell; a head alone is trained on clean embeddings."""
    changes = ("--train.augment=0.5", "--train.augment=0.7", "--train.clean_fraction=0.5")
    for mode, own in (("frozen", ()), ("scratch", ("--invariances.preset=none", "--invariances.rotation=20"))):
        for change in (*changes, *own):
            assert tiny("train", f"--mode={mode}", change) == 0
    cells = runs / "tiny" / "cells"
    assert [len(list(cells.glob(f"{mode}-*/"))) for mode in ("scratch", "frozen")] == [4, 1]


def test_fine_tuning_starts_from_the_frozen_head_unless_told_otherwise(runs: Path, tiny: Run) -> None:
    """At a vanishing rate head-first fine-tuning is the frozen classifier, and naive fine-tuning is a random head."""
    still = (*of_mode("finetune", encoder_lr=1e-12, head_lr=1e-12), "--train.weight_decay=0")
    assert tiny("train", "--mode=frozen") == 0
    frozen = load_file(cell(runs, "frozen") / "weights.safetensors")["head.0.weight"]
    heads = []
    for head_first in ("true", "false"):
        assert tiny("train", "--mode=finetune", f"--train.modes.finetune.head_first={head_first}", *still) == 0
        heads.append(load_file(cell(runs, "finetune") / "weights.safetensors")["head.0.weight"])
    assert torch.allclose(heads[0], frozen, atol=1e-6)
    assert not torch.allclose(heads[1], frozen, atol=1e-2)


@pytest.mark.parametrize("mode", ["frozen", "scratch"])
def test_a_refitted_cell_trains_on_every_label_and_is_judged_by_the_network_that_left_some_out(
    mode: str, runs: Path, tiny: Run
) -> None:
    assert tiny("train", f"--mode={mode}") == 0
    once = metrics(cell(runs, mode))
    assert tiny("train", f"--mode={mode}", "--train.refit=true") == 0
    folder = cell(runs, mode)
    said = metrics(folder)
    assert (said["e_in"]["n"], said["e_val"]["n"]) == (100, once["e_val"]["n"])
    assert said["e_val"] == once["e_val"]
    assert (said["kept"], said["last"]) == (once["kept"], once["last"])
    with np.load(folder / "predictions.npz", allow_pickle=False) as predictions:
        assert set(predictions["val_index"]) < set(predictions["train_index"])


@pytest.mark.parametrize("mode", ["frozen", "finetune", "propagate", "self_train"])
def test_a_cross_validated_cell_trains_on_every_label_and_is_judged_by_networks_that_left_it_out(
    mode: str, runs: Path, tiny: Run
) -> None:
    settings = ("--labels=50", "--train.validation=kfold")
    assert tiny("train", f"--mode={mode}", *settings) == 0
    folder = cell(runs, mode, labels=50)
    said, labels = metrics(folder), load(DataConfig("digits")).train.labels.numpy()
    history = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    [kept] = np.flatnonzero(history[said["unit"]] == said["kept"])
    with np.load(folder / "predictions.npz", allow_pickle=False) as predictions:
        assert predictions["train_index"].tolist() == predictions["val_index"].tolist()
        assert said["e_val"]["errors"] == (predictions["val_pred"] != labels[predictions["val_index"]]).sum()
        assert said["e_in"]["errors"] == (predictions["train_pred"] != labels[predictions["train_index"]]).sum()
    assert said["e_in"]["n"] == said["e_val"]["n"] == 50
    # five folds of ten: the mean over folds is the error on all labels
    assert said["e_val"]["error"] == pytest.approx(history["e_val"][kept])
    assert said["e_val"]["loss"] == pytest.approx(history["loss_val"][kept], rel=1e-4)
    assert said["e_val"]["errors"] >= said["e_in"]["errors"]


@pytest.mark.parametrize("validation", ["holdout", "kfold"])
@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_a_cell_that_tries_settings_is_the_one_that_its_validation_labels_judge_best(
    mode: str, validation: str, runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (f"--mode={mode}", "--labels=50", f"--train.validation={validation}", "--train.folds=2")
    settings = ({"l2": [1e3]}, {"l2": [0.1]}) if mode == "frozen" else ({"weight_decay": 300}, {"label_smoothing": 0.9})
    alone = []
    for changes in ({}, *settings):
        assert tiny("train", *common, *(f"--train.{name}={value}" for name, value in changes.items())) == 0
        alone.append(cell(runs, mode, labels=50))
    assert tiny("train", *common, f"--train.trials={json.dumps({mode: settings})}") == 0
    folder = cell(runs, mode, labels=50)
    assert folder not in alone
    said = metrics(folder)
    scores = [(trial["e_val"], trial["loss_val"]) for trial in said["trials"]]
    assert scores == [pytest.approx((found["error"], found["loss"])) for found in (metrics(f)["e_val"] for f in alone)]
    best = min(range(3), key=scores.__getitem__)
    assert said["chosen"] == best
    assert f"with settings {best + 1} of 3" in capsys.readouterr().out
    weights = [disk.sha256_file(path / "weights.safetensors") for path in (folder, *alone)]
    assert weights.index(weights[0], 1) == best + 1
    assert len(set(weights)) == 3  # no two of the settings say the same


def test_settings_that_are_tried_belong_to_the_cells_identity(runs: Path, tiny: Run) -> None:
    """Those of another mode do not, and how they are phrased neither."""
    for trials in (
        "{}",
        "{scratch: [{weight_decay: 0.1}]}",
        "{frozen: [{l2: [5]}]}",
        "{frozen: [{l2: [5.0], modes: {scratch: {head_lr: 0.1}}}]}",
        "{frozen: [{l2: [7]}]}",
    ):
        assert tiny("train", "--mode=frozen", f"--train.trials={trials}") == 0
    assert len(list((runs / "tiny" / "cells").glob("frozen-*/"))) == 3


def test_a_hold_out_is_the_same_cell_whatever_the_folds(runs: Path, tiny: Run) -> None:
    assert tiny("train", "--mode=frozen") == 0
    assert tiny("train", "--mode=frozen", "--train.folds=3") == 0
    assert len(list((runs / "tiny" / "cells").glob("frozen-*/"))) == 1


@pytest.mark.parametrize("mode", ["frozen", "scratch", "propagate"])
def test_a_class_that_a_random_draw_misses_is_counted_as_errors(mode: str, runs: Path, tiny: Run) -> None:
    drawn = ("--labels=16", "--grid.sampling=random", "--train.val_fraction=0.4")
    assert tiny("train", f"--mode={mode}", *drawn) == 0
    folder, digits = cell(runs, mode, labels=16), load(DataConfig("digits"))
    said = metrics(folder)
    with np.load(folder / "predictions.npz", allow_pickle=False) as predictions:
        present = np.unique(digits.train.labels.numpy()[predictions["train_index"]])
        wrong = predictions["test_pred"] != digits.test.labels.numpy()
    assert said["sampling"] == "random"
    assert said["missed_classes"] == np.setdiff1d(np.arange(10), present).tolist() != []
    assert said["e_out"]["errors"] == wrong.sum()
    assert wrong[np.isin(digits.test.labels.numpy(), said["missed_classes"])].mean() > 0.9


def test_modes_share_their_draw_and_draws_differ(runs: Path, tiny: Run) -> None:
    splits = {}
    for mode, seed in (("frozen", 0), ("scratch", 0), ("frozen", 1)):
        assert tiny("train", f"--mode={mode}", f"--seed={seed}") == 0
        splits[mode, seed] = json.loads((cell(runs, mode, seed=seed) / "split.json").read_text())
    assert splits["frozen", 0] == splits["scratch", 0]
    assert splits["frozen", 0] != splits["frozen", 1]


@in_both_precisions
def test_the_same_cell_is_the_same_to_the_bit_and_scratch_needs_no_pretraining(
    runs: Path, tiny: Run, tmp_path: Path
) -> None:
    assert tiny("train", "--mode=scratch") == 0
    first = cell(runs, "scratch")
    elsewhere = f"--runs={tmp_path / 'elsewhere'}"
    assert tiny("data", elsewhere) == 0
    assert tiny("train", "--mode=scratch", elsewhere) == 0
    second = cell(tmp_path / "elsewhere", "scratch")
    assert disk.sha256_file(first / "weights.safetensors") == disk.sha256_file(second / "weights.safetensors")


def test_a_finished_cell_is_recognised_and_left_untouched(runs: Path, tiny: Run) -> None:
    assert tiny("train", "--mode=frozen") == 0
    before = {path: path.stat().st_mtime_ns for path in cell(runs, "frozen").iterdir()}
    assert tiny("train", "--mode=frozen") == 0
    assert {path: path.stat().st_mtime_ns for path in cell(runs, "frozen").iterdir()} == before


def test_a_training_that_diverges_is_no_result(runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        tiny("train", "--mode=scratch", "--train.modes.scratch.head_lr=1e30", "--train.modes.scratch.encoder_lr=1e30")
        == 2
    )
    assert "training diverged in step" in capsys.readouterr().err
    assert not list((runs / "tiny").glob("cells/scratch*"))
