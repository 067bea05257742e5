"""Learning from images without labels by pseudo-labels: the loss, and the modes that use it."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from pipeline.models.classifier import Backbone, Rates, make_head
from pipeline.models.consistency import (
    LEAST,
    ConsistencyClassifier,
    Labelled,
    Unlabelled,
    where_both_agree,
    where_confident,
)
from pipeline.models.encoders import ConvEncoder
from tests.conftest import Run

IMAGES = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Mirror(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(-1)


def consistent(threshold: float, weight: float = 2.0) -> ConsistencyClassifier:
    """Strong augmentation: a mirror; one labelled image, so that every draw is the same."""
    torch.manual_seed(1)
    backbone, head = Backbone(ConvEncoder((1, 8, 8), 6, [4])), make_head(6, 3)
    labelled = Labelled(IMAGES[:1], torch.tensor([2]), 4)
    rates = Rates(0.1, 0.1, ema_decay=0.9)
    unlabelled = Unlabelled(nn.Identity(), functools.partial(where_confident, threshold=threshold), weight)
    return ConsistencyClassifier(backbone, head, Mirror(), rates, labelled, unlabelled)


def by_hand(model: ConsistencyClassifier, threshold: float, weight: float) -> torch.Tensor:
    """Cross-entropy of the mirrored images: to the label, and to what the EMA predicts of them unmirrored."""
    assert model.ema is not None
    drawn = IMAGES[:1].repeat(4, 1, 1, 1)
    logits = model.head(model.backbone(torch.cat([drawn, IMAGES]).flip(-1)))
    most, guess = model.ema(IMAGES).softmax(1).max(1)
    parts = F.cross_entropy(logits[4:], guess, reduction="none")
    return F.cross_entropy(logits[:4], torch.full((4,), 2)) + weight * parts[most >= threshold].sum() / 10


@pytest.mark.parametrize("threshold", [0.0, 0.37, 0.999])
def test_the_loss_is_cross_entropy_of_labels_and_of_confident_pseudo_labels(threshold: float) -> None:
    expected = by_hand(consistent(threshold), threshold, 2.0)
    torch.testing.assert_close(consistent(threshold).loss(IMAGES, torch.empty(0)), expected)


def test_the_ema_teaches_and_gets_no_gradient() -> None:
    model = consistent(0.0)
    model.loss(IMAGES, torch.empty(0)).backward()  # type: ignore[no-untyped-call]
    assert model.ema is not None
    assert all(parameter.grad is None for parameter in model.ema.parameters())
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())


def probabilities(count: int) -> st.SearchStrategy[torch.Tensor]:
    rows = arrays(np.float32, (count, 4), elements=st.floats(0.015625, 1, width=32))
    return rows.map(lambda values: torch.from_numpy(values / values.sum(1, keepdims=True)))


@given(probabilities(8), probabilities(8), st.floats(0.1, 1))
@settings(deadline=None)
def test_two_views_multiply_where_they_name_the_same_class(
    network: torch.Tensor, spread: torch.Tensor, weight: float
) -> None:
    targets = where_both_agree(network, spread * weight)
    for mine, one, other in zip(targets, network, spread, strict=True):
        if one.argmax() != other.argmax():
            assert not mine.any()
            continue
        both = (one * other).double() / (one * other).double().sum()
        torch.testing.assert_close(mine.double(), weight * both, rtol=1e-3, atol=1e-6)
        assert mine.argmax() == one.argmax()


def test_neither_view_can_rule_a_class_out() -> None:
    sure, unsure = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.5, 0.3, 0.2]])
    assert where_both_agree(sure, unsure).min() > LEAST / 10
    assert where_both_agree(unsure, sure).min() > LEAST / 10
    assert not where_both_agree(unsure, torch.zeros(1, 3)).any()  # an image that no label reached


# --- as modes -------------------------------------------------------------------------------------------------

MODES = ("probe_finetune", "consistency", "self_train")


def test_the_modes_train_the_encoder_within_the_budget_and_leave_a_plain_classifier(
    runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = (f"--grid.modes=[{','.join(MODES)}]", "--grid.labels=[50]", "--grid.draws=1", "--grid.baselines=false")
    assert tiny("compare", *grid) == 0
    assert "probe_finetune - consistency" in capsys.readouterr().out
    with (runs / "tiny" / "results.csv").open() as file:
        rows = {row["mode"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(MODES)
    for row in rows.values():
        metrics = json.loads((runs / "tiny" / row["cell"] / "metrics.json").read_text())
        assert metrics["e_in"]["n"] + metrics["e_val"]["n"] == 50
        assert metrics["encoder_sha256"]["before"] != metrics["encoder_sha256"]["after"]
    np.save(runs / "images.npy", np.zeros((2, 8, 8), np.uint8))
    for mode in MODES:
        chosen = (f"--mode={mode}", "--labels=50", "--seed=0", f"--images={runs / 'images.npy'}")
        assert tiny("predict", *chosen) == 0


def test_learning_from_spread_labels_errs_less_than_a_frozen_head(runs: Path, tiny: Run) -> None:
    more = ("--pretrain.epochs=10", "--train.unlabelled_steps=200")
    assert tiny("pretrain", *more) == 0
    grid = ("--grid.modes=[frozen,self_train]", "--grid.labels=[50]", "--grid.draws=2", "--grid.baselines=false")
    assert tiny("compare", *grid, *more) == 0
    with (runs / "tiny" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    frozen, self_train = (
        np.mean([float(row["e_out"]) for row in rows if row["mode"] == mode]) for mode in ("frozen", "self_train")
    )
    assert self_train < frozen


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--train.clean_fraction=1", "train.clean_fraction: 1.0 is not allowed"),
        ("--train.augment=-1", "train.augment: -1.0 is not allowed"),
        ("--train.ema_decay=1", "train.ema_decay: 1.0 is not allowed"),
        ("--train.label_smoothing=-0.1", "train.label_smoothing: -0.1 is not allowed"),
        ("--train.patience=2", "train.patience: 2.0 is not allowed"),
        ("--train.length=0", "train.length: 0.0 is not allowed"),
        ("--train.evaluations=0", "train.evaluations: 0 is not allowed"),
        ("--train.l2=[]", "train.l2: () is not allowed"),
        ("--train.l2=[0]", "train.l2: (0.0,) is not allowed"),
        ("--train.consistency.threshold=1", "train.consistency.threshold: 1.0 is not allowed"),
        ("--train.consistency.weight=-1", "train.consistency.weight: -1.0 is not allowed"),
        ("--train.modes.finetune.layer_decay=0", "layer_decay: 0.0 is not allowed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    setting: str, message: str, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", "--mode=consistency", setting) == 2
    assert message in capsys.readouterr().err
