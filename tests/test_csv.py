"""CSV files as people have them: what the columns are, how cells are divided, and tables of picture files."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.config import DataConfig
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.loading import load
from pipeline.errors import PipelineError

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (60, 8, 8), dtype=np.uint8)
LABELS = np.arange(60) % 3
FRAME = pd.DataFrame(IMAGES.reshape(60, 64), columns=[f"pixel{n}" for n in range(64)])


def read(path: Path, **args: Any) -> Dataset:
    return load(DataConfig("csv", args={"path": str(path), **args}))


def found(dataset: Dataset) -> dict[bytes, str]:
    """The name of the class of each image, "" for none, wherever it ended up."""
    names = [*dataset.train.class_names, ""]
    return {
        image.numpy().tobytes(): names[int(label)]
        for part in (dataset.train, dataset.test)
        for image, label in zip(part.images, part.labels, strict=True)
    }


TRUTH = {image.tobytes(): str(label) for image, label in zip(IMAGES, LABELS, strict=True)}


def pandas_with_an_index(path: Path) -> dict[str, Any]:
    FRAME.assign(label=LABELS).to_csv(path)
    return {}


def pandas_of_numbers(path: Path) -> dict[str, Any]:
    """The header is 0, 1, ... 64, and 0 is the label."""
    pd.DataFrame(np.column_stack([LABELS, IMAGES.reshape(60, 64)])).to_csv(path, index=False)
    return {}


def pandas_of_numbers_with_an_index(path: Path) -> dict[str, Any]:
    pd.DataFrame(np.column_stack([IMAGES.reshape(60, 64), LABELS])).to_csv(path)
    return {}


def kaggle(path: Path) -> dict[str, Any]:
    FRAME.assign(Id=range(1, 61), Category=LABELS).to_csv(path, index=False)
    return {}


def excel_in_german(path: Path) -> dict[str, Any]:
    """Semicolons, decimal commas, a byte-order mark, and Windows' ends of lines."""
    frame = (FRAME / 255).assign(label=LABELS)
    frame.to_csv(path, index=False, sep=";", decimal=",", encoding="utf-8-sig", lineterminator="\r\n")
    return {}


def unicode_text(path: Path) -> dict[str, Any]:
    FRAME.assign(label=LABELS).to_csv(path, index=False, sep="\t", encoding="utf-16")
    return {}


def bare_label_last(path: Path) -> dict[str, Any]:
    images = IMAGES.copy()
    pd.DataFrame(np.column_stack([images.reshape(60, 64), LABELS])).to_csv(path, index=False, header=False)
    return {}


def bare_label_last_sorted(path: Path) -> dict[str, Any]:
    order = np.argsort(LABELS)
    table = np.column_stack([IMAGES.reshape(60, 64), LABELS])[order]
    pd.DataFrame(table).to_csv(path, index=False, header=False)
    return {}


def bare_with_an_index(path: Path) -> dict[str, Any]:
    pd.DataFrame(np.column_stack([LABELS, IMAGES.reshape(60, 64)])).to_csv(path, header=False)
    return {}


def label_of_another_name(path: Path) -> dict[str, Any]:
    FRAME.assign(species=LABELS).to_csv(path, index=False)
    return {}


def pixels_in_another_order(path: Path) -> dict[str, Any]:
    FRAME[sorted(FRAME.columns)].assign(label=LABELS).to_csv(path, index=False)
    return {}


def label_named_by_number(path: Path) -> dict[str, Any]:
    table = FRAME.copy()
    table.insert(5, "pixelated", LABELS)
    table.to_csv(path, index=False, header=False)
    return {"label": 5}


@pytest.mark.parametrize(
    "write",
    [
        pandas_with_an_index,
        pandas_of_numbers,
        pandas_of_numbers_with_an_index,
        kaggle,
        excel_in_german,
        unicode_text,
        bare_label_last,
        bare_label_last_sorted,
        bare_with_an_index,
        label_of_another_name,
        pixels_in_another_order,
        label_named_by_number,
    ],
)
def test_columns_are_known_by_what_they_hold(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    assert found(read(path, **write(path))) == TRUTH


def test_a_first_image_that_pandas_took_for_names_is_no_image(tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    images = IMAGES.reshape(60, 64) // 16  # values repeat, so that pandas writes 3, 3.1, 3.2
    pd.DataFrame(np.column_stack([LABELS, images])).to_csv(bare, index=False, header=False)
    pd.read_csv(bare).to_csv(tmp_path / "again.csv", index=False)
    dataset = read(tmp_path / "again.csv", white=15)
    assert len(dataset.train) + len(dataset.test) == 59
    assert dataset.train.class_names == ("0", "1", "2")


def test_binary_images_with_two_classes_and_no_names_are_asked_about(tmp_path: Path) -> None:
    table = np.column_stack([IMAGES.reshape(60, 64) > 127, LABELS % 2]).astype(int)
    pd.DataFrame(table).to_csv(tmp_path / "x.csv", index=False, header=False)
    with pytest.raises(PipelineError, match=r"may be in the first or in the last column; name it \(0 or 64\)"):
        read(tmp_path / "x.csv")
    assert read(tmp_path / "x.csv", label=64).train.class_names == ("0", "1")


def test_a_test_file_without_labels_is_a_pool(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    FRAME[:40].assign(label=LABELS[:40]).to_csv(train, index=False)
    FRAME[40:].to_csv(test, index=False)
    with pytest.raises(PipelineError, match=r"test.csv has no column 'label'; .* without labels are data.args.unlab"):
        read(train, test=str(test))
    dataset = read(train, unlabelled=str(test))
    assert len(dataset.train) + len(dataset.test) == 60
    assert int((dataset.train.labels < 0).sum()) == 20
    assert dataset.train.names[-1] == "test.csv 19"
    pd.read_csv(test).to_csv(test, index=False, header=False)
    with pytest.raises(PipelineError, match=r"test.csv has no column 'label'"):
        read(train, test=str(test))


def test_the_id_column_names_the_images(tmp_path: Path) -> None:
    FRAME.assign(id=[f"scan-{n}" for n in range(60)], label=LABELS).to_csv(tmp_path / "x.csv", index=False)
    dataset = read(tmp_path / "x.csv")
    names = (dataset.train.names or ()) + (dataset.test.names or ())
    assert sorted(names) == sorted(f"scan-{n}" for n in range(60))


# --- one-hot labels -------------------------------------------------------------------------------------------

WIDE = np.random.default_rng(1).integers(0, 256, (260, 144), dtype=np.uint8)
MARKS = np.eye(26, dtype=int)[np.arange(260) % 26]
MARK_NAMES = [f"is_{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]


def one_hot_last(path: Path) -> None:
    pd.DataFrame(np.c_[WIDE, MARKS]).to_csv(path, index=False, header=False)


def one_hot_first_and_sorted(path: Path) -> None:
    order = np.argsort(MARKS.argmax(1), kind="stable")
    pd.DataFrame(np.c_[MARKS, WIDE][order]).to_csv(path, index=False, header=False)


def one_hot_with_names_and_an_index(path: Path) -> None:
    names = [*MARK_NAMES, *(f"p{n}" for n in range(144))]
    pd.DataFrame(np.c_[MARKS.astype(float), WIDE], columns=names).to_csv(path)


def one_hot_of_one_class_less(path: Path) -> None:
    """The first class has no image, so that its column is 0 all over, as the corner of an image may be."""
    pd.DataFrame(np.c_[WIDE, MARKS][MARKS[:, 0] == 0]).to_csv(path, index=False, header=False)


def semeion(path: Path) -> None:
    """Spaces between black and white pixels and ten classes, and at the end of the line."""
    rows = np.c_[WIDE > 127, np.eye(10)[np.arange(260) % 10]]
    path.write_text(
        "".join(
            "".join(f"{cell:.4f} " if n < 144 else f"{cell:.0f} " for n, cell in enumerate(row)) + "\n" for row in rows
        )
    )


@pytest.mark.parametrize(
    ("write", "classes"),
    [
        (one_hot_last, 26),
        (one_hot_first_and_sorted, 26),
        (one_hot_with_names_and_an_index, 26),
        (one_hot_of_one_class_less, 25),
        (semeion, 10),
    ],
)
def test_one_hot_columns_are_no_pixels_and_the_advice_leads_to_one_of_labels(
    write: Any, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("table.csv")
    write(path)
    if write is semeion:
        with pytest.raises(PipelineError, match="columns have spaces between them") as spaces:
            read(path)
        subprocess.run(advised(spaces.value), shell=True, check=True)
        path = Path("table-commas.csv")
    with pytest.raises(
        PipelineError, match="are one-hot, 1 in one of them and 0 in the others, and no pixels"
    ) as found:
        read(path)
    subprocess.run(advised(found.value).replace("python", sys.executable, 1), shell=True, check=True)
    [made] = Path().glob("*-labelled.csv")
    dataset = read(made, label=0)
    assert len(dataset.train.class_names) == classes
    assert dataset.train.shape == (1, 12, 12)


def advised(error: PipelineError) -> str:
    """The command in a message, between backticks."""
    return str(error).split("`")[1]


def test_one_hot_columns_beside_a_column_of_labels_are_refused_too(tmp_path: Path) -> None:
    frame = pd.DataFrame(WIDE, columns=[f"p{n}" for n in range(144)])
    marks = pd.DataFrame(np.eye(25, dtype=int)[np.arange(260) % 25], columns=MARK_NAMES[:25])
    both = pd.concat([frame, marks], axis=1)  # 169 numbers, 13 x 13
    both.insert(0, "label", np.arange(260) % 25)
    both.to_csv(tmp_path / "x.csv", index=False)
    both.to_csv(tmp_path / "bare.csv", index=False, header=False)
    for name in ("x.csv", "bare.csv"):
        with pytest.raises(
            PipelineError, match=r"columns 145 to 169, .* They tell the class beside the column of labels"
        ):
            read(tmp_path / name)
    assert read(tmp_path / "x.csv", label="label", shape=[13, 13]).train.shape == (1, 13, 13)  # as its owner says


def test_a_wrong_shape_is_not_asked_for_again(tmp_path: Path) -> None:
    FRAME.assign(label=LABELS).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(PipelineError, match=r"rows of 64 pixels are no images of shape \[7, 9\], which have 63"):
        read(tmp_path / "x.csv", shape=[7, 9])


# --- all pixels in one column ---------------------------------------------------------------------------------


def packed(path: Path, parts: list[str]) -> Path:
    pixels = [" ".join(map(str, image.ravel())) for image in IMAGES]
    usage = [parts[n % len(parts)] for n in range(60)]
    pd.DataFrame({"emotion": LABELS, "pixels": pixels, "Usage": usage}).to_csv(path, index=False)
    return path


def test_pixels_in_one_column_and_a_column_of_parts(tmp_path: Path) -> None:
    path = packed(tmp_path / "fer.csv", ["Training", "Training", "PublicTest", "PrivateTest"])
    dataset = read(path)
    assert found(dataset) == TRUTH
    is_test = np.arange(60) % 4 >= 2
    assert np.array_equal(dataset.test.images[:, 0].numpy(), IMAGES[is_test])
    assert dataset.test.names == tuple(str(n) for n in np.flatnonzero(is_test))
    assert "column 'Usage' divides training and test images" in " ".join(dataset.train.notes)
    with pytest.raises(PipelineError, match=r"data.args.test: .*fer.csv says itself which"):
        read(path, test=str(path))


def test_a_column_of_parts_among_columns_of_pixels(tmp_path: Path) -> None:
    parts = ["train", "val", "test"] * 20
    FRAME.assign(label=LABELS // 1, split=parts).to_csv(tmp_path / "x.csv", index=False)
    dataset = read(tmp_path / "x.csv")
    assert np.array_equal(dataset.test.images[:, 0].numpy(), IMAGES[2::3])
    FRAME.assign(label=LABELS, split=["train", "val"] * 30).to_csv(tmp_path / "y.csv", index=False)
    assert np.array_equal(read(tmp_path / "y.csv").test.images[:, 0].numpy(), IMAGES[1::2])


def test_labels_without_a_name_are_found_beside_a_column_of_parts(tmp_path: Path) -> None:
    """Neither column has a name; labels are the last of the others."""
    parts = pd.Series(["train", "val", "test"] * 20)
    pd.concat([FRAME, pd.Series(LABELS), parts], axis=1).to_csv(tmp_path / "x.csv", index=False, header=False)
    assert found(read(tmp_path / "x.csv")) == TRUTH


def test_images_of_unequal_length_in_one_column_are_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "fer.csv", ["Training"])
    path.write_text(path.read_text().replace(str(IMAGES[40, 7, 7]) + ",Training", ",Training"))
    with pytest.raises(PipelineError, match=r"column 'pixels' holds no image like the others"):
        read(path)


def test_a_separator_at_the_end_of_each_line_is_named(tmp_path: Path) -> None:
    text = FRAME.assign(label=LABELS).to_csv(index=False).replace("\n", ",\n")
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(PipelineError, match=r"line 2: the line ends with ',', .* remove the separator"):
        read(tmp_path / "x.csv", label="label")


# --- two columns for one thing --------------------------------------------------------------------------------


def test_two_columns_that_may_be_the_label_are_both_named(tmp_path: Path) -> None:
    FRAME[FRAME.columns[:63]].assign(label=LABELS, target=LABELS % 2).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(
        PipelineError, match=r"'label' \(column 63, from 0\) and 'target' \(column 64, from 0\) may all"
    ):
        read(tmp_path / "x.csv")
    write_pictures(tmp_path)
    (tmp_path / "files.csv").write_text("file,label,label\n" + "".join(f"{n}.png,{n % 2},{n % 3}\n" for n in range(60)))
    with pytest.raises(PipelineError, match=r"'label' \(column 1, from 0\) and 'label' \(column 2, from 0\) may all"):
        read(tmp_path / "files.csv")


# --- names of files -------------------------------------------------------------------------------------------


def write_pictures(base: Path) -> None:
    base.mkdir(parents=True, exist_ok=True)
    for n, image in enumerate(IMAGES):
        Image.fromarray(image).save(base / f"{n}.png")


@pytest.mark.parametrize(
    ("columns", "name", "where"),
    [
        (("filename", "label"), "{}.png", "."),
        (("id", "breed"), "{}", "pictures"),
        (("path", "class"), "pictures\\{}.png", "pictures"),
        (("image", "width", "label"), "{}.png", "pictures"),
        (None, "{}.png", "pictures"),
    ],
)
def test_a_table_of_files_and_labels(columns: Any, name: str, where: str, tmp_path: Path) -> None:
    write_pictures(tmp_path / where)
    words = ["cat", "dog", ""]
    rows = [[name.format(n), words[LABELS[n]]] for n in range(60)]
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        if columns:
            writer.writerow(columns)
        for row in rows:
            writer.writerow([row[0], "640", row[1]] if columns and len(columns) == 3 else row)
    dataset = read(tmp_path / "table.csv")
    assert found(dataset) == {image.tobytes(): words[label] for image, label in zip(IMAGES, LABELS, strict=True)}
    assert "59.png" in " ".join(dataset.train.names or ()) + " ".join(dataset.test.names or ())


def test_files_in_a_test_table_and_in_none(tmp_path: Path) -> None:
    write_pictures(tmp_path / "all")
    frame = pd.DataFrame({"file": [f"{n}.png" for n in range(60)], "label": LABELS})
    frame[:40].to_csv(tmp_path / "train.csv", index=False)
    frame[40:50].to_csv(tmp_path / "test.csv", index=False)
    frame[["file"]].assign(note="x")[50:55].to_csv(tmp_path / "more.csv", index=False)
    more = {"test": str(tmp_path / "test.csv"), "unlabelled": str(tmp_path / "more.csv")}
    dataset = read(tmp_path / "train.csv", images=str(tmp_path / "all"), **more)
    assert (len(dataset.train), len(dataset.test)) == (45, 10)
    assert dataset.train.labels.tolist() == [*LABELS[:40].tolist(), *[-1] * 5]
    assert dataset.train.notes == (f"5 pictures in {tmp_path}/all are in no table and were ignored",)


@pytest.mark.parametrize(("column", "label"), [("split", "label"), ("Usage", "breed"), ("kind", "class")])
def test_a_column_of_parts_in_a_table_of_files(column: str, label: str, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    frame = pd.DataFrame({"file": [f"{n}.png" for n in range(60)], column: ["train", "val", "test"] * 20})
    frame.assign(**{label: [f"c{n // 30}" for n in range(60)]}).to_csv(tmp_path / "table.csv", index=False)
    dataset = read(tmp_path / "table.csv")
    assert dataset.test.names == tuple(f"{n}.png" for n in range(2, 60, 3))
    assert (len(dataset.train), dataset.train.class_names) == (40, ("c0", "c1"))
    assert f"column {column!r} divides training and test images" in " ".join(dataset.train.notes)
    with pytest.raises(PipelineError, match=r"data.args.test: .*table.csv says itself which"):
        read(tmp_path / "table.csv", test=str(tmp_path / "table.csv"))
    frame[frame[column] == "train"].assign(**{label: ["c0", "c1"] * 10}).to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(PipelineError, match=r"data.args.test: .*table.csv has rows of several parts, test, train, val"):
        read(tmp_path / "train.csv", test=str(tmp_path / "table.csv"))


def test_the_unlabelled_part_of_a_table_of_files_has_no_labels(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    parts = ["train", "unlabelled", "test"] * 20
    frame = pd.DataFrame({"file": [f"{n}.png" for n in range(60)], "label": np.arange(60) // 30, "split": parts})
    frame.to_csv(tmp_path / "table.csv", index=False)
    dataset = read(tmp_path / "table.csv")
    assert int((dataset.train.labels < 0).sum()) == len(dataset.test) == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n0.png,cat\n99.png,dog\n", r"'99.png' \(line 3\): no image of this name"),
        ("file,label\n0.png,cat\n1.png,dog\n0.png,dog\n", r"lines 2 and 4: 0.png is labelled cat and dog; correct one"),
        ("file,label\n0.png,cat,x\n1.png,dog,x\n", r"line 2: 3 columns; the first line has 2"),
        ("file,kind,label\n0.png,cat,1.5\n1.png,dog,2\n", "has the label 1.5; expected whole numbers"),
        ("file,split\n0.png,train\n1.png,test\n", "cannot be told which column holds the labels; call it label"),
        (
            "file,label,partition\n0.png,0,0\n1.png,1,2\n",
            r"column 'partition' holds '0', which is no part of a data set; .* Write such names, or remove the column",
        ),
        (
            "file,label,split\n0.png,cat,train\n1.png,dog,test\n0.png,cat,test\n",
            r"lines 2 and 4: 0.png is labelled train and test; correct one of them",
        ),
        ("file,kind,sort\n0.png,cat,1.5\n1.png,dog,2\n", "cannot be told which column holds the labels; call it label"),
    ],
)
def test_tables_that_do_not_fit_are_refused_by_line(text: str, message: str, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(PipelineError, match=message):
        read(tmp_path / "table.csv")


def test_a_single_column_beside_that_of_the_parts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("train,5\ntrain,3\ntest,3\n")
    with pytest.raises(PipelineError, match="test_labels: missing"):
        read(tmp_path / "table.csv", shape=[1, 28, 28])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b",1\n\x00", "line 2: 1 columns; the first line has 2"),
        (b"\x00\t\x000", "holds no image"),
        (b"0,1,2,3,4,5\n1,1,2,3,4,6\n2,0,2,3,4,7\n3", "line 4: 1 columns; the first line has 6"),
    ],
)
def test_tables_of_pixels_that_are_cut_short_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(PipelineError, match=message):
        read(tmp_path / "table.csv")
