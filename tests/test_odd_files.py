"""Files that would give a wrong result without a word: what the user is told of them, through the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.cli import main

GENERATOR = np.random.default_rng(0)
BYTES = GENERATOR.integers(0, 256, (60, 8, 8), dtype=np.uint8)
CLASSES = np.arange(60) % 3
Say = pytest.CaptureFixture[str]


def look(reader: str, path: Path, capsys: Say) -> str:
    """What stage data prints."""
    assert main(["data", f"--runs={path.parent}", f"--data.dataset={reader}", f"--data.args.path={path}"]) == 0
    return capsys.readouterr().out


def table(path: Path, labels: Sequence[Any]) -> Path:
    names = ",".join(["label", *(f"p{number}" for number in range(64))])
    rows = [",".join([str(label), *map(str, image.ravel())]) for label, image in zip(labels, BYTES, strict=True)]
    path.write_text("\n".join([names, *rows]))
    return path


def archive(path: Path, **arrays: npt.ArrayLike) -> Path:
    found: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez(path, **found)
    return path


def pictures(base: Path, save: Callable[[Image.Image, Path, int], object]) -> Path:
    for number, image in enumerate(BYTES):
        folder = base / ("benign", "malignant")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        save(Image.fromarray(image), folder, number)
    return base


def test_labels_that_pandas_made_floats_count_and_nan_is_none(tmp_path: Path, capsys: Say) -> None:
    labels = ["nan" if number % 4 == 0 else f"{number % 3:.1f}" for number in range(60)]
    said = look("csv", table(tmp_path / "x.csv", labels), capsys)
    assert "3 classes, 15 unlabelled" in said


def test_words_for_a_missing_label_that_became_classes_are_remarked(tmp_path: Path, capsys: Say) -> None:
    labels = [("cat", "dog", "NA", "?")[number % 4] for number in range(60)]
    said = look("csv", table(tmp_path / "x.csv", labels), capsys)
    assert "there are classes called ?, NA: if that means that there is no label, leave it empty" in said


def test_a_number_for_a_missing_label_that_became_a_class_is_remarked(tmp_path: Path, capsys: Say) -> None:
    labels = np.where(np.arange(60) % 5, CLASSES, 255).astype(np.uint8)
    said = look("numpy", archive(tmp_path / "x.npz", images=BYTES, labels=labels), capsys)
    assert "class 255 is far from 0 to 2: if it means that there is no label, write -1" in said


def test_classes_that_differ_by_case_or_blanks_alone_are_remarked(tmp_path: Path, capsys: Say) -> None:
    labels = [("cat", "Cat", "hot dog", "hot_dog", "bird")[number % 5] for number in range(60)]
    said = look("csv", table(tmp_path / "x.csv", labels), capsys)
    assert "the classes Cat, cat are spelt alike: if they are one, call them the same" in said
    assert "the classes hot dog, hot_dog are spelt alike" in said


@pytest.mark.parametrize("classes", [("1", "2", "3"), ("0", "5", "10"), ("cat", "cats", "nanny")])
def test_classes_that_are_as_they_should_be_get_no_remark(
    classes: tuple[str, str, str], tmp_path: Path, capsys: Say
) -> None:
    said = look("csv", table(tmp_path / "x.csv", [classes[number] for number in CLASSES]), capsys)
    assert "remark" not in said


def test_an_inverted_test_set_is_remarked(tmp_path: Path, capsys: Say) -> None:
    dark = BYTES // 4
    parts: dict[str, Any] = {"images": dark, "labels": CLASSES}
    parts |= {"test_images": 255 - dark[::-1], "test_labels": CLASSES}
    said = look("numpy", archive(tmp_path / "x.npz", **parts), capsys)
    assert "remark: of the test images, the mean intensity is 22" in said
    assert "look whether these are lit, cut, scaled or inverted otherwise" in said


def test_masks_beside_pictures_are_passed_over_and_counted(tmp_path: Path, capsys: Say) -> None:
    def save(image: Image.Image, folder: Path, number: int) -> None:
        image.save(folder / f"case ({number}).png")
        image.point(lambda value: 255 * (value > 127)).save(folder / f"case ({number})_mask.png")

    (tmp_path / "p" / "benign").mkdir(parents=True)
    Image.fromarray(BYTES[0] // 2).save(tmp_path / "p" / "benign" / "gas_mask.png")  # a picture of its own
    said = look("folder", pictures(tmp_path / "p", save), capsys)
    assert "48 training and 13 test images" in said
    assert "60 files of other kinds were ignored: 60 masks of pictures beside them" in said


def test_pages_that_are_not_read_are_counted(tmp_path: Path, capsys: Say) -> None:
    def save(image: Image.Image, folder: Path, number: int) -> None:
        pages = [image.rotate(90), image.rotate(180)] if number % 2 else []
        image.save(folder / f"{number}.tif", save_all=True, append_images=pages)

    said = look("folder", pictures(tmp_path / "p", save), capsys)
    assert "30 of 60 pictures have several frames or pages: the first of each was taken" in said
