"""Pretraining methods from outside the package: those that docs/methods.md shows, through every stage."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from pipeline import methods
from pipeline.config import PretrainConfig
from pipeline.errors import PipelineError
from tests.conftest import Run

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = BLOCK.findall((ROOT / "docs" / "methods.md").read_text())
GRID = ("--grid.labels=[50]", "--grid.draws=1", "--grid.modes=[frozen,finetune,scratch]", "--grid.baselines=false")
QUICK = ("--pretrain.epochs=1", "--train.length=2")


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the page shows, and the metadata of a package that gives one of them a name."""
    folder = tmp_path_factory.mktemp("plugins")
    for text in (text for language, text in PAGE if language == "python"):
        (folder / text.split("\n", 1)[0].removeprefix("# ")).write_text(text)
    [declared] = (tomllib.loads(text) for language, text in PAGE if language == "toml")
    [(group, entries)] = declared["project"]["entry-points"].items()
    lines = [f"{name} = {path.removeprefix('my_package.')}" for name, path in entries.items()]
    info = folder / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
    return folder


@pytest.fixture
def seen(plugins: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, on sys.path."""
    monkeypatch.syspath_prepend(str(plugins))
    return plugins


@pytest.mark.parametrize(
    ("chosen", "summary", "decodes"),
    [
        (("--pretrain.method=masked_patches:METHOD", "--pretrain.args.hidden=0.6"), "masked autoencoder", True),
        (("--pretrain.method=alike",), "agreement of views", False),
    ],
    ids=["masked", "views"],
)
def test_a_method_from_elsewhere_goes_through_every_stage(
    chosen: tuple[str, ...],
    summary: str,
    decodes: bool,
    seen: Path,
    runs: Path,
    tiny: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = (*chosen, *QUICK)
    assert tiny("pretrain", *settings) == 0
    [folder] = (path for path in (runs / "tiny").glob("pretrain-*") if _method(path) == chosen[0].partition("=")[2])
    with (folder / "history.csv").open() as file:
        [row] = csv.DictReader(file)
    assert float(row["holdout_loss"]) > 0
    assert (folder / "decoder.safetensors").exists() == decodes
    assert tiny("sample", "--count=4", *settings) == (0 if decodes else 2)
    assert decodes or "has no decoder" in capsys.readouterr().err

    assert tiny("compare", *settings, *GRID) == 0
    assert f"digits, {summary}:" in capsys.readouterr().out
    assert tiny("report", *settings, *GRID) == 0
    assert f"pretrained as a{'n' * (summary[0] == 'a')} {summary}" in (runs / "tiny" / "report.md").read_text()
    assert ("what the pretrained model makes of them" in (runs / "tiny" / "report.html").read_text()) == decodes

    [cell] = (runs / "tiny" / "cells").glob("finetune-50-0-*")
    exported, images = tmp_path / "exported", tmp_path / "images.npy"
    assert tiny("export", *settings, f"--cell={cell}", "--onnx=false", f"--out={exported}") == 0
    np.save(images, np.zeros((3, 8, 8), np.uint8))
    # what makes its predictions is a shipped encoder, so that nothing of the method's code is needed or run
    assert tiny("predict", f"--cell={exported}", f"--images={images}", f"--out={tmp_path / 'predicted.csv'}") == 0
    assert len((tmp_path / "predicted.csv").read_text().splitlines()) == 4


def _method(folder: Path) -> str:
    method: str = json.loads((folder / "manifest.json").read_text())["inputs"]["pretrain"]["method"]
    return method


def test_settings_of_a_method_from_elsewhere_are_its_own(seen: Path) -> None:
    masked = PretrainConfig(method="masked_patches:METHOD", args={"hidden": 0.75})
    resolved = methods.resolved(masked)
    assert resolved["args"] == {"hidden": 0.75, "patch": 2}
    assert "corruption" not in resolved  # which it does not read
    assert "decoder" not in methods.resolved(PretrainConfig(method="alike_views:METHOD"))
    with pytest.raises(PipelineError, match=r"args.beta: the method alike has no such setting; .* alike, spread"):
        methods.own_settings(PretrainConfig(method="alike", args={"beta": 4}))
    with pytest.raises(PipelineError, match=r"pretrain.args: hidden: 2.0 is not allowed"):
        methods.own_settings(PretrainConfig(method="masked_patches:METHOD", args={"hidden": 2.0}))


WRONG = """
from dataclasses import dataclass
import torch
from torch import nn
from pipeline.methods import Method
from pipeline.models.pretraining import Pretraining, Reconstructing

class Wide(nn.Sequential):
    out_features = 16
    def __init__(self, in_shape, out_features):
        super().__init__(nn.Flatten(), nn.Linear(64, out_features + 1))

class NaN(Wide):
    def forward(self, x):
        return torch.full((len(x), 16), torch.nan)

class Large(Wide):
    def forward(self, x):
        return x[:, :, 100, 100]

class Flat(nn.Linear):
    def __init__(self, in_features, out_shape):
        super().__init__(in_features, 64)

def pretend(parts):
    return Pretraining(parts.encoder)

PRETENDS = Method("pretends", pretend, decodes=True)
NO_METHOD = {"summary": "wrong"}
SILENT = Method("silent", pretend)

class NoLoss(Pretraining):
    def training_step(self, batch):
        return self.encoder(batch[0].float()).mean() * torch.nan

DIVERGES = Method("diverges", lambda parts: NoLoss(parts.encoder))
"""


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "encoder.name=wrong:Wide",
            "pretrain.encoder: an input of shape (8, 1, 8, 8) gives (8, 17); expected a tensor",
        ),
        ("encoder.name=wrong:NaN", "pretrain.encoder: its output has values that are no finite numbers"),
        (
            "encoder.name=wrong:Large",
            "pretrain.encoder: given an input of shape (8, 1, 8, 8), it fails",
        ),
        ("decoder.name=wrong:Flat", "pretrain.decoder: an input of shape (8, 16) gives (8, 64); expected a tensor"),
        ("method=wrong:PRETENDS", "wrong:PRETENDS made a Pretraining; expected a pipeline.models.pretraining.Recon"),
        ("method=wrong:NO_METHOD", "'wrong:NO_METHOD' is a dict; expected a pipeline.methods.Method"),
        ("method=wrong:SILENT", "method wrong:SILENT: training_step fails"),
        ("method=wrong:DIVERGES", "method wrong:DIVERGES: training_step gives nan; expected a loss"),
        ("method=nope", "pretrain.method: 'nope' is unknown; expected one of autoencoder, masked, none, vae, views"),
    ],
)
def test_what_is_not_as_promised_is_refused_before_training(
    setting: str,
    message: str,
    tiny: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert tiny("pretrain", f"--pretrain.{setting}") == 2
    assert message in capsys.readouterr().err
    monkeypatch.delitem(__import__("sys").modules, "wrong", raising=False)
