"""What the project is for, on real MNIST; minutes long. The development split keeps the test set closed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import main

pytestmark = pytest.mark.slow

CONFIG = str(Path(__file__).parent.parent / "configs" / "mnist.yaml")


def compare(runs: Path, *extra: str) -> dict[str, float]:
    """Mean E_out by mode at 100 labels, over three draws, after a short pretraining."""
    common = (f"--config={CONFIG}", f"--runs={runs}", f"--data.root={runs / 'raw'}", "--data.args.development=true")
    short = ("--pretrain.epochs=4", "--grid.labels=[100]", "--grid.draws=3", "--grid.baselines=false")
    for stage in ("data", "pretrain", "compare"):
        assert main([stage, *common, *short, *extra]) == 0
    summary = json.loads((runs / "mnist" / "comparison.json").read_text())["summary"]
    return {row["mode"]: row["e_out"]["mean"] for row in summary}


def test_pretraining_pays_and_fine_tuning_is_sound_by_default_and_not_the_naive_way(tmp_path: Path) -> None:
    error = compare(tmp_path)
    assert error["frozen"] < 0.12
    assert error["frozen"] < error["scratch"] - 0.1
    assert error["finetune"] < error["frozen"] + 0.005
    naive = compare(
        tmp_path,
        "--grid.modes=[finetune]",
        "--train.modes.finetune.head_first=false",
        "--train.modes.finetune.encoder_lr=0.003",
        "--train.modes.finetune.head_lr=0.003",
    )
    assert naive["finetune"] > error["finetune"]
