"""Encoders from torchvision and timm, and taking an encoder as it is. Nothing is downloaded."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torchvision import models

from pipeline import methods
from pipeline.config import InvariancesConfig, NetworkConfig, PretrainConfig, RuntimeConfig
from pipeline.errors import PipelineError
from pipeline.learning.pretrain import pretrain
from pipeline.training.foreign import load_weights, torchvision_encoder
from pipeline.training.networks import make_encoder
from tests.conftest import Run

SMALL = ("--pretrain.encoder={name: torchvision, args: {model: shufflenet_v2_x0_5, size: 32}}",)
NONE = ("--pretrain.method=none", *SMALL)
SHORT = ("--train.length=1", "--train.evaluations=2")
GRID = (
    "--grid.labels=[50]",
    "--grid.draws=1",
    "--grid.modes=[frozen,finetune,scratch]",
    "--grid.baselines=false",
    *SHORT,
)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 40, 30)])
def test_images_are_scaled_and_normalised_as_the_network_has_it(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    encoder = torchvision_encoder(shape, 5, "resnet18", size=32).eval()
    preset = models.ResNet18_Weights.DEFAULT.transforms()
    x = torch.rand(3, *shape)
    with torch.no_grad():
        scaled = torch.nn.functional.interpolate(x.expand(-1, 3, -1, -1), (32, 32), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preset.mean, preset.std))
        assert torch.allclose(encoder(x), encoder.network((scaled - mean) / std), atol=1e-5)
        assert encoder(x).shape == (3, 512)
    assert encoder.out_features == 512  # its own width
    assert torchvision_encoder(shape, 5, "resnet18").size == shape[1:]
    assert torchvision_encoder(shape, 5, "resnet18", pretrained=True).size == (224, 224)


def test_weights_are_put_in_by_pretraining_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(7)
    wanted = models.get_model("shufflenet_v2_x0_5", weights=None).state_dict()
    monkeypatch.setattr(models.ShuffleNet_V2_X0_5_Weights.DEFAULT.__class__, "get_state_dict", lambda *_, **__: wanted)
    network = NetworkConfig("torchvision", args={"model": "shufflenet_v2_x0_5", "pretrained": True, "size": 32})
    settings = PretrainConfig(method="none", encoder=network)
    fresh = methods.new_backbone(settings, (1, 8, 8))
    begun = fresh.encoder.state_dict()
    assert not torch.equal(begun["network.conv1.0.weight"], wanted["conv1.0.weight"])  # as scratch begins
    images = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    found = pretrain(settings, InvariancesConfig(), RuntimeConfig(precision="32", progress=False), images)
    for name, value in found.backbone.encoder.state_dict().items():  # BatchNorm's statistics, too
        assert torch.equal(value, wanted[name.removeprefix("network.")]), name
    assert found.result.history == []
    assert found.embeddings.shape == (40, 1024)


def test_weights_that_cannot_be_downloaded_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", unreachable)
    encoder = torchvision_encoder((1, 8, 8), 5, "resnet18", pretrained=True, size=32)
    with pytest.raises(PipelineError, match=r"(?s)no download of the weights .*no route to host.*copy the file"):
        load_weights(encoder)


def test_an_encoder_is_taken_as_it_is_through_every_stage(
    runs: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("pretrain", *NONE) == 0
    assert tiny("pretrain", *NONE, "--pretrain.epochs=7", "--pretrain.learning_rate=0.1") == 0
    folders = [
        path.parent
        for path in (runs / "tiny").glob("pretrain-*/manifest.json")
        if json.loads(path.read_text())["inputs"]["pretrain"]["method"] == "none"
    ]
    assert len(folders) == 1  # which settings of training there are does not matter
    assert tiny("compare", *NONE, *GRID) == 0
    assert "digits, encoder as it is:" in capsys.readouterr().out
    assert tiny("report", *NONE, *GRID) == 0
    page = (runs / "tiny" / "report.md").read_text()
    assert "Nothing was pretrained: the encoder is torchvision model shufflenet_v2_x0_5 size 32, as it is." in page
    assert "no image here was pretrained on" in page
    assert tiny("sample", *NONE) == 2
    assert "none has no decoder" in capsys.readouterr().err
    [cell] = (runs / "tiny" / "cells").glob("frozen-50-0-*")
    kept, trained = load_file(folders[0] / "backbone.safetensors"), load_file(cell / "weights.safetensors")
    assert all(torch.equal(value, trained[f"backbone.{name}"]) for name, value in kept.items())
    exported = tmp_path / "exported"
    assert tiny("export", f"--cell={cell}", "--onnx=false", f"--out={exported}") == 0  # named by the files alone


def test_a_foreign_encoder_can_be_pretrained_here(tiny: Run) -> None:
    assert tiny("pretrain", *SMALL, "--pretrain.epochs=1") == 0


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="the extra [timm] is not installed")
def test_a_network_of_timm_is_an_encoder() -> None:
    config = NetworkConfig("timm", args={"model": "resnet10t", "size": 32})
    encoder = make_encoder(config, (1, 28, 28), 5).eval()
    assert encoder.out_features == 512
    assert encoder(torch.rand(2, 1, 28, 28)).shape == (2, 512)
    with pytest.raises(PipelineError, match="'nope' is no network of timm"):
        make_encoder(NetworkConfig("timm", args={"model": "nope"}), (1, 28, 28), 5)


@pytest.mark.parametrize(
    ("args", "shape", "message"),
    [
        ({"model": "nope"}, (1, 8, 8), "'nope' is no classifier of torchvision; expected one such as resnet18"),
        ({"model": "vit_b_32"}, (1, 8, 8), r"vit_b_32 does not take images of 8 x 8 pixels .*args.size 224"),
        ({"model": "squeezenet1_1"}, (1, 32, 32), "squeezenet1_1 has no fully connected head"),
        ({"model": "resnet18"}, (4, 32, 32), "takes images of 1 or 3 channels, and these have 4"),
        ({"models": "resnet18"}, (1, 32, 32), "was called with"),
    ],
)
def test_networks_that_do_not_fit_are_refused(args: dict[str, Any], shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        make_encoder(NetworkConfig("torchvision", args=args), shape, 5)


def test_without_timm_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.extras._installed", lambda package: False)
    with pytest.raises(PipelineError, match=r"timm needs timm; run"):
        make_encoder(NetworkConfig("timm", args={"model": "resnet10t"}), (1, 28, 28), 5)
