"""The contract of a data set: as a stage, and as a function in an author's own tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.config import DataConfig
from pipeline.datasets import loading
from pipeline.datasets.contract import check_dataset, examine
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.streamed import Storage
from pipeline.errors import PipelineError
from tests.conftest import Run

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 3, 12, 10), dtype=np.uint8)
LABELS = np.arange(60) % 3 - 1


def faulty() -> dict[str, Any]:
    """Copies in the training set, in the test set and across, one with another label, and a black image."""
    images = IMAGES.copy()
    images[1], images[4] = images[2], images[7]  # a copy with another label, and one with the same
    images[8] = 0
    test = np.concatenate([images[40:], images[40:41], images[10:11]])
    labels = np.concatenate([LABELS[40:], LABELS[40:41], LABELS[10:11]])
    keep = labels >= 0
    return {"images": images[:40], "labels": LABELS[:40], "test_images": test[keep], "test_labels": labels[keep]}


def test_the_card_counts_what_is_there(tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = faulty()
    np.savez(tmp_path / "x.npz", **parts, class_names=["cat", "dog"])
    settings = ("--data.dataset=numpy", f"--data.args.path={tmp_path / 'x.npz'}", f"--runs={tmp_path / 'runs'}")
    assert tiny("check-dataset", *settings) == 0
    text = capsys.readouterr().out
    [folder] = (tmp_path / "runs").glob("tiny/check-dataset-*")
    card = json.loads((folder / "card.json").read_text())
    test = [image.tobytes() for image in parts["test_images"]]
    train = [image.tobytes() for image in parts["images"]]
    assert card["shape"] == [3, 12, 10]
    assert card["range"] == [0, 255]
    assert card["left_out_because_in_test"] == sum(image in test for image in train) == 1
    assert card["duplicates_in_train"] == len(train) - len(set(train)) == 2
    assert card["duplicates_in_test"] == len(test) - len(set(test)) == 1
    assert card["same_image_other_label"] == 1
    assert card["constant_in_train"] == 1
    assert card["train"] == 39
    assert card["unlabelled"] + sum(card["train_per_class"]) == 39
    assert card["test_per_class"] == np.bincount(parts["test_labels"]).tolist()
    assert card["suggested_budgets"] == [20]
    assert "remark: 1 images come with several labels: correct all but one of each" in text
    assert "--grid.labels [20]" in text
    with Image.open(folder / "contact_sheet.png") as sheet:
        rows, columns = 3, 10  # cat, dog, unlabelled
        scale = 5  # 12 pixels become 60
        assert sheet.size == (columns * (10 * scale + 2) + 2, rows * (12 * scale + 2) + 2)
        first_cat = parts["images"][1]
        assert np.asarray(sheet)[3, 3].tolist() == first_cat[:, 0, 0].tolist()


def test_a_file_that_changed_is_looked_at_anew(tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("--data.dataset=numpy", f"--data.args.path={tmp_path / 'x.npz'}", f"--runs={tmp_path / 'runs'}")
    np.savez(tmp_path / "x.npz", images=IMAGES // 20, labels=LABELS)
    assert tiny("check-dataset", *settings) == 0
    assert "remark: the brightest pixel is 12 of 255: if that is meant to be white, say so" in capsys.readouterr().out
    assert tiny("check-dataset", *settings, "--data.args.white=12") == 0
    assert "brightest" not in capsys.readouterr().out
    np.savez(tmp_path / "x.npz", images=IMAGES.astype(float) * np.nan, labels=LABELS)
    assert tiny("check-dataset", *settings) == 2
    assert "images: 60 of 60 hold NaN or infinite pixels" in capsys.readouterr().err


def image_data(images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, names: str = "ab") -> ImageData:
    return ImageData(torch.from_numpy(images), torch.from_numpy(labels), tuple(names))


def sound(root: Path, n: int = 60) -> ImageData:
    return image_data(IMAGES[:n], LABELS[:n])


def test_an_author_checks_a_data_set_of_their_own() -> None:
    card = check_dataset(sound, n=30)
    assert card.facts["dataset"] == "sound"
    assert card.problems == card.remarks == ()
    assert len(card.dataset.train) == 26
    assert check_dataset("digits").facts["suggested_budgets"] == [100, 1000]


def restless() -> ImageData:
    return image_data(np.random.default_rng().integers(0, 256, IMAGES.shape, dtype=np.uint8))


def nameless() -> tuple[ImageData, ImageData]:
    return image_data(names="abc"), image_data(IMAGES[1::3] // 2, LABELS[1::3], "abc")


def broken() -> ImageData:
    raise OSError("the disk is gone")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (restless, "loading it twice gave different data: order files by name"),
        (nameless, "no labelled training image of c: label some, or take the name out"),
        (broken, r"(?s)broken failed.*OSError: the disk is gone"),
        (lambda: None, "returned a NoneType"),
        ("nope", "'nope' is unknown"),
    ],
)
def test_a_breach_of_the_contract_is_raised_in_words(dataset: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        check_dataset(dataset)


def test_the_command_line_names_a_breach(tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("check-dataset", "--data.dataset=tests.test_check_dataset:nameless", f"--runs={tmp_path}") == 2
    assert "breaks the contract of a data set: no labelled training image of c" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("images", "labels", "remark"),
    [
        (IMAGES[:, :, :6, :6], LABELS, "images of 6 x 6 pixels: the shipped networks are meant for sides of 8 to 96"),
        (IMAGES, np.array([0, 0, 0, *[1] * 57]), "classes are uneven, 2 to 46 labels"),
        (IMAGES[:30], np.array([0, 0, 1, 1, 0, 0, 1, 1, *[-1] * 22]), "6 labels for 2 classes: label 5 of each"),
    ],
)
def test_what_an_owner_had_better_know(images: np.ndarray, labels: np.ndarray, remark: str) -> None:
    data = image_data(np.ascontiguousarray(images), labels)
    card = examine(loading.bind("theirs", lambda: data, Storage(Path("data")), {}))
    assert any(remark in text for text in card.remarks), card.remarks


def test_every_built_in_name_can_be_found() -> None:
    needed = {"torchvision": "name"} | dict.fromkeys(("numpy", "folder", "idx", "csv", "huggingface"), "path")
    for name in loading.BUILT_IN:
        args = {needed[name]: "x"} if name in needed else {}
        assert callable(loading.find_loader(DataConfig(name, args=args)).function)
