"""Learning to agree with oneself on images without labels: the loss, and the modes that use it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.models.agreement import AgreeingClassifier, Labelled
from pipeline.models.classifier import Backbone, Rates, make_head
from pipeline.models.decoders import MLPDecoder
from pipeline.models.encoders import ConvEncoder
from tests.conftest import Run

IMAGES = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Mirror(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(-1)


def agreeing(threshold: float, weight: float = 2.0, decoder: nn.Module | None = None) -> AgreeingClassifier:
    """Strong distortion: a mirror; one labelled image, so that every draw is the same."""
    torch.manual_seed(1)
    backbone, head = Backbone(ConvEncoder((1, 8, 8), 6, [4])), make_head(6, 3)
    labelled = Labelled(IMAGES[:1], torch.tensor([2]), 4)
    rates = Rates(0.1, 0.1, averaging=0.9)
    return AgreeingClassifier(backbone, head, rates, labelled, Mirror(), nn.Identity(), threshold, weight, decoder, 0.5)


def by_hand(model: AgreeingClassifier, threshold: float, weight: float) -> torch.Tensor:
    """Cross-entropy of the mirrored images: to the label, and to what the average sees in them unmirrored."""
    assert model.average is not None
    drawn = IMAGES[:1].repeat(4, 1, 1, 1)
    logits = model.head(model.backbone(torch.cat([drawn, IMAGES]).flip(-1)))
    most, guess = model.average(IMAGES).softmax(1).max(1)
    parts = F.cross_entropy(logits[4:], guess, reduction="none")
    return F.cross_entropy(logits[:4], torch.full((4,), 2)) + weight * parts[most >= threshold].sum() / 10


@pytest.mark.parametrize("threshold", [0.0, 0.37, 0.999])
def test_the_loss_is_cross_entropy_and_agreement_where_the_average_is_sure(threshold: float) -> None:
    expected = by_hand(agreeing(threshold), threshold, 2.0)
    torch.testing.assert_close(agreeing(threshold).loss(IMAGES, torch.empty(0)), expected)


def test_the_average_judges_and_gets_no_gradient() -> None:
    model = agreeing(0.0)
    model.loss(IMAGES, torch.empty(0)).backward()  # type: ignore[no-untyped-call]
    assert model.average is not None
    assert all(parameter.grad is None for parameter in model.average.parameters())
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())


def test_reconstruction_asks_for_the_clean_image_and_trains_the_decoder() -> None:
    decoder = MLPDecoder(6, (1, 8, 8), [8])
    plain, with_decoder = agreeing(0.5), agreeing(0.5, decoder=decoder)
    clean = torch.cat([IMAGES[:1].repeat(4, 1, 1, 1), IMAGES])
    backbone = agreeing(0.5).backbone
    drawn = F.binary_cross_entropy_with_logits(decoder(backbone.encoder(clean.flip(-1))), clean)
    none = torch.empty(0)
    torch.testing.assert_close(with_decoder.loss(IMAGES, none), plain.loss(IMAGES, none) + 0.5 * drawn)
    trained = {id(p) for group in with_decoder.groups() for p in group["params"]}
    assert {id(p) for p in decoder.parameters()} <= trained


# --- as modes -------------------------------------------------------------------------------------------------

MODES = ("probe_finetune", "consistency")
SHORT = tuple(f"--train.{mode}.max_epochs=2" for mode in MODES)


def test_the_modes_train_the_encoder_within_the_budget_and_leave_a_plain_classifier(
    runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = (f"--grid.modes=[{','.join(MODES)}]", "--grid.labels=[50]", "--grid.draws=1", "--grid.baselines=false")
    extra = ("--train.agreement.reconstruction=0.1",)
    assert tiny("compare", *grid, *SHORT, *extra) == 0
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
        assert tiny("predict", *chosen, *SHORT, *extra) == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--train.consistency.averaging=null", "train.consistency.averaging: None is not allowed"),
        ("--train.consistency.averaging=1", "averaging: 1.0 is not allowed"),
        ("--train.agreement.threshold=1", "train.agreement.threshold: 1.0 is not allowed"),
        ("--train.agreement.reconstruction=-1", "train.agreement.reconstruction: -1.0 is not allowed"),
        ("--train.probe_finetune.head_first=false", "train.probe_finetune.head_first: False is not allowed"),
        ("--train.finetune.layer_decay=0", "layer_decay: 0.0 is not allowed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    setting: str, message: str, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", "--mode=consistency", setting) == 2
    assert message in capsys.readouterr().err
