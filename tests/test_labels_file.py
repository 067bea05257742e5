"""Labels from a CSV file in place of the source's own, and data sets without any label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.config import DataConfig
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.loading import load
from pipeline.errors import PipelineError
from tests.conftest import Run
from tests.test_data import idx

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)


def pictures(base: Path, folders: list[str]) -> Path:
    for n, image in enumerate(IMAGES):
        folder = base / folders[n % len(folders)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{n}.png")
    return base


def table(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def classes_by_name(dataset: Dataset) -> dict[str, str]:
    """The class of each image that has a label, by the image's name."""
    found: dict[str, str] = {}
    for part in (dataset.train, dataset.test):
        labelled = zip(part.names, part.labels.tolist(), strict=True)
        found |= {name: part.class_names[label] for name, label in labelled if label >= 0}
    return found


def read(reader: str, path: Path, labels: str = "", **args: Any) -> Dataset:
    return load(DataConfig(reader, args={"path": str(path), **args}, labels=labels))


def test_labels_by_file_replace_those_of_the_folders(tmp_path: Path) -> None:
    base = pictures(tmp_path / "p", ["cat", "dog"])
    own = read("folder", base)
    rows = [f"{n}.png,{('even', 'odd')[n % 3 % 2]}" for n in range(20)]
    given = read("folder", base, table(tmp_path / "labels.csv", "file,label", *rows))
    wanted = {f"{('cat', 'dog')[n % 2]}/{n}.png": ("even", "odd")[n % 3 % 2] for n in range(20)}
    assert classes_by_name(given) == wanted
    assert len(given.train) + len(given.test) == 40
    assert given.sha256 != own.sha256


@pytest.mark.parametrize("reader", ["numpy", "csv"])
def test_labels_by_index_count_the_images_of_the_source(reader: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=IMAGES, labels=np.arange(40) % 2)
    np.savetxt(tmp_path / "x.csv", np.column_stack([np.arange(40) % 2, IMAGES.reshape(40, 64)]), "%d", ",")
    labels = table(tmp_path / "labels.csv", "index,label", *(f"{n},{10 - n % 2}" for n in range(30)))
    given = read(reader, tmp_path / ("x.npz" if reader == "numpy" else "x.csv"), labels)
    assert given.train.class_names == ("9", "10")
    assert classes_by_name(given) == {str(n): str(10 - n % 2) for n in range(30)}
    rows = {str(n): image.tobytes() for n, image in enumerate(IMAGES)}
    assert [image.numpy().tobytes() for image in given.train.images] == [rows[n] for n in given.train.names or ()]


def test_an_official_test_set_keeps_its_labels_and_its_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=IMAGES[:30], test_images=IMAGES[30:], test_labels=np.arange(10) % 2)
    labels = table(tmp_path / "labels.csv", "index;label", "3;0", "7;1", "8;", "9;-1")
    given = read("numpy", tmp_path / "x.npz", labels)
    assert (len(given.train), given.test.labels.tolist()) == (30, [0, 1] * 5)
    assert {n: c for n, c in classes_by_name(given).items() if "test" not in n} == {"3": "0", "7": "1"}
    with pytest.raises(PipelineError, match=r"labels.csv, line 3: the class 'seven' is not a class of the test set,"):
        read("numpy", tmp_path / "x.npz", table(tmp_path / "labels.csv", "index,label", "3,0", "7,seven"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,label", "0.png,a", "x/1.png,b", "41.png,a"], r"'x/1.png' \(line 3\), '41.png' \(line 4\): no image"),
        (["index,label", "0,a", "40,b"], r"'40' \(line 3\): no image of this number; expected 0 to 39"),
        (["file,label", "0.png,a", "cat/0.png,b"], "lines 2 and 3: cat/0.png is labelled a and b; correct one"),
        (["file,label", "0.png,a,b"], "line 2: 3 columns; the first line has 2"),
        (["file,label", *(f"{n}.jpg,a" for n in range(9))], r"'4.jpg' \(line 6\) and 4 more: no image of this name"),
        (["index,label", "0,a", "-1,b"], r"'-1' \(line 3\): no image of this number; expected 0 to 39"),
        (["index,label", "0,a", "1.5,b"], r"'1.5' \(line 3\): no image of this number"),
        (
            ["index,file,label", "0,cat/0.png,a", "7,cat/2.png,b"],
            "line 3: cat/2.png is image [0-9]+, but its index is 7;",
        ),
        (["rank,label", "x", "y"], "line 2: 1 columns"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_line(lines: list[str], message: str, tmp_path: Path) -> None:
    base = pictures(tmp_path / "p", ["cat", "dog"])
    with pytest.raises(PipelineError, match=message):
        read("folder", base, table(tmp_path / "labels.csv", *lines))


def test_an_index_may_be_written_as_pandas_writes_it_beside_gaps(tmp_path: Path) -> None:
    base = pictures(tmp_path / "p", ["cat", "dog"])
    rows = [f"{n},{'ab'[n % 2]}" for n in range(20)]
    whole = read("folder", base, table(tmp_path / "whole.csv", "index,label", *rows))
    rows = [row.replace(",", ".0,") for row in rows]
    assert classes_by_name(read("folder", base, table(tmp_path / "x.csv", "index,label", *rows))) == classes_by_name(
        whole
    )


def test_a_file_name_that_several_images_have_is_refused(tmp_path: Path) -> None:
    for folder in ("cat", "dog"):
        pictures(tmp_path / "p", [folder])
    with pytest.raises(PipelineError, match=r"'3.png' \(line 3\): no image of this name, or several"):
        read("folder", tmp_path / "p", table(tmp_path / "labels.csv", "file,label", "cat/1.png,a", "3.png,b"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"data.labels: .*nowhere.csv does not exist"):
        read("folder", pictures(tmp_path / "p", ["cat", "dog"]), str(tmp_path / "nowhere.csv"))


# --- no label at all ------------------------------------------------------------------------------------------


def flat(base: Path) -> tuple[str, Path]:
    return "folder", pictures(base / "p", ["."])


def pool_alone(base: Path) -> tuple[str, Path]:
    return "folder", pictures(base, ["unlabelled"])


def images_alone(base: Path) -> tuple[str, Path]:
    np.save(base / "images.npy", IMAGES)
    return "numpy", base


def pixels_alone(base: Path) -> tuple[str, Path]:
    np.savetxt(base / "x.csv", IMAGES.reshape(40, 64), "%d", ",")
    return "csv", base / "x.csv"


@pytest.mark.parametrize("write", [flat, pool_alone, images_alone, pixels_alone])
def test_images_without_labels_are_a_data_set(write: Any, tmp_path: Path) -> None:
    dataset = read(*write(tmp_path))
    assert (len(dataset.train), len(dataset.test), dataset.train.class_names) == (40, 0, ())
    assert dataset.train.labels.tolist() == [-1] * 40


def test_an_array_that_may_hold_labels_is_asked_about(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=IMAGES, y=np.arange(40) % 2)
    with pytest.raises(PipelineError, match=r"data.args.labels: .* holds no array 'labels'; it holds images, y"):
        read("numpy", tmp_path / "x.npz")


def test_without_labels_all_works_but_the_comparison(
    tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "images.npy", np.random.default_rng(1).integers(0, 256, (300, 8, 8), dtype=np.uint8))
    runs = tmp_path / "mine"
    settings = ("--data.dataset=numpy", f"--data.args.path={tmp_path}", f"--runs={runs}", "--pretrain.epochs=1")
    for stage in ("check-dataset", "data", "pretrain", "sample"):
        assert tiny(stage, *settings) == 0, capsys.readouterr().err
    assert "remark: no training image has a label: pretraining and suggest need none" in capsys.readouterr().out
    for stage in ("compare", "train"):
        assert tiny(stage, *settings, *(("--mode=frozen", "--labels=10", "--seed=0") if stage == "train" else ())) == 2
        assert "labels: no training image has one; label some, and name them" in capsys.readouterr().err

    # labels come later, and others after that: what was pretrained stays
    [encoder] = runs.glob("tiny/pretrain-*")
    test = np.random.default_rng(2).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "test_images.npy", test)
    np.save(tmp_path / "test_labels.npy", np.arange(20) % 2)
    for shift in (0, 1):
        labels = table(tmp_path / "labels.csv", "index,label", *(f"{n},{(n + shift) % 2}" for n in range(20)))
        grid = ("--grid.labels=[20]", "--grid.draws=1", "--grid.modes=[frozen]", "--grid.baselines=false")
        for stage in ("data", "pretrain", "compare"):
            assert tiny(stage, *settings, f"--data.labels={labels}", *grid) == 0, capsys.readouterr().err
        assert len([*runs.glob("tiny/cells/frozen-*")]) == shift + 1
    assert [*runs.glob("tiny/pretrain-*")] == [encoder]


# --- every reader ---------------------------------------------------------------------------------------------

TRUTH = np.arange(40) % 2


def numpy_source(base: Path) -> DataConfig:
    np.savez(base / "x.npz", images=IMAGES, labels=TRUTH)
    return DataConfig("numpy", args={"path": str(base / "x.npz")})


def streamed_source(base: Path) -> DataConfig:
    (base / "x").mkdir()
    np.save(base / "x" / "images.npy", IMAGES)
    return DataConfig("numpy", str(base / "raw"), {"path": str(base / "x")}, streaming="always")


def folder_source(base: Path) -> DataConfig:
    return DataConfig("folder", args={"path": str(pictures(base / "x", ["cat", "dog"]))})


def idx_source(base: Path) -> DataConfig:
    for name, array in {"images-idx3": IMAGES, "labels-idx1": TRUTH.astype(np.uint8)}.items():
        (base / f"train-{name}-ubyte").write_bytes(idx(array))
    return DataConfig("idx", args={"path": str(base)})


def pixels_source(base: Path) -> DataConfig:
    np.savetxt(base / "x.csv", np.column_stack([TRUTH, IMAGES.reshape(40, 64)]), "%d", ",")
    return DataConfig("csv", args={"path": str(base / "x.csv")})


def listed_source(base: Path) -> DataConfig:
    pictures(base / "x", ["."])
    listed = table(base / "x" / "list.csv", "file,label", *(f"{n}.png,{n % 2}" for n in range(40)))
    return DataConfig("csv", args={"path": listed})


def torchvision_source(base: Path) -> DataConfig:
    args = {"name": "FakeData", "size": 40, "image_size": [3, 8, 8], "num_classes": 2}
    return DataConfig("torchvision", str(base), args)


def digits_source(base: Path) -> DataConfig:
    return DataConfig("digits", str(base))


SOURCES = [
    numpy_source,
    streamed_source,
    folder_source,
    idx_source,
    pixels_source,
    listed_source,
    torchvision_source,
    digits_source,
]


@pytest.mark.parametrize("source", SOURCES)
def test_every_reader_takes_labels_from_a_file(source: Any, tmp_path: Path) -> None:
    config = source(tmp_path)
    own = load(config)
    assert own.given.names
    by_name = dict(zip(own.given.names, own.given.codes.tolist(), strict=True))
    chosen = sorted(by_name)[3:33]
    key = "index" if chosen[0].isdecimal() else "file"
    lines = [f"{name},{('odd', 'even')[n % 2]}" for n, name in enumerate(chosen)]
    labels = table(tmp_path / "labels.csv", f"{key},label", *lines, f"{sorted(by_name)[0]},")
    given = load(replace(config, labels=labels))
    assert classes_by_name(given) == {name: ("odd", "even")[n % 2] for n, name in enumerate(chosen)}
    assert given.sha256 != own.sha256
    assert set(given.given.names) == set(by_name)

    where = "999999" if key == "index" else "nowhere.png"
    table(tmp_path / "labels.csv", f"{key},label", *lines, f"{where},odd")
    with pytest.raises(PipelineError, match=rf"labels.csv: '{where}' \(line 32\): no image of this"):
        load(replace(config, labels=labels))
    table(tmp_path / "labels.csv", f"{key},label", *lines, f"{chosen[0]},other")
    with pytest.raises(PipelineError, match=r"labels.csv, lines 2 and 32: .* is labelled odd and other; correct one"):
        load(replace(config, labels=labels))


def test_labels_that_look_like_files_do_not_name_the_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=IMAGES)
    labels = table(tmp_path / "labels.csv", "index,label", *(f"{n},v{n % 2}.two" for n in range(20)))
    given = read("numpy", tmp_path / "x.npz", labels)
    assert given.train.class_names == ("v0.two", "v1.two")


def test_a_column_of_parts_beside_the_labels_is_refused_and_the_remedies_work(tmp_path: Path) -> None:
    base = pictures(tmp_path / "p", ["all"])
    rows = [f"{n}.png,{('even', 'odd')[n % 2]},{'test' if n < 10 else 'train'}" for n in range(40)]
    labels = table(tmp_path / "labels.csv", "file,label,split", *rows)
    unlabelled = {"unlabelled": "all"}
    with pytest.raises(PipelineError, match=r"data\.labels: .* column 'split', which divides .* Remove the column; or"):
        read("folder", base, labels, **unlabelled)
    divided = load(DataConfig("csv", args={"path": labels, "images": str(base)}))
    assert (len(divided.train), len(divided.test)) == (30, 10)
    removed = table(tmp_path / "removed.csv", "file,label", *(row.rpartition(",")[0] for row in rows))
    assert len(classes_by_name(read("folder", base, removed, **unlabelled))) == 40
