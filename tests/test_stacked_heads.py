"""Heads of several draws trained as one computation: the cells they would be one by one, to the bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.config import GraphConfig, InvariancesConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.learning import stacked_heads
from pipeline.learning.plan import Plan
from pipeline.models.classifier import Classifier, Rates, make_head
from pipeline.models.linear_stack import StackedHeads
from pipeline.modes import FitChanges
from pipeline.store import disk
from tests.conftest import Run, in_both_precisions
from tests.test_cells import metrics

GRID = ("--grid.modes=[frozen]", "--grid.baselines=false", "--grid.draws=3", "--grid.labels=[50,100]")
# the draws end at different epochs
SETTINGS = (
    "--train.modes.frozen.max_epochs=40",
    "--train.modes.frozen.patience=2",
    "--train.modes.frozen.head_lr=0.05",
)
TRIALS = "--train.trials={frozen: [{modes: {frozen: {weight_decay: 10}}}, {modes: {frozen: {head_lr: 0.2}}}]}"


def cells(runs: Path) -> dict[str, dict[str, Any]]:
    """What is in each cell, but for the time that it took."""
    found = {}
    for folder in sorted((runs / "tiny" / "cells").iterdir()):
        if folder.is_dir():
            digests = {name: disk.sha256_file(folder / name) for name in ("weights.safetensors", "history.csv")}
            found[folder.name] = {**metrics(folder), **digests, "seconds": None}
    return found


def forget(runs: Path, *names: str) -> None:
    """Remove the comparison and the cells whose names begin so."""
    (runs / "tiny" / "comparison.json").unlink(missing_ok=True)
    for folder in (runs / "tiny" / "cells").iterdir():
        if folder.name.startswith(names) and folder.is_dir():
            shutil.rmtree(folder)


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What every attempt to train several draws at once came to."""
    found: list[object] = []
    train_stacked = stacked_heads.train_stacked

    def noted(*arguments: Any) -> object:
        found.append(None)
        found[-1] = train_stacked(*arguments)
        return found[-1]

    monkeypatch.setattr(stacked_heads, "train_stacked", noted)
    return found


@in_both_precisions
@pytest.mark.parametrize("settings", [SETTINGS, (*SETTINGS, TRIALS)], ids=["one setting", "three settings"])
def test_the_cells_of_a_grid_are_those_trained_one_by_one(
    settings: tuple[str, ...], runs: Path, tiny: Run, outcomes: list[object]
) -> None:
    for labels in (50, 100):
        for seed in range(3):
            alone = ("--mode=frozen", f"--labels={labels}", f"--seed={seed}")
            assert tiny("train", *alone, *settings) == 0
    one_by_one = cells(runs)
    assert len({cell["stopped_epoch"] for cell in one_by_one.values()}) > 1
    forget(runs, "frozen")
    assert outcomes == []
    assert tiny("compare", *GRID, *settings) == 0
    assert len(outcomes) == 2  # a computation for each budget
    assert cells(runs) == one_by_one


def test_what_is_missing_of_a_grid_is_the_same_in_whatever_company(runs: Path, tiny: Run) -> None:
    assert tiny("compare", *GRID, *SETTINGS) == 0
    whole = cells(runs)
    for gone in (["frozen-50-0", "frozen-50-2"], ["frozen-50-1"]):
        forget(runs, *gone)
        assert tiny("compare", *GRID, *SETTINGS) == 0
        assert cells(runs) == whole


def test_where_batched_products_round_otherwise_each_is_trained_alone(
    runs: Path, tiny: Run, outcomes: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny("compare", *GRID, *SETTINGS) == 0
    together = cells(runs)
    forget(runs, "frozen")
    monkeypatch.setattr(StackedHeads, "same_bits", lambda *_: False)
    assert tiny("compare", *GRID, *SETTINGS) == 0
    assert len(outcomes) == 4
    assert outcomes[2:] == [None, None]
    assert cells(runs) == together


def test_a_failure_names_its_cell(runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("compare", *GRID, "--train.modes.frozen.head_lr=1e38") == 2
    said = capsys.readouterr().err
    assert "6 of 6 cells failed" in said
    assert "frozen at 50 labels, draw 2: PipelineError: training diverged in epoch" in said


@pytest.mark.parametrize("examples", [32, 27, 2])
def test_gradients_and_losses_are_those_of_each_head(examples: int) -> None:
    torch.manual_seed(0)
    rates = [Rates(0.1, weight_decay=0.1), Rates(0.2), Rates(0.1, weight_decay=0.1)]
    classifiers = [Classifier(nn.Identity(), make_head(24, 5), False, nn.Identity(), own) for own in rates]
    x, labels = torch.randn(3, examples, 24), torch.randint(5, (3, examples))
    heads = StackedHeads(classifiers)
    # what is compared there to the bit is the same but for rounding
    torch.testing.assert_close(
        -heads.log_probabilities(x).gather(2, labels[:, :, None]).mean((1, 2)),
        torch.stack([own.loss(*batch) for own, *batch in zip(classifiers, x, labels, strict=True)]),
    )
    heads.weights[1].data[0, 0] += 1  # the head that is asked alone is no other than the one in the stack
    expected = torch.autograd.grad(classifiers[1].loss(x[1], labels[1]), list(classifiers[1].head.parameters()))
    (heads.log_probabilities(x).gather(2, labels[:, :, None]).mean(1).sum() * -1).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close([parameter.grad for parameter in classifiers[1].head.parameters()], list(expected))
    groups = heads.configure_optimizers().param_groups
    assert [(group["lr"], group["weight_decay"], len(group["params"])) for group in groups] == [
        (0.1, 0.1, 4),
        (0.2, 0.0, 2),
    ]


@pytest.mark.parametrize(
    ("mode", "change", "expected"),
    [
        ("frozen", {}, True),
        ("frozen", {"trials": {"frozen": [{"modes": {"frozen": {"head_lr": 0.1}}}]}}, True),
        ("frozen", {"trials": {"frozen": [{"modes": {"frozen": {"max_epochs": 3}}}]}}, False),
        ("frozen", {"trials": {"frozen": [{"head_widths": [4]}]}}, False),
        ("frozen", {"head_widths": (8,)}, False),
        ("frozen", {"validation": "kfold"}, False),
        ("frozen", {"modes": {"frozen": FitChanges(ema_decay=0.9)}}, False),
        ("propagate", {"graph": GraphConfig(head_widths=())}, False),
        ("finetune", {}, False),
        ("scratch", {}, False),
    ],
)
def test_only_linear_heads_on_embeddings_are_trained_together(
    mode: str, change: dict[str, Any], expected: bool
) -> None:
    plan: Callable[..., Plan] = Plan
    assert (
        plan(mode, PretrainConfig(), TrainConfig(**change), InvariancesConfig(), RuntimeConfig(), 0).stackable
        == expected
    )
