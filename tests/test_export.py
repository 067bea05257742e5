"""Stage export through the command line: a folder that is enough by itself, and an ONNX file that says the same."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from pipeline import extras
from pipeline.artefacts import classifier
from pipeline.cli import main
from pipeline.config import DataConfig, Experiment
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.loading import load
from pipeline.evaluation.statistics import clopper_pearson
from pipeline.models.deployed import Deployed
from pipeline.report.formats import percent
from pipeline.store import disk
from tests.conftest import TINY, Run, in_both_precisions

pytestmark = pytest.mark.compared

needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in extras.EXTRAS["onnx"]),
    reason="the extra [onnx] is not installed",
)


def cell(runs: Path, name: str) -> Path:
    [found] = (runs / "tiny" / "cells").glob(f"{name}-*")
    return found


def exported(runs: Path, name: str) -> Path:
    [found] = (runs / "tiny").glob(f"export-{name}-*")
    return found


def stored(folder: Path) -> npt.NDArray[np.int64]:
    with np.load(folder / "predictions.npz", allow_pickle=False) as predictions:
        found: npt.NDArray[np.int64] = predictions["test_pred"]
        return found


@needs_onnx
@in_both_precisions
@pytest.mark.parametrize("mode", ["frozen", "scratch"])
def test_the_onnx_file_alone_gives_the_stored_predictions_from_uint8_images(mode: str, runs: Path, tiny: Run) -> None:
    import onnxruntime

    assert tiny("export", f"--mode={mode}", "--labels=100", "--seed=0") == 0
    folder = exported(runs, f"{mode}-100-0")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    [images] = session.get_inputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 1, 8, 8])
    test = load(DataConfig("digits")).test.images.numpy()
    logits, probabilities, _ = session.run(None, {"images": test})
    np.testing.assert_array_equal(logits.argmax(1), stored(cell(runs, f"{mode}-100-0")))
    temperature = json.loads((cell(runs, f"{mode}-100-0") / "metrics.json").read_text())["temperature"]
    exponents = np.exp(logits / temperature)
    np.testing.assert_allclose(probabilities, exponents / exponents.sum(1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(session.run(None, {"images": test[7:8]})[0], logits[7:8], atol=1e-4)
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["classes"]) == list("0123456789")
    assert str(Path(classifier.__file__).parent.parent).encode() not in (folder / "model.onnx").read_bytes()


def test_an_export_is_rebuilt_from_its_folder_alone(runs: Path, tiny: Run, tmp_path: Path) -> None:
    name = "finetune-100-1"
    away = tmp_path / "away" / "model"
    assert tiny("export", f"--cell={cell(runs, name)}", "--onnx=false", f"--out={away}") == 0
    expected = stored(cell(runs, name))
    shutil.rmtree(runs)
    assert {path.name for path in away.iterdir()} == {
        "README.md",
        "description.json",
        "manifest.json",
        "training_sample.safetensors",
        "weights.safetensors",
    }
    np.save(tmp_path / "test.npy", load(DataConfig("digits")).test.images.numpy())
    assert main(["predict", f"--cell={away}", f"--images={tmp_path / 'test.npy'}"]) == 0
    [table] = (tmp_path / "away" / "predictions").iterdir()
    classes = [line.split(",")[1] for line in table.read_text().splitlines()[1:]]
    assert classes == [str(number) for number in expected]


def test_a_finished_export_is_recognised_and_a_changed_one_refused(
    runs: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (f"--cell={cell(runs, 'frozen-100-0')}", "--onnx=false")
    assert tiny("export", *arguments, f"--out={tmp_path / 'mine'}") == 0
    folder = exported(runs, "frozen-100-0")
    made = (folder / "manifest.json").stat().st_mtime_ns
    assert tiny("export", *arguments, f"--out={tmp_path / 'mine'}") == 0
    assert (folder / "manifest.json").stat().st_mtime_ns == made
    (tmp_path / "taken").mkdir()
    assert tiny("export", *arguments, f"--out={tmp_path / 'taken'}") == 2
    assert "taken exists already; name a folder that does not" in capsys.readouterr().err
    assert tiny("export", f"--cell={folder}", "--onnx=false") == 2
    assert "is an export already" in capsys.readouterr().err
    weights = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    assert tiny("predict", f"--cell={folder}", "--images=x.npy") == 2
    assert "weights.safetensors is not the file that was written" in capsys.readouterr().err


def test_the_card_tells_the_numbers_of_the_run(runs: Path, tiny: Run) -> None:
    name = "frozen-100-0"
    assert tiny("export", f"--cell={cell(runs, name)}", "--onnx=false") == 0
    card = (exported(runs, name) / "README.md").read_text()
    e_out = json.loads((cell(runs, name) / "metrics.json").read_text())["e_out"]
    limits = " to ".join(percent(limit) for limit in clopper_pearson(e_out["errors"], e_out["n"]))
    assert f"| E_out | {e_out['errors']} of 360 | {percent(e_out['error'])} | {limits} |" in card
    comparison = json.loads((runs / "tiny" / "comparison.json").read_text())
    [summary] = [row for row in comparison["summary"] if (row["mode"], row["labels"]) == ("frozen", 100)]
    half = percent(summary["e_out"]["high"] - summary["e_out"]["mean"])
    assert f"E_out {percent(summary['e_out']['mean'])} ± {half} %" in card
    assert "of which 80 were trained on and 20 decided when to stop" in card
    assert "onnx" not in card


def test_a_cell_outside_any_comparison_gets_a_card_that_says_so(runs: Path, tiny: Run) -> None:
    assert tiny("train", "--mode=frozen", "--labels=60") == 0
    assert tiny("export", "--mode=frozen", "--labels=60", "--seed=0", "--onnx=false") == 0
    assert "No comparison over several draws" in (exported(runs, "frozen-60-0") / "README.md").read_text()


# --- hostile class names --------------------------------------------------------------------------------------

HOSTILE = ("<script>alert(1)</script>", "a | b # c", "`*x*`", "[x](y)", *"456789")


def hostile_digits(root: Path) -> tuple[ImageData, ImageData]:
    digits = load(DataConfig("digits"))
    return tuple(ImageData(part.images, part.labels, HOSTILE) for part in (digits.train, digits.test))  # type: ignore[return-value]


def test_class_names_are_escaped_in_the_card_and_exact_in_the_description(tmp_path: Path) -> None:
    arguments = [*TINY, f"--runs={tmp_path}", "--data.dataset=tests.test_export:hostile_digits"]
    assert main(["data", *arguments]) == 0
    assert main(["train", *arguments, "--mode=scratch", "--labels=50"]) == 0
    assert main(["export", *arguments, "--mode=scratch", "--labels=50", "--seed=0", "--onnx=false"]) == 0
    folder = exported(tmp_path, "scratch-50-0")
    card = (folder / "README.md").read_text()
    assert "<script" not in card
    assert r"a \| b # c, \`\*x\*\`, \[x\](y), 4" in card
    assert json.loads((folder / "description.json").read_text())["classes"] == list(HOSTILE)


# --- ONNX that cannot be had ----------------------------------------------------------------------------------


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == "onnxruntime" else importlib.util.find_spec(name)
    )
    assert tiny("export", "--mode=frozen", "--labels=100", "--seed=0") == 2
    message = capsys.readouterr().err
    assert "an ONNX file needs onnxruntime; run `python -m pip install" in message
    assert "-e '.[onnx]'`" in message


@needs_onnx
def test_a_file_that_computes_something_else_is_refused(runs: Path, tmp_path: Path) -> None:
    from pipeline.artefacts import onnx_file
    from pipeline.errors import PipelineError

    folder = cell(runs, "frozen-100-0")
    description = classifier.describe(folder)
    model = classifier.restore(Experiment(), folder, description)
    deviation = onnx_file.save(model, (1, 8, 8), {"classes": description["classes"]}, tmp_path / "model.onnx")
    assert deviation < 1e-4
    with torch.no_grad():
        next(model.head.parameters())[0, 0] += 0.01
    with pytest.raises(PipelineError, match=r"its logits deviate from the classifier's by .* on 1 images"):
        onnx_file.compare(model, (1, 8, 8), tmp_path / "model.onnx")


class DependsOnTheBatch(nn.Module):
    """Stands for what an exporter fixes to the size that it saw."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) * (1.0 if len(x) < 200 else 2.0)


@needs_onnx
def test_a_network_that_cannot_be_written_for_every_batch_is_refused(tmp_path: Path) -> None:
    from pipeline.artefacts import onnx_file
    from pipeline.errors import PipelineError

    with pytest.raises(PipelineError, match=r"--onnx false"):
        onnx_file.save(Deployed(DependsOnTheBatch(), nn.Linear(64, 2)).eval(), (1, 8, 8), {}, tmp_path / "m.onnx")


def test_an_interrupted_export_leaves_no_folder(runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {path.name for path in (runs / "tiny").iterdir() if not path.name.endswith(".lock")}
    monkeypatch.setattr(disk, "write_json", interrupt)
    assert tiny("export", f"--cell={cell(runs, 'frozen-100-0')}", "--onnx=false") == 130
    assert {path.name for path in (runs / "tiny").iterdir() if not path.name.endswith(".lock")} == before
