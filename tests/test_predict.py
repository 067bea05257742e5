"""Stage predict through the command line: what it says of images, and what it says of wrong ones."""

from __future__ import annotations

import csv
import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from pipeline.cli import main
from pipeline.config import DataConfig
from pipeline.datasets.loading import load
from pipeline.datasets.new_images import Reading, open_images
from pipeline.datasets.readers.mnist import ARCHIVES
from pipeline.errors import PipelineError
from pipeline.store.sealed import seal
from tests.conftest import Run, in_both_precisions, tiny_arguments

pytestmark = pytest.mark.compared

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def test_images() -> Pixels:
    """Digits' test images, (360, 1, 8, 8)."""
    images: Pixels = load(DataConfig("digits")).test.images.numpy()
    return images


@pytest.fixture
def predict(runs: Path, precision: str, tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Classify through the command line and read what it wrote."""

    def run(images: Path, *extra: str) -> list[dict[str, str]]:
        out = tmp_path / "out.csv"
        settings = ("--grid.baselines=false", f"--runtime.precision={precision}")
        arguments = (*settings, f"--images={images}", f"--out={out}", *extra)
        assert main(tiny_arguments(runs, "predict", arguments)) == 0
        return rows(out)

    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def cell(runs: Path, name: str) -> Path:
    [found] = (runs / "tiny" / "cells").glob(f"{name}-*")
    return found


def stored(folder: Path) -> list[str]:
    with np.load(folder / "predictions.npz", allow_pickle=False) as predictions:
        return [str(number) for number in predictions["test_pred"]]


def save_pictures(folder: Path, images: Pixels, suffix: str = ".png") -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(folder / f"{number:04}{suffix}")
    return folder


def save_idx(path: Path, images: npt.NDArray[Any]) -> Path:
    header = struct.pack(f">BBBB{images.ndim}I", 0, 0, 8, images.ndim, *images.shape)
    content = header + images.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


# --- the same answers as the cell's own -----------------------------------------------------------------------


@in_both_precisions
@pytest.mark.parametrize("mode", ["frozen", "finetune", "scratch"])
def test_predictions_on_the_test_images_are_the_ones_that_the_cell_stored(
    mode: str, runs: Path, predict: Callable[..., list[dict[str, str]]], test_images: Pixels, tmp_path: Path
) -> None:
    np.save(tmp_path / "test.npy", test_images)
    said = predict(tmp_path / "test.npy", f"--mode={mode}", "--labels=100", "--seed=1")
    assert [row["class"] for row in said] == stored(cell(runs, f"{mode}-100-1"))
    assert [row["index"] for row in said] == [str(number) for number in range(360)]
    probabilities = np.array([[float(row[f"p_{name}"]) for name in range(10)] for row in said])
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert probabilities.argmax(1).tolist() == [int(row["class"]) for row in said]


def test_every_kind_of_file_holds_the_same_images(test_images: Pixels, tmp_path: Path) -> None:
    images = test_images[:50]
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "grey.npy", images[:, 0].astype(np.int64))
    np.save(tmp_path / "floats.npy", images.astype(np.float64) / 255)
    np.savez(tmp_path / "one.npz", anything=images)
    np.savez_compressed(tmp_path / "two.npz", labels=np.zeros(50), images=images)
    files = [tmp_path / name for name in ("a.npy", "grey.npy", "floats.npy", "one.npz", "two.npz")]
    files += [save_idx(tmp_path / "idx3-ubyte", images[:, 0]), save_idx(tmp_path / "idx4-ubyte.gz", images)]
    files += [save_pictures(tmp_path / "pictures", images)]
    for file in files:
        found = open_images(file, Reading((1, 8, 8)))
        assert len(found.names) == 50
        for start, stop in ((0, 7), (40, 60)):
            expected = torch.from_numpy(images[start:stop])
            batch = found.read(start, stop)
            assert torch.equal(batch, expected if batch.dtype == torch.uint8 else expected.float() / 255), file


def test_pictures_in_folders_are_named_and_classified_like_an_array(
    predict: Callable[..., list[dict[str, str]]], test_images: Pixels, tmp_path: Path
) -> None:
    np.save(tmp_path / "test.npy", test_images[:50])
    (tmp_path / "mine").mkdir()
    save_pictures(tmp_path / "mine" / "pictures", test_images[:50])
    (tmp_path / "mine" / "notes.txt").write_text("no picture")
    expected, said = predict(tmp_path / "test.npy"), predict(tmp_path / "mine")
    assert [row.pop("file") for row in said] == [f"pictures/{number:04}.png" for number in range(50)]
    assert said == [{name: value for name, value in row.items() if name != "index"} for row in expected]


def test_mnist_read_from_its_gzipped_archive_is_classified_as_the_cell_did(tmp_path: Path) -> None:
    common = (f"--runs={tmp_path}", f"--data.root={tmp_path / 'raw'}")
    short = ("--train.length=1", "--pretrain.encoder.widths=[8,8]", "--pretrain.encoder.hidden=[]")
    assert main(["data", *common]) == 0
    assert main(["train", "--mode=scratch", *common, *short]) == 0
    archive = ARCHIVES / "t10k-images-idx3-ubyte.gz"
    [folder] = (tmp_path / "mnist").glob("cells/scratch-*")
    assert main(["predict", f"--cell={folder}", f"--images={archive}", f"--runs={tmp_path}"]) == 0
    [table] = (tmp_path / "mnist" / "predictions").glob("*.csv")
    assert [row["class"] for row in rows(table)] == stored(folder)


# --- which classifier -----------------------------------------------------------------------------------------


def test_the_best_is_chosen_by_validation_among_the_cells_of_the_largest_budget(
    runs: Path, tiny: Run, test_images: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "test.npy", test_images)
    cells = {folder: json.loads((folder / "metrics.json").read_text()) for folder in runs.glob("tiny/cells/*-100-*/")}
    assert len(cells) == 6
    best = min(cells, key=lambda folder: (cells[folder]["e_val"]["error"], cells[folder]["e_val"]["loss"]))
    arguments = ("--grid.baselines=false", f"--images={tmp_path / 'test.npy'}")
    assert tiny("predict", *arguments) == 0
    assert f"the best by validation at 100 labels: {best}" in capsys.readouterr().out
    assert [row["class"] for row in rows(runs / "tiny" / "predictions" / f"test.npy-{best.name}.csv")] == stored(best)
    assert tiny("predict", *arguments, "--mode=scratch", "--labels=50") == 0
    assert "the best by validation at 50 labels" in capsys.readouterr().out


def test_a_comparison_by_other_code_is_told_from_one_with_other_settings(
    runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.store.provenance.source_sha256", lambda: "other")
    assert tiny("predict", "--grid.baselines=false", "--images=x.npy") == 2
    message = "comparison.json was made before the pipeline's own code changed; run `python -m pipeline compare`"
    assert message in capsys.readouterr().err
    path = runs / "tiny" / "comparison.json"
    older = {name: value for name, value in json.loads(path.read_text()).items() if name not in ("source", "sha256")}
    path.write_text(json.dumps(seal(older)))
    assert tiny("predict", "--grid.baselines=false", "--images=x.npy") == 2
    assert message in capsys.readouterr().err


def test_a_cell_is_rebuilt_from_its_folder_whatever_the_settings_say(
    runs: Path, predict: Callable[..., list[dict[str, str]]], test_images: Pixels, tmp_path: Path
) -> None:
    np.save(tmp_path / "test.npy", test_images)
    folder = cell(runs, "frozen-50-0")
    said = predict(tmp_path / "test.npy", f"--cell={folder}", "--pretrain.latent=99", "--train.head_widths=[7]")
    assert [row["class"] for row in said] == stored(folder)


def test_a_changed_byte_in_any_artefact_that_is_read_is_noticed(
    runs: Path, tiny: Run, test_images: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "test.npy", test_images)
    folder = cell(runs, "frozen-50-0")
    [card], [encoder] = runs.glob("tiny/data-*/card.json"), runs.glob("tiny/pretrain-*/backbone.safetensors")
    for path in (folder / "weights.safetensors", card, encoder):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert tiny("predict", f"--cell={folder}", f"--images={tmp_path / 'test.npy'}") == 2
        assert f"{path} is not the file that was written" in capsys.readouterr().err
        path.write_bytes(whole)
    assert not (runs / "tiny" / "predictions").exists()


def test_an_encoder_of_the_users_own_is_built_only_if_the_settings_name_it(
    runs: Path, tiny: Run, test_images: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "test.npy", test_images)
    own = ("--pretrain.encoder.name=pipeline.models.encoders:MLPEncoder",)
    small = ("--pretrain.encoder.args={widths: [9]}", "--mode=scratch", "--labels=50", "--seed=0")
    assert tiny("train", *own, *small) == 0
    folder = max(runs.glob("tiny/cells/scratch-50-0-*"), key=lambda path: path.stat().st_mtime)
    arguments = (f"--cell={folder}", f"--images={tmp_path / 'test.npy'}")
    assert tiny("predict", *arguments) == 2
    assert f"if you trust it, say so with {own[0].replace('=', ' ')}" in capsys.readouterr().err
    assert tiny("predict", *arguments, *own) == 0


# --- wrong images ---------------------------------------------------------------------------------------------


def array(images: npt.NDArray[Any]) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        np.save(folder / "array.npy", images)
        return folder / "array.npy"

    return save


def picture(image: Image.Image) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        image.save(folder / "picture.png")
        return folder / "picture.png"

    return save


def tiff(image: Image.Image) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        image.save(folder / "picture.tif")
        return folder / "picture.tif"

    return save


def content(name: str, written: bytes) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        (folder / name).write_bytes(written)
        return folder / name

    return save


def truncated_among_others(folder: Path) -> Path:
    pictures = save_pictures(folder / "pictures", np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), np.uint8))
    whole = (pictures / "0001.png").read_bytes()
    (pictures / "0001.png").write_bytes(whole[: len(whole) // 2])
    return pictures


def two_arrays(folder: Path) -> Path:
    np.savez(folder / "two.npz", a=np.zeros(1), b=np.zeros(1))
    return folder / "two.npz"


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


GREY = Image.new("L", (8, 8))

WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (lambda folder: folder / "nowhere", "nowhere does not exist; name a folder"),
    "an empty folder": (empty, "holds no picture; name a folder of pictures"),
    "a truncated picture": (truncated_among_others, "1 of 3 files cannot be read as a picture; repair them"),
    "a text called png": (
        content("a.png", b"no picture"),
        "a.png cannot be read as a picture: its content is none of PNG, JPEG, BMP",
    ),
    "a text": (content("a.txt", b"no picture"), "a.txt: its first line has a single column; expected"),
    "a word processor's": (
        content("a.doc", b"no picture"),
        "a.doc is no IDX file; name a folder of pictures, a picture",
    ),
    "floats": (tiff(Image.fromarray(np.zeros((8, 8), np.float32))), "its pixels are floating-point numbers; convert"),
    "12 of 16 bits": (
        picture(Image.fromarray(np.full((8, 8), 3951, np.uint16))),
        "16 bits, but the brightest of 1 such pictures is 3951 of 65535; say which value is white with --white, such "
        "as 4095, or 65535 if they are that dark",
    ),
    "colour": (
        picture(GREY.convert("RGB")),
        "8 x 8 pixels of 3 channels, the classifier takes 8 x 8 pixels of 1 channel; convert",
    ),
    "idx labels": (content("a", b"\0\0\x08\x01\0\0\0\x01\0"), "IDX file of labels; name the one of images"),
    "idx cut short": (
        content("a", b"\0\0\x08\x03\0\0\0\x02\0\0\0\x08\0\0\0\x08\0"),
        "has 17 bytes, its header says 144",
    ),
    "idx header cut short": (content("a", b"\0\0\x08\x03\0\0"), "has 6 bytes, its header says 16"),
    "gzip cut short": (content("a.gz", gzip.compress(bytes(100))[:-10]), "cannot be read"),
    "two arrays": (two_arrays, "holds a, b; name the array of images `images`"),
    "broken npz": (content("a.npz", b"PK\x03\x04 and no more"), "is no .npz archive"),
    "objects": (array(np.array([{"no": "code"}], dtype=object)), "holds Python objects, which are not read"),
    "another size": (
        array(np.zeros((2, 1, 9, 9), np.uint8)),
        "9 x 9 pixels of 1 channel, the classifier takes 8 x 8 pixels of 1 channel; convert",
    ),
    "floats to 383": (
        array(np.arange(384, dtype=np.float32).reshape(6, 1, 8, 8)),
        "pixels run from 0 to 383; expected 0 (black) to 255 (white). Scale them, or say which value is white "
        "with --white",
    ),
    "not a number": (array(np.full((2, 1, 8, 8), np.nan)), "2 of 2 hold NaN or infinite pixels"),
    "negative": (array(np.full((2, 1, 8, 8), -1)), "run from -1 to -1"),
    "words": (array(np.full((2, 1, 8, 8), "a")), "got an array of <U1; expected images of one size as numbers"),
    "rows of another length": (
        array(np.full((2, 60), 200, np.uint8)),
        "rows of 60 numbers are no images of 8 x 8 pixels of 1 channel, which the classifier takes; expected 64",
    ),
    "a vector": (array(np.zeros(8)), "an array of shape (8,)"),
    "no image": (array(np.zeros((0, 1, 8, 8), np.uint8)), "at least one image"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_images_get_one_message_and_nothing_is_written(
    kind: str, compared_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, message = WRONG[kind]
    path = spoil(tmp_path)
    arguments = (f"--cell={cell(compared_runs, 'frozen-50-0')}", f"--images={path}", f"--out={tmp_path / 'out.csv'}")
    assert main(["predict", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("*out.csv*"))


def test_pictures_of_12_bits_are_classified_once_white_is_named(
    predict: Callable[..., list[dict[str, str]]], test_images: Pixels, tmp_path: Path
) -> None:
    plain, deep = save_pictures(tmp_path / "plain", test_images[:20]), tmp_path / "deep"
    deep.mkdir()
    for number, image in enumerate(test_images[:20, 0].astype(np.uint16) * 16):
        Image.fromarray(image).save(deep / f"{number:04}.png")
    said, expected = predict(deep, "--white=4080"), predict(plain)
    assert said == expected


def test_an_array_of_one_image_is_classified(
    predict: Callable[..., list[dict[str, str]]], test_images: Pixels, tmp_path: Path
) -> None:
    np.save(tmp_path / "one.npy", test_images[7, 0])
    np.save(tmp_path / "stack.npy", test_images[7:8])
    assert predict(tmp_path / "one.npy") == predict(tmp_path / "stack.npy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "images: none are named; name them: `python -m pipeline predict --images PATH`"),
        (("--images=x.npy", "--mode=frozen", "--labels=51", "--seed=0"), "run `python -m pipeline train --mode frozen"),
        (("--images=x.npy", "--labels=51"), "it has the modes frozen, finetune, scratch, the budgets 50, 100"),
        (("--images=x.npy", "--mode=nope"), "it has the modes frozen, finetune, scratch"),
        (
            ("--images=x.npy", "--grid.draws=5"),
            "was made with other settings or of other data; run `python -m pipeline",
        ),
        (("--images=x.npy", "--cell=nowhere"), "name the folder of a trained cell"),
        (("--images=x.npy", "--cell=nowhere", "--seed=0"), "leave out mode, labels and seed"),
    ],
)
def test_a_classifier_that_is_not_there_is_said_to_be_missing(
    arguments: tuple[str, ...], message: str, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("predict", "--grid.baselines=false", *arguments) == 2
    assert message in capsys.readouterr().err


# --- resizing -------------------------------------------------------------------------------------------------


def test_resized_images_are_scaled_and_converted(
    predict: Callable[..., list[dict[str, str]]], test_images: Pixels, tmp_path: Path
) -> None:
    """Digits three times as large, in colour, are read as the digits they were."""
    images = test_images[:100]
    np.save(tmp_path / "plain.npy", images)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0]).resize((24, 24), Image.Resampling.NEAREST).convert("RGBA").save(
            folder / f"{number:04}.png"
        )
    expected, said = predict(tmp_path / "plain.npy"), predict(folder, "--resize=true")
    same = [row["class"] == other["class"] for row, other in zip(said, expected, strict=True)]
    assert np.mean(same) > 0.7


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(4, 9), st.integers(4, 9))),
    st.tuples(st.sampled_from([1, 3]), st.integers(4, 9), st.integers(4, 9)),
)
def test_resizing_gives_the_shape_asked_for_and_stays_within_the_range_of_the_pixels(
    tmp_path_factory: pytest.TempPathFactory, images: Pixels, shape: tuple[int, int, int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.npy"
    images[0, 0, 0, 0] = 255  # so that none are taken for black and white
    np.save(path, images)
    fitted = open_images(path, Reading(shape, resize=True)).read(0, len(images))
    assert fitted.shape == (len(images), *shape)
    assert fitted.dtype == torch.float32
    assert float(fitted.min()) >= images.min() / 255 - 1e-3
    assert float(fitted.max()) <= images.max() / 255 + 1e-3
    if images.shape[1:] == shape:
        assert torch.equal(fitted, torch.from_numpy(images).float() / 255)


def test_two_channels_have_no_rule(tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.zeros((2, 2, 8, 8), np.uint8))
    with pytest.raises(PipelineError, match=r"an array of shape \(2, 2, 8, 8\); expected"):
        open_images(tmp_path / "two.npy", Reading((1, 8, 8), resize=True))


def test_what_is_read_and_what_is_no_table_of_predictions_is_not_written_over(
    runs: Path, test_images: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = save_pictures(tmp_path / "pictures", test_images[:3])
    sample, labels, mine = (tmp_path / name for name in ("sample.csv", "labels.csv", "mine.csv"))
    sample.write_text("Id,Label\n0000,0\n0001,0\n0002,0\n")
    labels.write_text("Id,Label\n7,0\n8,0\n9,0\n")
    mine.touch()  # as mktemp leaves it
    best = ("--grid.baselines=false", f"--images={pictures}")

    def said(out: Path, *extra: str) -> str:
        before = out.read_bytes()
        status = main(tiny_arguments(runs, "predict", (*best, f"--out={out}", *extra)))
        assert (out.read_bytes() == before) == (status == 2)
        return capsys.readouterr().err

    refused = "exists and is not a table of predictions; name another place, or remove it"
    assert f"out: {pictures / '0001.png'} {refused}" in said(pictures / "0001.png")
    assert f"out: {sample} is read by this command" in said(sample, f"--submission={sample}")
    assert f"out: {labels} {refused}" in said(labels, f"--submission={sample}")
    assert said(mine, f"--submission={sample}") == ""
    mine.write_text(mine.read_text().replace(",", ", "))
    assert f"out: {mine} {refused}" in said(mine, f"--submission={sample}")
    mine.write_text("file,class,unlike_training\n")
    assert said(mine) == ""


# --- a competition's sample submission ------------------------------------------------------------------------


def test_a_table_without_labels_becomes_a_file_like_the_sample_submission(
    predict: Callable[..., list[dict[str, str]]], test_images: Pixels, tmp_path: Path
) -> None:
    pixels = test_images[:30].reshape(30, -1)
    names = ",".join(f"pixel{number}" for number in range(64))
    np.savetxt(tmp_path / "test.csv", pixels, "%d", ",", header=names, comments="")
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("ImageId,Label\n" + "".join(f"{number},0\n" for number in range(1, 31)))
    expected = predict(tmp_path / "test.csv")
    said = predict(tmp_path / "test.csv", f"--submission={sample}")
    assert said == [{"ImageId": str(int(row["index"]) + 1), "Label": row["class"]} for row in expected]


def test_pictures_are_written_in_the_order_of_the_sample_with_a_probability_for_each_class(
    predict: Callable[..., list[dict[str, str]]],
    test_images: Pixels,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = save_pictures(tmp_path / "pictures", test_images[:6])
    expected = {row["file"]: row for row in predict(folder)}
    sample = tmp_path / "sample.csv"
    columns = [str(number) for number in reversed(range(10))]
    sample.write_text(f"id,{','.join(columns)}\n0004{',0.1' * 10}\n0002{',0.1' * 10}\n")
    said = predict(folder, f"--submission={sample}")
    assert [row["id"] for row in said] == ["0004", "0002"]
    assert list(said[0]) == ["id", *columns]
    for row in said:
        assert all(row[column] == expected[f"{row['id']}.png"][f"p_{column}"] for column in columns)
    assert "4 images are in no row of" in capsys.readouterr().out


def test_a_sample_whose_value_is_no_class_gets_a_remark(
    predict: Callable[..., list[dict[str, str]]],
    test_images: Pixels,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = save_pictures(tmp_path / "pictures", test_images[:2])
    (tmp_path / "sample.csv").write_text("id,label\n0000,0.5\n0001,0.5\n")
    predict(folder, f"--submission={tmp_path / 'sample.csv'}")
    assert "the sample has label '0.5', which is none of the classes written: 0, 1, 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ImageId,Label\n1,0\n2,0\n", "has 2 rows, from '1' to '2'; the images are 3, from '0' to '2'"),
        ("ImageId,Label\n7,0\n8,0\n9,0\n", "or counts them from 0 or 1"),
        ("id,cat,dog\n0,1,0\n1,1,0\n2,1,0\n", "has the columns cat, dog; expected one for the class, or one for each"),
        ("1,0\n2,0\n3,0\n", "has no line of column names"),
        ("ImageId,Label\n", "names no image"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused_before_anything_is_written(
    text: str, message: str, runs: Path, test_images: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "three.npy", test_images[:3])
    (tmp_path / "sample.csv").write_text(text)
    arguments = (f"--images={tmp_path / 'three.npy'}", f"--submission={tmp_path / 'sample.csv'}")
    out = tmp_path / "out.csv"
    assert main(tiny_arguments(runs, "predict", ("--grid.baselines=false", f"--out={out}", *arguments))) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


# --- what is left to a person ---------------------------------------------------------------------------------


def test_the_least_sure_images_are_left_to_a_person(
    predict: Callable[..., list[dict[str, str]]],
    test_images: Pixels,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "test.npy", test_images)
    said = predict(tmp_path / "test.npy", "--coverage=0.9")
    assert "left to a person, being the least sure: 36 of 360 images" in capsys.readouterr().out
    sureness: dict[str, list[float]] = {name: [] for name in ("classifier", "person")}
    for row in said:
        sureness[row["decided_by"]].append(max(float(row[f"p_{number}"]) for number in range(10)))
    assert len(sureness["person"]) == 36
    assert max(sureness["person"]) <= min(sureness["classifier"])


def test_an_error_is_promised_where_the_labels_suffice(
    runs: Path, tiny: Run, test_images: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = [str(number) for number in load(DataConfig("digits")).test.labels.tolist()]
    np.save(tmp_path / "test.npy", test_images)
    assert tiny("train", "--mode=frozen", "--labels=800", "--train.validation=kfold") == 0
    arguments = (f"--cell={cell(runs, 'frozen-800-0')}", f"--images={tmp_path / 'test.npy'}")
    assert tiny("predict", *arguments, "--max-error=0.1", f"--out={tmp_path / 'out.csv'}") == 0
    assert "at most 10 % are wrong, with 95 % confidence" in capsys.readouterr().out
    said = rows(tmp_path / "out.csv")
    own = [row["class"] != true for row, true in zip(said, truth, strict=True) if row["decided_by"] == "classifier"]
    assert len(own) > 100
    assert np.mean(own) <= 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-error=0.01",), "at least 299 labels that the classifier did not learn from, and it has 20"),
        (("--max-error=1",), "max-error: 1.0 is not allowed"),
        (("--coverage=1.5",), "coverage: 1.5 is not allowed"),
        (("--coverage=0.5", "--max-error=0.1"), "name one of them"),
        (("--coverage=0.5", "--submission=sample.csv"), "no column for what is left to a person"),
    ],
)
def test_what_cannot_be_promised_is_refused_before_anything_is_read(
    arguments: tuple[str, ...], message: str, runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("predict", f"--cell={cell(runs, 'frozen-100-0')}", "--images=nowhere", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--coverage=much"], "coverage: much is not allowed; expected a value of type float, or null"),
        (
            ["--train.class_weights=even"],
            "even is not allowed; expected one of 'none', 'balanced'",
        ),
        (["photos"], "unrecognized arguments: photos; a value follows the name of its setting"),
    ],
)
def test_words_that_are_no_settings_are_refused_in_plain_words(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *words])
    printed = capsys.readouterr().err
    assert (ended.value.code, "Union" in printed) == (2, False)
    assert said in printed
