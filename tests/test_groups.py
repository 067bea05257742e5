"""Images that belong together stay on one side of test set, validation and folds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.config import DataConfig
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.loading import load
from pipeline.datasets.near_copies import find_near_copies
from pipeline.datasets.splits import Draw, fold_splits, label_split
from pipeline.errors import PipelineError
from tests.conftest import Run

GENERATOR = np.random.default_rng(0)


def write(base: Path, part: str = ".", patients: range = range(20), each: int = 6) -> Path:
    """Pictures of patients, all of one patient in one class; the last of each patient has no label."""
    for patient in patients:
        for n in range(each):
            folder = base / part / (("ill", "well")[patient % 2] if n < each - 1 else "unlabelled")
            folder.mkdir(parents=True, exist_ok=True)
            image = GENERATOR.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(image).save(folder / f"patient{patient:02}_{n}.png")
    return base


def read(base: Path, groups: str, **args: str) -> Dataset:
    return load(DataConfig("folder", args={"path": str(base), **args}, groups=groups))


def patients(names: Any) -> set[str]:
    return {Path(name).name.partition("_")[0] for name in names}


def test_a_held_out_test_set_shares_no_patient_with_the_training_set(tmp_path: Path) -> None:
    alone = load(DataConfig("folder", args={"path": str(write(tmp_path))}))
    assert patients(alone.train.names) & patients(alone.test.names)
    dataset = read(tmp_path, r"(patient\d+)")
    assert not patients(dataset.train.names) & patients(dataset.test.names)
    assert 10 <= len(dataset.test) <= 30
    assert len(dataset.copies.of_test_groups) == len(
        patients(dataset.test.names)
    )  # the picture without a label of each
    assert len(dataset.train) + len(dataset.test) + len(dataset.copies.of_test_groups) == 120
    assert dataset.sha256 != alone.sha256


def test_training_images_of_patients_of_an_official_test_set_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "train", range(12))
    for patient in range(8, 14):
        folder = tmp_path / "test" / ("ill", "well")[patient % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GENERATOR.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"patient{patient:02}_9.png")
    dataset = read(tmp_path, r"(patient\d+)")
    assert patients(dataset.train.names) == {f"patient{n:02}" for n in range(8)}
    assert (len(dataset.test), len(dataset.copies.of_test_groups)) == (6, 4 * 6)


def test_one_object_drawn_by_two_vendors_is_no_near_copy_but_a_group_by_its_file_name(tmp_path: Path) -> None:
    for vendor in ("google", "twitter"):
        for number in range(30):  # other pixels, as two people draw
            image = GENERATOR.integers(0, 256, (16, 16), dtype=np.uint8)
            folder = tmp_path / ("face", "flag")[number % 2] / vendor
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"1f6{number:02x}.png")
    alone = load(DataConfig("folder", args={"path": str(tmp_path)}))
    objects = [{Path(name).name for name in part.names or ()} for part in (alone.train, alone.test)]
    assert objects[0] & objects[1]
    assert not find_near_copies(alone.train.images, alone.test.images, 100).pairs
    dataset = read(tmp_path, r"([^/]+)\.png$")
    objects = [{Path(name).name for name in part.names or ()} for part in (dataset.train, dataset.test)]
    assert not objects[0] & objects[1]
    assert len(dataset.test) == 2 * len(objects[1])


@pytest.mark.parametrize("column", ["patient", "case"])
def test_groups_may_lie_in_a_table(column: str, tmp_path: Path) -> None:
    write(tmp_path / "p")
    files = sorted(path.relative_to(tmp_path / "p") for path in (tmp_path / "p").rglob("*.png"))
    rows = "".join(f"{file},x,{file.name[7:9]}\n" for file in files)
    table = tmp_path / "groups.csv"
    table.write_text(f"file,width,{column}\n{rows}")
    rule = str(table) if column == "patient" else f"{table}:case"
    by_name, by_table = read(tmp_path / "p", r"patient(\d+)"), read(tmp_path / "p", rule)
    assert by_table.test.names == by_name.test.names
    table.write_text(f"file,width,{column}\n" + "\n".join(rows.splitlines()[3:]))
    with pytest.raises(PipelineError, match=r"groups.csv gives no group to ill/patient00_0.png, .*; give every image"):
        read(tmp_path / "p", rule)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("patient(", r"'patient\(' is neither a CSV file nor a regular expression"),
        ("patient", "'patient' has 0 parts in parentheses; expected one"),
        (r"patient(0\d)_", "gives no group to ill/patient10_0.png, .* and 55 more; give every image one"),
        ("nowhere.csv", "data.groups: nowhere.csv does not exist"),
        ("(pat)", "a class is in one of 1 groups alone; label images of other groups"),
        (r"(\d)\.png", "every training image|held out|all of one class"),
    ],
)
def test_rules_that_do_not_work_are_refused(rule: str, message: str, tmp_path: Path) -> None:
    base = write(tmp_path)
    if rule == r"(\d)\.png":
        for path in [
            *base.glob("*/*_1.png"),
            *base.glob("*/*_2.png"),
            *base.glob("*/*_3.png"),
            *base.glob("*/*_4.png"),
        ]:
            path.unlink()
    with pytest.raises(PipelineError, match=message):
        read(base, rule)


@given(seed=st.integers(0, 99), budget=st.integers(24, 60), each=st.integers(1, 5))
def test_validation_and_folds_share_no_group_with_training(seed: int, budget: int, each: int) -> None:
    labels = np.repeat(np.arange(3), 40)
    groups = np.arange(120) // each
    larger = budget + 10
    halves = [label_split(labels, 3, Draw(size, seed), 0.3, groups) for size in (budget, larger)]
    assert not set(groups[halves[0].train]) & set(groups[halves[0].val])
    assert set(halves[0].train) <= set(halves[1].train)
    assert set(halves[0].val) <= set(halves[1].val)
    assert len(halves[0].train) + len(halves[0].val) == budget
    folds = fold_splits(labels, 3, Draw(budget, seed), 4, groups)
    assert all(not set(groups[fold.train]) & set(groups[fold.val]) for fold in folds)
    assert sorted(np.concatenate([fold.val for fold in folds]).tolist()) == sorted([*halves[0].train, *halves[0].val])


def test_a_class_that_only_validates_is_refused() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    groups = np.array([0, 1, 2, 3, 4, 4, 4, 4])
    with pytest.raises(PipelineError, match="class 1 has no label left to train on beside those that validate with"):
        fold_splits(labels, 2, Draw(8, 0), 2, groups)


def test_groups_through_the_command_line(tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = write(tmp_path / "p", patients=range(30))
    common = (
        "--data.dataset=folder",
        f"--data.args.path={base}",
        f"--runs={tmp_path / 'mine'}",
        "--grid.labels=[40]",
    )
    settings = (
        *common,
        r"--data.groups=(patient\d+)",
        "--grid.draws=1",
        "--pretrain.epochs=1",
        "--grid.modes=[frozen]",
    )
    for stage in ("check-dataset", "data", "pretrain", "compare"):
        assert tiny(stage, *settings) == 0, capsys.readouterr().err
    assert (
        "further training images are left out, since images of their group are in the test" in capsys.readouterr().out
    )
    [card] = (tmp_path / "mine").glob("tiny/data-*/card.json")
    assert json.loads(card.read_text())["left_out_because_of_groups"] == 6


def test_the_remedies_for_groups_that_leave_nothing_to_train_on_work() -> None:
    labels, one_each = np.arange(40) % 2, np.arange(40) % 2  # each class is one group
    with pytest.raises(PipelineError, match="take more labels, or smaller groups"):
        fold_splits(labels, 2, Draw(10, 0), 5, one_each)
    for budget, groups in ((10, np.arange(40)), (40, np.arange(40) // 4)):  # smaller groups; more labels of others
        for split in fold_splits(labels, 2, Draw(budget, 0), 5, groups):
            assert set(labels[split.train]) == {0, 1}
