"""Images as people have them, through the command line: what is said of them, and that predict answers alike."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.cli import main
from tests.conftest import TINY

Pixels = npt.NDArray[Any]
Say = pytest.CaptureFixture[str]

X, Y = load_digits(return_X_y=True)
DIGITS, LABELS = X[:400].reshape(-1, 8, 8).astype(np.int64), Y[:400]  # 0 to 16, which is white
TRAIN = 300

SETTINGS = [word for word in TINY if not word.startswith(("--name", "--data", "--grid"))]
SETTINGS += ["--name=own", "--grid.labels=[50]", "--grid.draws=1", "--grid.modes=[scratch]", "--grid.jobs=1"]


def run(stage: str, base: Path, *arguments: str) -> int:
    return main([stage, *SETTINGS, f"--runs={base / 'runs'}", f"--data.root={base / 'raw'}", *arguments])


def card(base: Path) -> dict[str, Any]:
    [path] = (base / "runs" / "own").glob("data-*/card.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def answers(path: Path) -> list[str]:
    with path.open() as file:
        return [row["class"] for row in csv.DictReader(file)]


# --- the scale ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classifier trained on digits from 0 to 16, of which 16 was said to be white."""
    base = tmp_path_factory.mktemp("sixteen")
    parts = {"images": DIGITS[:TRAIN], "labels": LABELS[:TRAIN]}
    parts |= {"test_images": DIGITS[TRAIN:], "test_labels": LABELS[TRAIN:]}
    np.savez(base / "x.npz", **parts)
    data = ("--data.dataset=numpy", f"--data.args.path={base / 'x.npz'}", "--data.args.white=16")
    for stage, *more in (("data",), ("train", "--mode=scratch", "--labels=50", "--seed=0")):
        assert run(stage, base, *data, *more) == 0
    return base


def cell_of(base: Path) -> Path:
    [cell] = (path for path in (base / "runs" / "own" / "cells").glob("scratch-*") if path.is_dir())
    return cell


SAME: dict[str, Callable[[Pixels], Pixels]] = {
    "whole numbers": lambda images: images,
    "bytes": lambda images: images.astype(np.uint8),
    "rows": lambda images: images.reshape(len(images), -1),
    "channels last": lambda images: images[..., None],
    "floats to 16": lambda images: images.astype(np.float32),
    "floats to 255": lambda images: images * 15.9375,
    "floats to 1": lambda images: images / 16,
}


@pytest.mark.parametrize("kind", SAME)
def test_predict_scales_as_the_training_did(kind: str, sixteen: Path, tmp_path: Path) -> None:
    cell = cell_of(sixteen)
    np.save(tmp_path / "x.npy", SAME[kind](DIGITS[TRAIN:]))
    assert main(["predict", f"--cell={cell}", f"--images={tmp_path / 'x.npy'}", f"--out={tmp_path / 'y.csv'}"]) == 0
    with np.load(cell / "predictions.npz") as predictions:
        assert answers(tmp_path / "y.csv") == [str(number) for number in predictions["test_pred"]]


def test_the_scale_is_printed_and_recorded(sixteen: Path, capsys: Say) -> None:
    data = ("--data.dataset=numpy", f"--data.args.path={sixteen / 'x.npz'}", "--data.args.white=16")
    for stage in ("data", "check-dataset"):
        assert run(stage, sixteen, *data) == 0
        said = capsys.readouterr().out
        assert "pixels 0 to 16, taken as 0 to 1 by white: 16" in said
        assert "official" in said
    assert card(sixteen)["scale"] == {
        "white": 16,
        "values": {"dtype": "int64", "low": 0, "high": 16},
        "given": True,
    }


def test_an_export_keeps_the_scale(sixteen: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    assert main(["export", f"--cell={cell_of(sixteen)}", "--onnx=false", f"--out={folder}"]) == 0
    np.save(tmp_path / "x.npy", DIGITS[TRAIN:])
    for name, cell in (("a", cell_of(sixteen)), ("b", folder)):
        out = f"--out={tmp_path / name}"
        assert main(["predict", f"--cell={cell}", f"--images={tmp_path / 'x.npy'}", out]) == 0
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert json.loads((folder / "description.json").read_text())["input"]["scale"]["white"] == 16
    assert "pixels 0 to 16, taken as 0 to 1 by white: 16" in (folder / "README.md").read_text()


def test_what_could_be_either_is_refused_until_white_is_said(sixteen: Path, tmp_path: Path, capsys: Say) -> None:
    np.save(tmp_path / "x.npy", DIGITS[TRAIN:] * 4)  # to 64
    arguments = ("predict", f"--cell={cell_of(sixteen)}", f"--images={tmp_path / 'x.npy'}")
    assert main([*arguments, f"--out={tmp_path / 'y.csv'}"]) == 2
    assert "pixels run from 0 to 64, and nothing tells which value is white" in capsys.readouterr().err
    assert not (tmp_path / "y.csv").exists()
    assert main([*arguments, f"--out={tmp_path / 'y.csv'}", "--white=64"]) == 0
    with np.load(cell_of(sixteen) / "predictions.npz") as predictions:
        assert answers(tmp_path / "y.csv") == [str(number) for number in predictions["test_pred"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: 16 - images, "the mean intensity is 1"),
        (lambda images: images // 5, "the brightest pixel is 48, that of the training images is 255"),
        (lambda images: images, None),
        (lambda images: images[:1], None),
    ],
    ids=["inverted", "dark", "alike", "one"],
)
def test_images_far_from_those_of_the_training_are_remarked(
    change: Callable[[Pixels], Pixels], said: str | None, sixteen: Path, tmp_path: Path, capsys: Say
) -> None:
    np.save(tmp_path / "x.npy", change(DIGITS[TRAIN:]))
    out = f"--out={tmp_path / 'y.csv'}"
    assert main(["predict", f"--cell={cell_of(sixteen)}", f"--images={tmp_path / 'x.npy'}", out]) == 0
    printed = capsys.readouterr().out
    assert ("that of the training images" in printed) == (said is not None)
    if said is not None:
        assert said in printed


@pytest.mark.parametrize("scaled", ["train", "test"])
def test_parts_of_different_scale_end_stage_data(scaled: str, tmp_path: Path, capsys: Say) -> None:
    train, test = (255, 1) if scaled == "test" else (1, 255)
    unit = DIGITS / 16
    images = {"images": unit[:TRAIN] * train, "test_images": unit[TRAIN:] * test}
    np.savez(tmp_path / "x.npz", **images, labels=LABELS[:TRAIN], test_labels=LABELS[TRAIN:])
    assert run("data", tmp_path, "--data.dataset=numpy", f"--data.args.path={tmp_path / 'x.npz'}") == 2
    said = capsys.readouterr().err
    assert f"test_images: pixels run from 0 to {test}, those of images from 0 to {train}" in said


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ((DIGITS > 7).astype(np.uint8), "bytes that hold 0 and 1 alone"),
        (
            np.where(DIGITS == 16, np.nextafter(1, 2), DIGITS / 16),
            "values slightly above 1 are rounding errors, and are clipped",
        ),
        (DIGITS.astype(np.uint8), "remark: the brightest pixel is 16 of 255"),
    ],
    ids=["bytes of 0 and 1", "a hair above 1", "dim bytes"],
)
def test_a_scale_that_may_surprise_is_said_by_stage_data(
    images: Pixels, said: str, tmp_path: Path, capsys: Say
) -> None:
    np.savez(tmp_path / "x.npz", images=images, labels=LABELS)
    assert run("data", tmp_path, "--data.dataset=numpy", f"--data.args.path={tmp_path / 'x.npz'}") == 0
    printed = capsys.readouterr().out
    assert said in printed
    assert "the test set was held out of the labelled images" in printed


# --- pictures -------------------------------------------------------------------------------------------------


def photographs(base: Path, count: int = 80) -> Path:
    """Bright above or on the left, half of them lying on their side with a note of the camera, of four formats."""
    generator = np.random.default_rng(0)
    for number in range(count):
        pixels = generator.integers(0, 90, (16, 16, 3))
        label = ("top", "left")[number % 2]
        half = np.s_[:8] if label == "top" else np.s_[:, :8]
        pixels[half] += 150
        image, exif = Image.fromarray(pixels.astype(np.uint8)), Image.Exif()
        if number % 4 < 2:
            image, exif[0x0112] = image.rotate(90, expand=True), 6
        (base / label).mkdir(parents=True, exist_ok=True)
        ending = ("jpg", "png", "webp", "tif")[number // 4 % 4]
        image.save(base / label / f"{number:03}.{ending}", exif=exif, quality=95)
    return base


def test_photographs_are_seen_upright_and_all_of_them_by_predict(tmp_path: Path, capsys: Say) -> None:
    base = photographs(tmp_path / "photos")
    (base / "top" / "notes.doc").write_bytes(b"no picture")
    data = ("--data.dataset=folder", f"--data.args.path={base}")
    for stage, *more in (("data",), ("train", "--mode=scratch", "--labels=50", "--seed=0", "--train.length=20")):
        assert run(stage, tmp_path, *data, *more) == 0
    capsys.readouterr()
    out = tmp_path / "y.csv"
    assert main(["predict", f"--cell={cell_of(tmp_path)}", f"--images={base / 'top'}", f"--out={out}"]) == 0
    assert answers(out) == ["top"] * 40
    printed = capsys.readouterr()
    assert "1 files of other kinds were ignored: 1 .doc" in printed.out
    assert printed.err == ""  # no warning of a library


def test_transparency_is_said_by_every_stage_that_shows_the_data(tmp_path: Path, capsys: Say) -> None:
    for number in range(120):
        alpha = (DIGITS[number] * 15.9).astype(np.uint8)
        (tmp_path / "x" / str(LABELS[number] % 2)).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.dstack([np.zeros((8, 8, 3), np.uint8), alpha]))
        image.save(tmp_path / "x" / str(LABELS[number] % 2) / f"{number}.png")
    data = ("--data.dataset=folder", f"--data.args.path={tmp_path / 'x'}", "--grid.baselines=false")
    for stage in ("check-dataset", "data", "compare"):
        assert run(stage, tmp_path, *data) == 0
        assert "120 of 120 pictures can be transparent (they have an alpha channel)" in capsys.readouterr().out
    assert card(tmp_path)["brightness"]["low"] < 5  # the ink, on
    assert card(tmp_path)["brightness"]["high"] == 255  # white
    assert card(tmp_path)["decoding"] == {"background": None, "white": 65535, "resized": False}


def test_predict_lays_on_the_colour_of_the_training(tmp_path: Path) -> None:
    for number in range(80):
        alpha = (DIGITS[number] * 15.9).astype(np.uint8)
        (tmp_path / "x" / str(LABELS[number] % 2)).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.dstack([np.full((8, 8, 3), 255, np.uint8), alpha]))
        image.save(tmp_path / "x" / str(LABELS[number] % 2) / f"{number:02}.png")
    data = ("--data.dataset=folder", f"--data.args.path={tmp_path / 'x'}", "--data.args.background=navy")
    for stage, *more in (("data",), ("train", "--mode=scratch", "--labels=40", "--seed=0")):
        assert run(stage, tmp_path, *data, *more, "--grid.labels=[40]") == 0
    out = tmp_path / "y.csv"
    assert main(["predict", f"--cell={cell_of(tmp_path)}", f"--images={tmp_path / 'x'}", f"--out={out}"]) == 0
    shutil.rmtree(tmp_path / "x")
    for number in range(80):  # the same without transparency
        alpha = (DIGITS[number] * 15.9).astype(np.uint8)[..., None] / 255
        (tmp_path / "x" / str(LABELS[number] % 2)).mkdir(parents=True, exist_ok=True)
        pixels = np.rint(255 * alpha + np.array([0, 0, 128]) * (1 - alpha)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "x" / str(LABELS[number] % 2) / f"{number:02}.png")
    flat = tmp_path / "z.csv"
    assert main(["predict", f"--cell={cell_of(tmp_path)}", f"--images={tmp_path / 'x'}", f"--out={flat}"]) == 0
    assert np.mean(np.array(answers(out)) == np.array(answers(flat))) > 0.95  # rounding aside


def test_broken_pictures_are_named_or_left_out_and_recorded(tmp_path: Path, capsys: Say) -> None:
    base = photographs(tmp_path / "photos")
    for name in ("a.jpg", "b.png"):
        (base / "top" / name).write_bytes(b"no picture")
    data = ("--data.dataset=folder", f"--data.args.path={base}")
    assert run("data", tmp_path, *data) == 2
    said = capsys.readouterr().err
    assert "2 of 82 files cannot be read as a picture" in said
    assert "a.jpg" in said
    assert "b.png" in said
    skipping = (*data, "--data.args.skip_broken=true")
    for stage, *more in (("data",), ("train", "--mode=scratch", "--labels=50", "--seed=0")):
        assert run(stage, tmp_path, *skipping, *more) == 0
    assert "remark: 2 pictures that cannot be read were left out: " in capsys.readouterr().out
    assert any("2 pictures that cannot be read were left out" in remark for remark in card(tmp_path)["remarks"])
    arguments = ("predict", f"--cell={cell_of(tmp_path)}", f"--images={base}", f"--out={tmp_path / 'y.csv'}")
    assert main(list(arguments)) == 2
    assert "2 of 82 files cannot be read as a picture" in capsys.readouterr().err
    assert main([*arguments, "--skip-broken=true"]) == 0
    assert len(answers(tmp_path / "y.csv")) == 80


# --- words ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grid: {labels: 5}", "grid.labels: 5 is not allowed; expected a list, such as [a, b]"),
        ("grid: {modes: frozen}", "grid.modes: frozen is not allowed; expected a list"),
        ("data: {args: photos}", "data.args: photos is not allowed; expected fields, such as {path: photos}"),
        ("data: {args: null}", "data.args: None is not allowed; expected arguments, such as {path: photos}"),
        ("pretrain: {encoder: null}", "a section is empty: leave it out or fill it"),
        ("", "there is no setting in it; expected such as"),
        ("- a\n- b", "there is no setting in it; expected such as"),
        ("name: \udcff", "it is no text in UTF-8"),
    ],
)
def test_settings_that_are_wrong_are_refused_in_plain_words(text: str, said: str, tmp_path: Path, capsys: Say) -> None:
    (tmp_path / "x.yaml").write_bytes(text.encode(errors="surrogateescape"))
    status: Any = None
    try:
        status = main(["data", f"--config={tmp_path / 'x.yaml'}"])
    except SystemExit as error:  # what the argument parser refuses
        status = error.code
    assert status == 2
    printed = capsys.readouterr().err
    assert said in printed
    for leak in ("<class", "NoneType", "Parser key", "functools", "codec", "Traceback"):
        assert leak not in printed


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Say) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "x.npz", images=DIGITS * 15, labels=LABELS)
    (tmp_path / "x.yaml").write_text(
        "name: t\nruns: ~/mine\ndata: {dataset: numpy, root: ~/raw, args: {path: ~/x.npz}}\n"
    )
    assert main(["data", "--config=~/x.yaml"]) == 0
    assert (tmp_path / "mine" / "t").is_dir()
    assert main(["data", "--config", "~/x.yaml", "--runs=~/other"]) == 0
    assert (tmp_path / "other" / "t").is_dir()
    assert main(["predict", "--cell=~/nowhere", "--images=~/x.npz"]) == 2
    assert f"{tmp_path / 'nowhere'}" in capsys.readouterr().err
