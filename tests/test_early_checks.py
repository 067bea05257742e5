"""What settings and the data card tell is checked before anything is trained, stage pretrain included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from tests.conftest import TINY


@pytest.fixture(scope="module")
def data_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("early") / "runs"
    assert main(["data", *TINY, f"--runs={runs}"]) == 0
    return runs


@pytest.mark.parametrize("stage", ["pretrain", "compare"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["--grid.labels=[5]"], "grid.labels: a budget of 5 is below the number of classes"),
        (
            ["--grid.labels=[50,5000]"],
            "above the 1437 labelled training images there are; take at most these, or label more",
        ),
        (["--grid.modes=[frozen,fintune]"], "grid.modes: 'fintune' is not allowed; expected one of frozen"),
        (["--train.trials={scratch: [{modes: {scratch: {head_lr: 0.1}}}]}"], "give every mode as many"),
        (["--train.trials={nope: [{batch_size: 4}]}"], "nope"),
        (["--pretrain.encoder.name=nope"], "pretrain.encoder.name: 'nope' is unknown"),
        (["--grid.modes=[their_modes:SLOW]"], "'their_modes:SLOW' cannot be imported"),
    ],
)
def test_an_impossible_grid_is_refused_before_the_encoder_is_trained(
    stage: str, settings: list[str], message: str, data_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(data_runs.rglob("*"))
    assert main([stage, *TINY, f"--runs={data_runs}", *settings]) == 2
    assert message in capsys.readouterr().err
    assert sorted(data_runs.rglob("*")) == before


def test_one_cell_with_an_impossible_budget_is_refused_before_the_images_are_read(
    data_runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.datasets.loading.load", lambda config: pytest.fail("the images were read"))
    assert main(["train", *TINY, f"--runs={data_runs}", "--mode=scratch", "--labels=5"]) == 2
    assert "a budget of 5 is below the number of classes" in capsys.readouterr().err


def test_images_without_any_label_are_pretrained_on_whatever_the_grid_says(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "pool.npz", images=images, labels=np.full(60, -1))
    own = ["--data.dataset=numpy", f"--data.args.path={tmp_path / 'pool.npz'}", f"--runs={tmp_path / 'runs'}"]
    brief = ["--pretrain.epochs=1", "--pretrain.holdout=5"]
    assert [main([stage, *TINY, *own, *brief]) for stage in ("data", "pretrain")] == [0, 0]
