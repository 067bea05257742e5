"""Pretraining by the command line: how many images it sees, and what it says of that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.conftest import Run


def few() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """A data set of 240 training images once a fifth is held out for the test."""
    return np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8), np.arange(300) % 2


def test_a_share_of_the_images_is_held_out_and_said(runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    own = (f"--data.dataset={__name__}:few", "--name=few", "--pretrain.holdout=null", "--pretrain.epochs=1")
    assert tiny("data", *own) == 0
    assert tiny("pretrain", *own) == 0
    assert "pretrain: 208 images, and 32 left out to measure it on" in capsys.readouterr().out
    [manifest] = (runs / "few").glob("pretrain-*/manifest.json")
    outcome = json.loads(manifest.read_text())["outcome"]
    assert outcome["images"] == 208
    assert outcome["holdout_loss"] > 0
