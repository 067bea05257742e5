"""Folders of pictures as people have them: which folder is a class, which a part, and which no concern of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config import DataConfig
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.loading import load
from pipeline.datasets.readers.folder_layout import find_layout
from pipeline.errors import PipelineError
from tests.conftest import Run

GENERATOR = np.random.default_rng(0)


def write(base: Path, *folders: str, count: int = 6, ending: str = ".png") -> Path:
    for folder in folders:
        (base / folder).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            Image.fromarray(GENERATOR.integers(0, 256, (8, 8), dtype=np.uint8)).save(base / folder / f"{n}{ending}")
    return base


def read(base: Path, **args: str) -> Dataset:
    return load(DataConfig("folder", args={"path": str(base), **args}))


def classes_of(dataset: Dataset) -> tuple[str, ...]:
    return dataset.train.class_names


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("Train", "Test"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("TrainSet", "TEST"),
        ("archive/train", "archive/val"),
        ("images/train", "images/valid"),
        ("train/images", "test/images"),
    ],
)
def test_parts_are_known_by_what_lies_in_them_and_by_name(train: str, test: str, tmp_path: Path) -> None:
    write(tmp_path, f"{train}/cat", f"{train}/dog")
    write(tmp_path, f"{test}/Cat", f"{test}/dog", count=2)
    dataset = read(tmp_path)
    assert classes_of(dataset) == ("cat", "dog")
    assert (len(dataset.train), dataset.test.labels.tolist()) == (12, [0, 0, 1, 1])


def test_validation_joins_training_where_there_is_a_test_set(tmp_path: Path) -> None:
    for part in ("train", "validation", "test"):
        write(tmp_path, f"{part}/cat", f"{part}/dog")
    layout = find_layout(tmp_path, {})
    assert (len(layout.train), len(layout.test)) == (24, 12)
    assert layout.notes == [
        f"12 pictures of {tmp_path}/validation join the training set: what validates is drawn within each budget of "
        "labels"
    ]


@pytest.mark.parametrize("about", ["annotations", "masks", "Labels"])
def test_masks_beside_images_are_no_classes(about: str, tmp_path: Path) -> None:
    write(tmp_path, "images/glioma", "images/notumor", f"{about}/glioma", f"{about}/notumor")
    dataset = read(tmp_path)
    assert classes_of(dataset) == ("glioma", "notumor")
    assert len(dataset.train) + len(dataset.test) == 12
    [note] = find_layout(tmp_path, {}).notes
    assert f"12 pictures were ignored, since it is not clear what they are: 6 {tmp_path}/{about}/glioma" in note


@pytest.mark.parametrize("name", ["train", "images", "masks", "valid", "labels"])
def test_a_class_may_be_called_like_a_part(name: str, tmp_path: Path) -> None:
    dataset = read(write(tmp_path, name, "bus", "plane"))
    assert classes_of(dataset) == tuple(sorted([name, "bus", "plane"]))
    assert len(dataset.train) + len(dataset.test) == 18


def test_what_computers_leave_in_folders_is_not_counted(tmp_path: Path) -> None:
    write(tmp_path, "cat", "dog")
    write(tmp_path, "cat/.ipynb_checkpoints", "cat/.trash", "dog/@eaDir", "__MACOSX/cat", ".git/dog")
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "cat" / "._0.png").write_bytes(b"x")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    layout = find_layout(tmp_path, {})
    assert (len(layout.train), layout.notes) == (12, [])


def test_files_of_other_kinds_are_counted_by_kind(tmp_path: Path) -> None:
    write(tmp_path, "cat", "dog")
    write(tmp_path, "annotations", count=0)
    for name in ("cat/a.HEIC", "cat/b.heic", "dog/c.svg", "dog/README", "annotations/cat.xml"):
        (tmp_path / name).write_text("x")
    [note] = find_layout(tmp_path, {}).notes
    assert note == ("5 files of other kinds were ignored: 2 .heic, 1 without an ending, 1 .svg, 1 .xml")


def test_broken_links_and_loose_pictures_are_named(tmp_path: Path) -> None:
    write(tmp_path, "cat", "dog", ".", count=1)
    (tmp_path / "cat/gone.png").symlink_to(tmp_path / "nowhere.png")
    loose, links = find_layout(tmp_path, {}).notes
    [picture] = tmp_path.glob("*.png")
    assert f": 1 {picture}; move them into the folder of their class" in loose
    assert links == "1 files of other kinds were ignored: 1 broken links"


def test_pictures_beside_their_masks_have_no_label(tmp_path: Path) -> None:
    layout = find_layout(write(tmp_path, "images", "masks"), {})
    assert [name for _, name in layout.train] == [""] * 6


def test_folders_of_a_class_count_as_the_class(tmp_path: Path) -> None:
    write(tmp_path, "cat/2020", "cat/2021/may", "dog")
    assert [name for _, name in find_layout(tmp_path, {}).train] == ["cat"] * 12 + ["dog"] * 6


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/dogs", "p/cat")
    (tmp_path / "p" / "dog").symlink_to(tmp_path / "elsewhere" / "dogs")
    (tmp_path / "p" / "cat" / "round").symlink_to(tmp_path / "p")
    assert [name for _, name in find_layout(tmp_path / "p", {}).train] == ["cat"] * 6 + ["dog"] * 6


def test_the_owner_can_name_the_parts(tmp_path: Path) -> None:
    write(tmp_path, "monday/cat", "monday/dog", "tuesday/cat", "tuesday/dog", "train/cat", "train/dog", "spare")
    named = {"train": "monday", "test": "tuesday", "validation": "train", "unlabelled": "spare"}
    layout = find_layout(tmp_path, named)
    assert [len(layout.train), len(layout.test)] == [30, 12]
    assert sum(not name for _, name in layout.train) == 6
    read(tmp_path, **named)


def test_the_owner_can_say_that_every_folder_is_a_class(tmp_path: Path) -> None:
    write(tmp_path, "train/steam", "train/diesel", "car/sedan", "test")
    assert {name for _, name in find_layout(tmp_path, {"train": "."}).train} == {"train", "car", "test"}
    layout = find_layout(tmp_path, {"train": ".", "unlabelled": "test"})
    assert {name for _, name in layout.train} == {"train", "car", ""}


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            ("train/cat", "train/dog", "extra"),
            r"has extra beside train, .*data.args.train: train.*data.args.train: \.",
        ),
        (("cat", "dog", "test"), r"test holds pictures, and no folder for each class; .*data.args.unlabelled: test"),
        (("train", "val"), r"train holds pictures, and no folder for each class"),
        (("test/cat", "test/dog", "cat", "dog"), "has a folder test but none named train; name the training folder"),
        (("train1/cat", "train2/dog"), "has train1 and train2, which may both be meant for train; name the right one"),
        (("cat", "unlabelled"), "holds one class, cat; expected a folder for each of two or more"),
        (("train/cat", "train/dog", "test/cat", "test/bird"), "test_labels: 'bird' is none of the 2 classes"),
        (("train/cat", "train/dog", "test/cat", "test/unlabelled"), "without a label in the test set; move them"),
    ],
)
def test_what_cannot_be_told_is_asked(folders: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=f"(?s){message}"):
        read(write(tmp_path, *folders))


@pytest.mark.parametrize("empty", ["bird", "unlabelled", "test"])
def test_an_empty_folder_is_named_and_what_lies_in_it(empty: str, tmp_path: Path) -> None:
    write(tmp_path, "cat", "dog")
    write(tmp_path, empty, count=0)
    with pytest.raises(PipelineError, match=f"{empty} holds no picture; fill it or remove it"):
        read(tmp_path)
    (tmp_path / empty / "a.heic").write_text("x")
    with pytest.raises(PipelineError, match=f"{empty} holds no picture that can be read, but 1 .heic; fill it"):
        read(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"data.args.test: .* holds no folder 'Tset'; name a folder below"):
        read(write(tmp_path, "cat", "dog"), test="Tset")


def test_every_picture_is_known_by_its_file(tmp_path: Path) -> None:
    write(tmp_path, "train/cat", "train/dog", "test/cat", "unlabelled", count=3)
    dataset = read(tmp_path)
    assert dataset.train.names[:4] == ("train/cat/0.png", "train/cat/1.png", "train/cat/2.png", "train/dog/0.png")
    assert dataset.train.names[-1] == "unlabelled/2.png"
    assert dataset.test.names == ("test/cat/0.png", "test/cat/1.png", "test/cat/2.png")


def test_training_and_testing_through_the_command_line(
    tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "x/Training/glioma", "x/Training/notumor", "x/Testing/glioma", "x/Testing/notumor")
    (tmp_path / "x" / "Training" / "glioma" / "scan.dcm").write_text("x")
    settings = ("--data.dataset=folder", f"--data.args.path={tmp_path / 'x'}", f"--runs={tmp_path / 'runs'}")
    assert tiny("check-dataset", *settings) == 0
    text = capsys.readouterr().out
    assert "12 training and 12 test images" in text
    assert "remark: 1 files of other kinds were ignored: 1 .dcm" in text
