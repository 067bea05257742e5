"""Stage reproduce: a cell again, from its manifest alone, to the bit; and what it says if that fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from tests.conftest import Run, in_both_precisions
from tests.reliability.test_hostile import forge
from tests.test_cells import cell

MODES = ["frozen", "finetune", "propagate", "self_train", "scratch"]
# settings of every kind that a manifest has to hold
OWN = (
    *("--train.head_widths=[12]", "--train.val_fraction=0.3", "--train.graph.neighbours=5", "--train.batch_size=20"),
    *("--train.self_training.weight=0.5", "--train.ema_decay=0.9", "--train.patience=0.5", "--train.l2=[2,5]"),
)


def again(folder: Path, *extra: str) -> int:
    return main(["reproduce", f"--cell={folder}", *extra])


@in_both_precisions
@pytest.mark.parametrize("mode", [pytest.param(mode, marks=pytest.mark.slow) for mode in MODES[:-1]] + ["scratch"])
def test_a_cell_comes_out_the_same_to_the_bit(
    mode: str, runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", f"--mode={mode}", "--seed=1", *OWN) == 0
    folder = cell(runs, mode, seed=1)
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    assert again(folder, "--tolerance=0") == 0
    said = capsys.readouterr().out
    assert "weights: the same to the bit" in said
    assert "test images: 0.00 % classified differently" in said
    assert "made elsewhere" not in said
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["finetune", "self_train"])
def test_a_cell_that_chose_its_settings_chooses_them_again(
    mode: str, runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trials that switch off what the cell's own settings have, and the other way round."""
    tried = (
        "[{modes: {MODE: {head_lr: 0.01}}, patience: 0, ema_decay: 0.5, augment: 0, graph: {alpha: 0.5}, "
        "clean_fraction: 0, head_widths: [9]}]"
    )
    settings = (
        *(f"--train.trials={{{mode}: {tried.replace('MODE', mode)}}}", f"--train.modes.{mode}.encoder_lr=0.005"),
        *("--train.augment=0.7", "--invariances.preset=objects", "--train.clean_fraction=0.5"),
        f"--grid.modes=[{mode}]",  # beside modes with fewer trials, it would be refused as favoured
    )
    assert tiny("pretrain", *settings) == 0
    assert tiny("train", f"--mode={mode}", "--labels=50", *settings) == 0
    assert again(cell(runs, mode, labels=50), "--tolerance=0") == 0
    assert "weights: the same to the bit" in capsys.readouterr().out


@pytest.mark.slow
def test_what_differs_is_told(runs: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell whose predictions are not those of its training, made on another machine."""
    assert tiny("train", "--mode=scratch") == 0
    folder = cell(runs, "scratch")
    with np.load(folder / "predictions.npz") as stored:
        arrays = dict(stored)
    arrays["test_pred"][:18] += 1
    np.savez_compressed(folder / "predictions.npz", **arrays)
    forge(folder)
    assert again(folder) == 1
    captured = capsys.readouterr()
    assert "test images: 5.00 % classified differently" in captured.out
    assert (
        "was not reproduced: 5.00 % of the test images are classified differently, 1.00 % are allowed" in captured.err
    )
    machine = {"python": "2.7", "platform": "x", "machine": "vax", "cpus": 1, "revision": "r"}
    forge(folder, provenance={**machine, "packages": {"torch": "0.1"}})
    assert again(folder, "--tolerance=0.06") == 0
    said = capsys.readouterr().out
    assert "made elsewhere: machine was vax, is" in said
    assert "made elsewhere: torch was 0.1, is" in said
    assert "made elsewhere: numpy was absent, is" in said


@pytest.mark.slow
def test_code_that_only_a_manifest_names_is_not_run(runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    own = "--pretrain.encoder.name=pipeline.models.encoders:MLPEncoder"
    assert tiny("train", own, "--pretrain.encoder.args={widths: [9]}", "--mode=scratch") == 0
    folder = cell(runs, "scratch")
    assert again(folder) == 2
    assert f"if you trust it, say so with {own.replace('=', ' ')}" in capsys.readouterr().err
    assert again(folder, own) == 0


@pytest.mark.slow
def test_other_data_are_refused(runs: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(90) % 3)
    own = ("--data.dataset=numpy", f"--data.args.path={tmp_path / 'x.npz'}", "--labels=20", "--mode=scratch")
    assert tiny("data", *own[:2]) == 0
    assert tiny("train", *own) == 0
    folder = cell(runs, "scratch", 20)
    np.savez(tmp_path / "x.npz", images=255 - images, labels=np.arange(90) % 3)
    assert again(folder) == 2
    assert "the data are not those that the cell was trained on" in capsys.readouterr().err
    (tmp_path / "x.npz").unlink()
    assert again(folder) == 2


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("--cell=nowhere", "name the folder of a trained cell: `python -m pipeline reproduce --cell FOLDER`"),
        ("--cell=", "name the folder of a trained cell: `python -m pipeline reproduce --cell FOLDER`"),
        ("--tolerance=2", "tolerance: 2.0 is not allowed"),
        ("pretrain", "was made by stage pretrain; name a cell"),
    ],
)
def test_what_is_no_cell_is_refused(
    what: str, message: str, pretrained_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [encoder] = pretrained_runs.glob("tiny/pretrain-*")
    assert main(["reproduce", f"--cell={encoder}" if what == "pretrain" else what]) == 2
    assert message in capsys.readouterr().err
