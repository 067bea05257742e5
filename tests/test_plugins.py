"""Names that an installed package adds, through the metadata of a real distribution."""

from __future__ import annotations

import itertools
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.modes import BUILT_IN
from pipeline.store.disk import read_columns
from tests.conftest import Run

MODES = ("frozen", "smooth")
PATH = "flowers_package:SMOOTH"  # the same mode, without the package's name for it

MODULE = """
import numpy as np
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline.models.classifier import Classifier
from pipeline.modes import FitConfig, Mode

def load(n=60):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8), dtype=np.uint8), np.arange(n) % 2

class Smoothed(Classifier):
    def loss(self, x, labels):
        return cross_entropy(self(x), labels, label_smoothing=0.3)

SMOOTH = Mode(True, False, "frozen, labels smoothed", classifier=f"{__name__}:Smoothed")
WRONG = {"pretrained": True}

class Thin(nn.Sequential):
    def __init__(self, in_shape, out_features):
        super().__init__(nn.Flatten(), nn.Linear(in_shape[0] * in_shape[1] * in_shape[2], out_features))
        self.out_features = out_features
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path with a package that adds a data set, an encoder, and a name that is taken."""
    (tmp_path / "flowers_package.py").write_text(MODULE)
    install(
        tmp_path,
        "flowers",
        datasets=("flowers = flowers_package:load", "digits = flowers_package:load"),
        encoders=("thin = flowers_package:Thin",),
        modes=("smooth = flowers_package:SMOOTH", "wrong = flowers_package:WRONG"),
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(
    site: Path, name: str, datasets: tuple[str, ...], encoders: tuple[str, ...] = (), modes: tuple[str, ...] = ()
) -> None:
    """What pip leaves of a distribution beside its modules."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups = {
        "pipeline.datasets": datasets,
        "pipeline.encoders": encoders,
        "pipeline.modes": modes,
    }
    lines = [line for group, entries in groups.items() for line in (f"[{group}]", *entries)]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("path", [False, True], ids=["entry point", "import path"])
def test_code_that_only_a_file_names_is_run_if_it_is_installed(
    path: bool, site: Path, tiny: Run, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Predict and reproduce keep the same rule: installing a package already runs its code."""
    encoder = "flowers_package:Thin" if path else "thin"
    assert tiny("train", "--mode=scratch", f"--pretrain.encoder.name={encoder}") == 0
    [cell] = runs.glob("tiny/cells/scratch-100-0-*")
    np.save(tmp_path / "images.npy", np.zeros((2, 8, 8), dtype=np.uint8))
    for command in (["predict", f"--images={tmp_path / 'images.npy'}"], ["reproduce"]):
        status = main([*command, f"--cell={cell}", f"--runs={runs}", f"--data.root={runs / 'raw'}"])
        assert status == (2 if path else 0), command
        assert path == (f"if you trust it, say so with --pretrain.encoder.name {encoder}" in capsys.readouterr().err)


def test_an_installed_package_adds_a_data_set_and_an_encoder(site: Path, tiny: Run, tmp_path: Path) -> None:
    settings = ("--data.dataset=flowers", "--data.args={n: 90}", f"--runs={tmp_path / 'runs'}", "--pretrain.holdout=9")
    own = ("--pretrain.encoder.name=thin", "--grid.labels=[20]")
    assert tiny("data", *settings) == 0
    assert tiny("pretrain", *settings, *own) == 0
    assert tiny("train", "--mode=finetune", "--labels=20", *settings, *own) == 0


def test_an_unknown_name_lists_what_packages_add_and_built_in_names_stay(
    site: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("data", "--data.dataset=nope", f"--runs={tmp_path / 'runs'}") == 2
    assert "csv, torchvision, huggingface, flowers, or the import path" in capsys.readouterr().err
    assert tiny("data", "--data.dataset=digits", f"--runs={tmp_path / 'runs'}") == 0
    assert "1437 training" in capsys.readouterr().out


def test_an_installed_package_adds_a_mode(
    site: Path, tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = (f"--grid.modes=[frozen,smooth,{PATH}]", "--grid.labels=[50]", "--grid.draws=1", "--grid.baselines=false")
    assert tiny("compare", *grid) == 0
    assert tiny("report", *grid) == 0
    assert "frozen, labels smoothed" in (runs / "tiny" / "report.md").read_text()
    frozen, smooth = (json.loads(next(runs.glob(f"tiny/cells/{m}-50-0-*/metrics.json")).read_text()) for m in MODES)
    by_path = json.loads(next(runs.glob("tiny/cells/flowers_package.SMOOTH-50-0-*/metrics.json")).read_text())
    assert by_path["e_out"] == smooth["e_out"]
    paired = json.loads((runs / "tiny" / "comparison.json").read_text())["paired"]
    named = {(pair["first"], pair["second"]) for pair in paired}
    assert named == set(itertools.combinations(["frozen", "smooth", PATH], 2))
    losses = [read_columns(next(runs.glob(f"tiny/cells/{mode}-50-0-*/history.csv")))["train_loss"] for mode in MODES]
    assert losses[0][0] != losses[1][0]  # the same draw, weights and batches: its loss is its own
    assert frozen["encoder_sha256"] == smooth["encoder_sha256"]
    capsys.readouterr()
    assert tiny("train", "--mode=smooth", "--labels=50", "--train.l2=[7]") == 0
    assert "kept l2 7" in capsys.readouterr().out
    assert tiny("train", "--mode=wrong", "--labels=50") == 2
    assert "mode: 'wrong' is a dict; expected a pipeline.modes.Mode" in capsys.readouterr().err
    assert tiny("train", "--mode=nope", "--labels=50") == 2
    assert (
        f"expected one of {', '.join(BUILT_IN)}, smooth, wrong, or the import path 'module:name' of your own"
        in capsys.readouterr().err
    )


def test_a_mode_that_only_a_file_names_is_run_with_the_option_that_the_message_advises(
    site: Path, tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", f"--mode={PATH}", "--labels=50") == 0
    [cell] = runs.glob("tiny/cells/flowers_package.SMOOTH-50-0-*")
    assert main(["reproduce", f"--cell={cell}", f"--data.root={runs / 'raw'}"]) == 2
    advised = capsys.readouterr().err.rsplit("say so with ", 1)[1]
    assert main(["reproduce", f"--cell={cell}", f"--data.root={runs / 'raw'}", *shlex.split(advised)]) == 0


def test_a_name_that_two_packages_add_is_refused(
    site: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "other", ("flowers = other_package:load",))
    assert tiny("data", "--data.dataset=flowers", f"--runs={tmp_path / 'runs'}") == 2
    message = capsys.readouterr().err
    assert "'flowers' is added by several packages, as flowers_package:load and other_package:load" in message
