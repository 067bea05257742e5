"""Data sets without code: files of every kind that is read, and what is said of broken ones."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.config import DataConfig
from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.image_data import Dataset, ImageData
from pipeline.datasets.loading import load
from pipeline.errors import PipelineError
from tests.conftest import Run
from tests.test_data import idx

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (60, 13, 9), dtype=np.uint8)
COLOUR = GENERATOR.integers(0, 256, (60, 13, 9, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


def read(dataset: str, path: Path, **args: Any) -> Dataset:
    return load(DataConfig(dataset, args={"path": str(path), **args}))


def digest(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()[:8]  # short, so that a failure can be read


def everything(dataset: Dataset) -> set[tuple[str, str]]:
    """Each image with its class's name, wherever it ended up."""
    names = [*dataset.train.class_names, ""]  # -1 is the last
    return {
        (digest(image.numpy()), names[int(label)])
        for part in (dataset.train, dataset.test)
        for image, label in zip(part.images, part.labels, strict=True)
    }


def expected(images: np.ndarray, labels: list[str]) -> set[tuple[str, str]]:
    return {(digest(image), label) for image, label in zip(images, labels, strict=True)}


# --- numpy ----------------------------------------------------------------------------------------------------


def test_an_archive_with_a_pool_and_an_official_test_set(tmp_path: Path) -> None:
    path = tmp_path / "cats.npz"
    np.savez(
        path,
        images=COLOUR[:30],
        labels=LABELS[:30] - 1,
        unlabelled=COLOUR[30:50],
        test_images=COLOUR[50:],
        test_labels=LABELS[50:] % 2,
        class_names=["cat", "dog"],
    )
    dataset = read("numpy", path)
    assert dataset.train.shape == (3, 13, 9)
    assert dataset.train.class_names == ("cat", "dog")
    assert torch.equal(dataset.train.images, torch.from_numpy(COLOUR[:50].transpose(0, 3, 1, 2).copy()))
    assert dataset.train.labels.tolist() == [*(LABELS[:30] - 1).tolist(), *[-1] * 20]
    assert dataset.test.labels.tolist() == (LABELS[50:] % 2).tolist()


def test_a_folder_of_arrays_equals_the_archive_and_arrays_can_be_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x_train=GREY[:40], y_train=LABELS[:40, None], x_test=GREY[40:], y_test=LABELS[40:])
    for name, array in (
        ("x_train", GREY[:40]),
        ("y_train", LABELS[:40]),
        ("x_test", GREY[40:]),
        ("y_test", LABELS[40:]),
    ):
        np.save(tmp_path / f"{name}.npy", array)
    names = {"images": "x_train", "labels": "y_train", "test_images": "x_test", "test_labels": "y_test"}
    archive, folder = read("numpy", tmp_path / "x.npz", **names), read("numpy", tmp_path, **names)
    assert archive.sha256 == folder.sha256
    assert len(archive.test) == 20
    with pytest.raises(PipelineError, match=r"no array 'images'; it holds x_test, x_train, y_test, y_train: name the"):
        read("numpy", tmp_path / "x.npz")


# --- folder ---------------------------------------------------------------------------------------------------


def write_pictures(base: Path, images: np.ndarray, labels: list[str], suffix: str = ".png") -> Path:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (base / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(base / label / f"{number:03}{suffix}")
    return base


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_folder_of_pictures_by_class(images: np.ndarray, tmp_path: Path) -> None:
    labels = [["cat", "dog", "unlabelled"][n] for n in LABELS]
    write_pictures(tmp_path, images, labels)
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / ".cache").mkdir()
    dataset = read("folder", tmp_path)
    assert dataset.train.class_names == ("cat", "dog")
    assert len(dataset.test) == 8  # a fifth of the 40 that have a label
    channels_first = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    assert everything(dataset) == expected(channels_first, [label.replace("unlabelled", "") for label in labels])


def test_a_folder_with_train_and_test(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", GREY[:20], ["cat", "dog"] * 10)
    write_pictures(tmp_path / "test", GREY[20:30], ["dog", "cat"] * 5)
    write_pictures(tmp_path, GREY[30:], ["unlabelled"] * 30)
    dataset = read("folder", tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (50, 10)
    assert int((dataset.train.labels < 0).sum()) == 30
    assert everything(dataset) == expected(GREY[:, None], [*["cat", "dog"] * 10, *["dog", "cat"] * 5, *[""] * 30])


def test_pictures_are_resized_made_colour_together_and_turned_upright(tmp_path: Path) -> None:
    write_pictures(tmp_path, GREY[:20], ["cat", "dog"] * 10)
    tall = Image.new("RGB", (8, 24), "red")
    tall.putpixel((0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    tall.save(tmp_path / "cat" / "photo.png", exif=exif)
    with pytest.raises(
        PipelineError, match=r"images differ in size: .*000.png is 13 x 9 .*photo.png is 8 x 24; resize"
    ):
        read("folder", tmp_path)
    dataset = read("folder", tmp_path, size=[8, 24])
    assert dataset.train.shape == (3, 8, 24)
    images = torch.cat([dataset.train.images, dataset.test.images])
    [blue] = torch.nonzero(images[:, 2, 0, -1] == 255).flatten().tolist()  # top left became top right
    assert images[blue, 0].sum() == 255 * (8 * 24 - 1)


# --- idx ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gzipped", [False, True])
def test_idx_files_with_and_without_a_test_set(gzipped: bool, tmp_path: Path) -> None:
    pack, ending = (gzip.compress, ".gz") if gzipped else (bytes, "")
    for start, part in (("train", slice(0, 40)), ("t10k", slice(40, 60))):
        (tmp_path / f"{start}-images-idx3-ubyte{ending}").write_bytes(pack(idx(GREY[part])))
        (tmp_path / f"{start}-labels-idx1-ubyte{ending}").write_bytes(pack(idx(LABELS[part])))
    dataset = read("idx", tmp_path)
    assert np.array_equal(dataset.train.images[:, 0].numpy(), GREY[:40])
    assert np.array_equal(dataset.test.labels.numpy(), LABELS[40:])
    alone = read("idx", tmp_path, train="t10k", test="")
    assert len(alone.train) + len(alone.test) == 20


# --- csv ------------------------------------------------------------------------------------------------------

SQUARE = GENERATOR.integers(0, 256, (40, 8, 8))


@pytest.mark.parametrize("layout", ["headed", "headed by numbers, label last", "bare", "words", "gzipped", "floats"])
def test_csv_in_the_layouts_that_are_about(layout: str, tmp_path: Path) -> None:
    rows, labels = SQUARE.reshape(40, 64), [str(n % 3) for n in range(40)]
    args: dict[str, Any] = {}
    if layout == "words":
        labels = [["cat", "dog", ""][n % 3] for n in range(40)]
    cells = [[label, *map(str, row)] for label, row in zip(labels, rows, strict=True)]
    if layout == "floats":
        cells = [[label, *(str(pixel / 255) for pixel in row)] for label, row in zip(labels, rows, strict=True)]
    if layout in ("headed", "gzipped"):
        cells.insert(0, ["label", *(f"pixel{n}" for n in range(64))])
    if layout == "headed by numbers, label last":
        cells = [["digit", *map(str, range(64))], *cells]
        cells = [[*row[1:], row[0]] for row in cells]
        args["label"] = "digit"
    text = "".join(",".join(row) + "\n" for row in cells).encode()
    path = tmp_path / ("x.csv.gz" if layout == "gzipped" else "x.csv")
    path.write_bytes(gzip.compress(text) if layout == "gzipped" else text)
    assert everything(read("csv", path, **args)) == expected(SQUARE[:, None].astype("u1"), labels)


def test_csv_with_a_test_file_in_colour(tmp_path: Path) -> None:
    rows = np.concatenate([LABELS[:, None] * 5 + 1, COLOUR.transpose(0, 3, 1, 2).reshape(60, -1)], axis=1)
    np.savetxt(tmp_path / "train.csv", rows[:40], "%d", ",")
    np.savetxt(tmp_path / "test.csv", rows[40:], "%d", ",")
    dataset = read("csv", tmp_path / "train.csv", test=str(tmp_path / "test.csv"), shape=[3, 13, 9])
    assert dataset.train.class_names == ("1", "6", "11")
    assert np.array_equal(dataset.test.images.numpy(), COLOUR[40:].transpose(0, 3, 1, 2))


# --- (X, y) ---------------------------------------------------------------------------------------------------

SKLEARN_STYLE = """
import numpy as np

def generator(n, seed=0):
    return np.random.default_rng(seed).random((n, 64)), np.array(["cat", "dog", ""] * (n // 3), dtype=object)

def one():
    return generator(60)

def official():
    return generator(60), generator(30, 1)
"""


def test_scikit_learn_style_arrays_are_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_arrays.py").write_text(SKLEARN_STYLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    one = load(DataConfig("their_arrays:one"))
    assert (one.train.shape, one.train.class_names) == ((1, 8, 8), ("cat", "dog"))
    assert int((one.train.labels < 0).sum()) == 20
    assert one.train.images.max() == 255
    with pytest.raises(PipelineError, match="the test set holds unlabelled images"):
        load(DataConfig("their_arrays:official"))


def test_a_function_of_scikit_learn_is_named_by_its_import_path() -> None:
    function, ours = "sklearn.datasets:load_digits", load(DataConfig("digits"))
    with pytest.raises(PipelineError, match=r"pixels run from 0 to 16, and nothing tells .* data\.args\.white 16"):
        load(DataConfig(function, args={"return_X_y": True}))
    theirs = load(DataConfig(function, args={"return_X_y": True, "white": 16}))
    assert torch.equal(theirs.test.images, ours.test.images)
    assert len(theirs.train) + len(theirs.copies.in_test) == len(ours.train) + len(ours.copies.in_test)
    assert torch.equal(theirs.test.labels, ours.test.labels)


@given(
    layout=st.sampled_from(["rows", "plain", "channels first", "channels last"]),
    scale=st.sampled_from(["bytes", "ints", "0 to 1", "0 to 255", "white 1020"]),
    side=st.integers(8, 20),
)
def test_the_same_images_come_out_of_every_layout_and_scale(layout: str, scale: str, side: int) -> None:
    pixels = np.random.default_rng(side).integers(0, 256, (6, side, side), dtype=np.uint8)
    pixels[0, 0, 0] = 255
    laid = {
        "rows": pixels.reshape(6, -1),
        "plain": pixels,
        "channels first": pixels[:, None],
        "channels last": pixels[..., None],
    }[layout]
    scaled: Any = {
        "bytes": laid,
        "ints": laid.astype(np.int64),
        "0 to 1": laid.astype(np.float32) / 255,
        "0 to 255": laid.astype(np.float64),
        "white 1020": laid.astype(np.uint16) * 4,
    }[scale]
    data = from_arrays(scaled, [3, 7, 3, 7, -1, 3], white=1020 if scale == "white 1020" else None)
    assert isinstance(data, ImageData)
    assert np.array_equal(data.images[:, 0].numpy(), pixels)
    assert (data.class_names, data.labels.tolist()) == (("3", "7"), [0, 1, 0, 1, -1, 0])


# --- bad input ------------------------------------------------------------------------------------------------

FLOATS = GREY / 255
BROKEN = FLOATS.copy()
BROKEN[4, 2, 2], BROKEN[7, 0, 0] = np.nan, np.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": LABELS / 2}, r"labels: got float64 .* labels.astype\(int\)"),
        ({"labels": LABELS - 2}, r"labels: the lowest is -2; expected -1 \(unlabelled\), or 0 and above"),
        ({"labels": LABELS, "class_names": ["a", "b"]}, r"labels: 2 is none of the 2 classes; .* one of 0, 1"),
        ({"labels": np.eye(3)[LABELS]}, r"labels: got float64 of shape \(60, 3\)"),
        ({"labels": np.eye(3, dtype=int)[LABELS]}, "one-hot rows become labels by labels.argmax"),
        (
            {"labels": np.arange(60 * 14).reshape(60, 14) % 3 % 2},
            r"\(60, 14\).* several of 14 classes \(up to 5 here\)",
        ),
        ({"labels": np.arange(120).reshape(60, 2)}, r"shape \(60, 2\); .* keep the column that is to be learnt"),
        ({"labels": LABELS[:59]}, "labels: 59 for 60 images; expected one for each image"),
        ({"labels": np.array([None, "a"] * 30)}, "labels: got object .* mark missing ones with -1"),
        ({"images": BROKEN}, "images: 2 of 60 hold NaN or infinite pixels, the first is number 4"),
        ({"images": FLOATS - 0.5}, r"images: pixels run from -0.5 to 0.5; expected 0 \(black\) to 1 \(white\)"),
        ({"images": GREY.astype(int) * 9}, r"expected 0 \(black\) to 255 \(white\).* data.args.white"),
        ({"images": GREY[:0]}, "images: there are none; expected at least one image"),
        ({"images": [GREY[0], GREY[1, :5]]}, "images: cannot be made one array .* images of one size"),
        ({"images": np.array([None] * 60)}, "images: got an array of object"),
        ({"images": GREY.reshape(60, -1)}, r"rows of 117 pixels are no images of shape \[11, 11\]; .* data.args.shape"),
        ({"images": GREY.reshape(60, -1), "shape": [9, 9]}, r"no images of shape \[9, 9\]"),
        ({"images": np.zeros((60, 9, 9, 7))}, r"shape \(60, 9, 9, 7\); expected"),
        ({"images": FLOATS, "white": 0}, "white: 0 is not allowed"),
        ({"test_images": GREY}, "test_labels: missing, though test_images are given"),
        ({"test_images": GREY[:0], "test_labels": LABELS[:0]}, "test_images: there are none"),
        ({"test_images": GREY[:, :8], "test_labels": LABELS}, "test_images: they are 1 x 8 x 9, images are 1 x 13 x 9"),
        ({"test_images": FLOATS, "test_labels": LABELS}, "test_images: they are float64, images are uint8"),
        ({"test_images": GREY, "test_labels": LABELS.astype(str)}, "numbers in one part and strings in the other"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused_in_words(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        from_arrays(**{"images": GREY, "labels": LABELS, **arguments})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(60, int), "are all of one class"),
        (np.array([0, *[1] * 59]), r"fewer than 2 labelled images: '0' \(1\)"),
        (np.array([0, 0, 1, 1, 2, 2, *[-1] * 54]), "label at least 15 images"),
    ],
)
def test_labels_from_which_nothing_can_be_learnt_are_refused(labels: np.ndarray, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=GREY, labels=labels)
    with pytest.raises(PipelineError, match=message):
        read("numpy", tmp_path / "x.npz")


def spoil_archive(base: Path) -> None:
    (base / "x").write_bytes(b"hello")


def spoil_objects(base: Path) -> None:
    np.savez(base / "x.npz", images=np.array([None] * 60), labels=LABELS)
    (base / "x.npz").rename(base / "x")


def spoil_single_array(base: Path) -> None:
    np.save(base / "x.npy", GREY)


def spoil_class(base: Path) -> None:
    write_pictures(base / "x", GREY[:4], ["cat", "unlabelled"] * 2)


def spoil_empty_class(base: Path) -> None:
    write_pictures(base / "x", GREY[:4], ["cat", "dog"] * 2)
    (base / "x" / "empty").mkdir()


def spoil_picture(base: Path) -> None:
    spoil_empty_class(base)
    (base / "x" / "empty" / "a.png").write_bytes(b"hello")


def spoil_deep_picture(base: Path) -> None:
    write_pictures(base / "x", GREY[:4].astype(np.uint16) * 16, ["cat", "dog"] * 2)


def spoil_test_alone(base: Path) -> None:
    write_pictures(base / "x", GREY[:4], ["cat", "test"] * 2)


def spoil_validation(base: Path) -> None:
    write_pictures(base / "x", GREY[:4], ["train", "val"] * 2)


def spoil_idx(base: Path) -> None:
    (base / "x").mkdir()
    (base / "x" / "train-images-idx3-ubyte").write_bytes(idx(GREY)[:-1])


def spoil_magic(base: Path) -> None:
    (base / "x").mkdir()
    (base / "x" / "train-images-idx3-ubyte").write_bytes(b"hello")


def csv_of(text: str) -> Callable[[Path], None]:
    def spoil(base: Path) -> None:
        (base / "x").write_text(text)

    return spoil


@pytest.mark.parametrize(
    ("reader", "spoil", "message"),
    [
        ("numpy", spoil_archive, r"x is no .npz archive .* write it with np.savez"),
        ("numpy", spoil_objects, "images: cannot be read .* holds Python objects"),
        ("folder", spoil_class, "x holds one class, cat; expected a folder for each of two or more"),
        ("folder", spoil_empty_class, "empty holds no picture; fill it or remove it"),
        ("folder", spoil_picture, r"1 of \d+ files cannot be read as a picture.*a.png: its content is none of PNG"),
        (
            "folder",
            spoil_deep_picture,
            r"16 bits, but the brightest of 4 such pictures is 40\d\d of 65535; say .* data.args.white, such as 4095",
        ),
        ("folder", spoil_test_alone, "test holds pictures, and no folder for each class"),
        ("folder", spoil_validation, "train holds pictures, and no folder for each class"),
        ("folder", spoil_archive, "x is a file; expected a folder of folders"),
        ("idx", spoil_class, "holds no train-images-idx... file; it holds cat, unlabelled"),
        ("idx", spoil_idx, "train-images-idx3-ubyte has 7035 bytes, its header says 7036"),
        ("idx", spoil_magic, r"is no IDX file \(it starts with 68 65 6c 6c\)"),
        ("csv", csv_of(""), "is empty; expected a line for each image"),
        ("csv", csv_of("label,a,b\n"), "holds no image; expected a label and pixels in each line"),
        ("csv", csv_of("thing,a,b\n1,2,3\n"), r"no column 'label'; it has 3 columns named thing, a, ..., b"),
        ("csv", csv_of("1,2,3\n4,5\n"), "line 2: 2 columns; the first line has 3"),
        ("csv", csv_of("1,2,3,4,5\n4,5,,6,7\n"), r"line 2: column 2 holds ''; expected a pixel, a number"),
        ("csv", csv_of("0,2,3,4,5\n1.5,5,3,6,7\n"), "has the label 1.5; expected whole numbers or names"),
        ("csv", csv_of("0,2,3,4,5\n1,nan,3,6,7\n"), "NaN or infinite pixels"),
    ],
)
def test_broken_files_are_refused_in_words(
    reader: str, spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    spoil(tmp_path)
    with pytest.raises(PipelineError, match=f"(?s){message}"):
        read(reader, tmp_path / "x")


def test_one_array_alone_is_no_data_set(tmp_path: Path) -> None:
    spoil_single_array(tmp_path)
    with pytest.raises(PipelineError, match="is one array; give the folder"):
        read("numpy", tmp_path / "x.npy")


@pytest.mark.parametrize("reader", ["numpy", "folder", "idx", "csv"])
def test_a_path_that_does_not_exist_is_named(reader: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"data.args.path: .*nowhere does not exist"):
        read(reader, tmp_path / "nowhere")
    with pytest.raises(
        PipelineError, match=f"data.args: {reader} was called with {{}}: missing .* 'path'; it takes path"
    ):
        load(DataConfig(reader))


# --- through the command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(  # digits are 8 x 8
    ("shape", "encoder", "decoder"),
    [((3, 13, 9), "conv", "mlp"), ((3, 96, 96), "conv", "conv"), ((3, 33, 17), "residual", "mlp")],
)
def test_the_shipped_networks_adapt_to_any_size_and_colour(
    shape: tuple[int, int, int], encoder: str, decoder: str, tiny: Run, tmp_path: Path
) -> None:
    np.savez(
        tmp_path / "x.npz", images=GENERATOR.integers(0, 256, (90, *shape), dtype=np.uint8), labels=np.arange(90) % 3
    )
    settings = (
        "--data.dataset=numpy",
        f"--data.args.path={tmp_path / 'x.npz'}",
        f"--runs={tmp_path / 'mine'}",
        "--pretrain.epochs=1",
        "--pretrain.holdout=10",
        f"--pretrain.encoder.name={encoder}",
        f"--pretrain.decoder={{name: {decoder}, widths: [16, 8], hidden: []}}",
        "--train.length=2",
        "--train.evaluations=2",
        "--grid.labels=[30]",
        "--grid.draws=1",
    )
    for stage in ("data", "pretrain", "sample", "compare", "report"):
        assert tiny(stage, *settings) == 0
    [card] = (tmp_path / "mine").glob("tiny/data-*/card.json")
    assert json.loads(card.read_text())["shape"] == list(shape)


def test_every_reader_explains_its_arguments() -> None:
    from pipeline.datasets.readers import csv_file, downloaded, folder, numpy_files
    from pipeline.datasets.readers import idx as idx_files

    for module in (numpy_files, folder, idx_files, csv_file, downloaded):
        for name in inspect.signature(module.load).parameters:
            assert f"{name}:" in (module.load.__doc__ or ""), (module.__name__, name)
