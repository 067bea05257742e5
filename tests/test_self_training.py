"""Learning spread labels that the network's EMA confirms: the loss, and the mode that uses it."""

from __future__ import annotations

import csv
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
from pipeline.models.encoders import ConvEncoder
from pipeline.models.self_training import LEAST, Labelled, SelfTrainingClassifier, where_both_agree
from tests.conftest import Run

IMAGES = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Mirror(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(-1)


def self_training(weight: float = 2.0) -> SelfTrainingClassifier:
    """Augmentation is a mirror; there is one labelled image, so that every draw is the same."""
    torch.manual_seed(1)
    backbone, head = Backbone(ConvEncoder((1, 8, 8), 6, [4])), make_head(6, 3)
    labelled, rates = Labelled(IMAGES[:1], torch.tensor([2]), 4), Rates(0.1, 0.1, ema_decay=0.9)
    return SelfTrainingClassifier(backbone, head, Mirror(), rates, labelled, weight)


def spread_labels(model: SelfTrainingClassifier) -> torch.Tensor:
    """One-hot labels of the images: of every other one the class that the EMA predicts, of the rest another."""
    assert model.ema is not None
    guesses = model.ema(IMAGES).argmax(1)
    return F.one_hot((guesses + torch.arange(len(IMAGES)) % 2) % 3, 3).float()


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_loss_is_cross_entropy_of_labels_and_of_spread_labels_that_the_ema_confirms(weight: float) -> None:
    model = self_training(weight)
    targets = spread_labels(model)
    loss = model.loss(IMAGES, targets)

    model = self_training(weight)
    assert model.ema is not None
    logits = model.head(model.backbone(torch.cat([IMAGES[:1].repeat(4, 1, 1, 1), IMAGES]).flip(-1)))
    learnt = where_both_agree(model.ema(IMAGES).softmax(1), targets)
    assert [bool(row.any()) for row in learnt] == [True, False] * 5
    others = -(learnt * logits[4:].log_softmax(1)).sum() / len(IMAGES)
    torch.testing.assert_close(loss, F.cross_entropy(logits[:4], torch.full((4,), 2)) + weight * others)


def test_the_ema_teaches_and_gets_no_gradient() -> None:
    model = self_training()
    model.loss(IMAGES, spread_labels(model)).backward()  # type: ignore[no-untyped-call]
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


# --- as a mode ------------------------------------------------------------------------------------------------


def test_the_mode_trains_the_encoder_within_the_budget_and_leaves_a_plain_classifier(
    runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ("--grid.modes=[finetune,self_train]", "--grid.labels=[50]", "--grid.draws=1", "--grid.baselines=false")
    assert tiny("compare", *grid) == 0
    assert "finetune - self_train" in capsys.readouterr().out
    with (runs / "tiny" / "results.csv").open() as file:
        [row] = [row for row in csv.DictReader(file) if row["mode"] == "self_train"]
    metrics = json.loads((runs / "tiny" / row["cell"] / "metrics.json").read_text())
    assert metrics["e_in"]["n"] + metrics["e_val"]["n"] == 50
    assert metrics["encoder_sha256"]["before"] != metrics["encoder_sha256"]["after"]
    np.save(runs / "images.npy", np.zeros((2, 8, 8), np.uint8))
    chosen = ("--mode=self_train", "--labels=50", "--seed=0", f"--images={runs / 'images.npy'}")
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
        ("--train.self_training.weight=-1", "train.self_training.weight: -1.0 is not allowed"),
        ("--train.self_training.batch_size=1", "train.self_training.batch_size: 1 is not allowed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    setting: str, message: str, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", "--mode=self_train", setting) == 2
    assert message in capsys.readouterr().err
