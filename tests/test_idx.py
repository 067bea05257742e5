"""IDX files under the names that people have them by: EMNIST's, one or all of its sets in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import DataConfig
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.loading import load
from pipeline.errors import PipelineError
from tests.test_data import idx

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 9, 9), dtype=np.uint8)
LABELS = np.arange(60, dtype=np.uint8) % 3


def write(folder: Path, *starts: str, labels: np.ndarray = LABELS) -> None:
    for number, start in enumerate(starts):
        part = slice(30 * number, 30 * number + 30)
        (folder / f"{start}-images-idx3-ubyte").write_bytes(idx(IMAGES[part]))
        (folder / f"{start}-labels-idx1-ubyte").write_bytes(idx(labels[part]))


def read(folder: Path, **args: str) -> Dataset:
    return load(DataConfig("idx", args={"path": str(folder), **args}))


def test_the_official_test_set_of_emnist_is_found_and_its_letters_are_upright(tmp_path: Path) -> None:
    write(tmp_path, "emnist-letters-train", "emnist-letters-test", labels=LABELS + 1)
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n3 67 99\n")
    for args in ({}, {"train": "emnist-letters-train"}):
        dataset = read(tmp_path, **args)
        assert np.array_equal(dataset.train.images[:, 0].numpy(), IMAGES[:30].transpose(0, 2, 1))
        assert np.array_equal(dataset.test.images[:, 0].numpy(), IMAGES[30:].transpose(0, 2, 1))
        assert dataset.train.class_names == ("a", "b", "c")
        assert dataset.test.labels.tolist() == LABELS[30:].tolist()
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n")
    with pytest.raises(PipelineError, match=r"mapping.txt does not name every label \(3\); get it again, or remove it"):
        read(tmp_path)


def test_several_sets_in_a_folder_are_asked_about(tmp_path: Path) -> None:
    write(tmp_path, "emnist-letters-train", "emnist-digits-train")
    with pytest.raises(PipelineError, match="several training sets; name one of emnist-digits-train, emnist-letters-t"):
        read(tmp_path)
    assert len(read(tmp_path, train="emnist-digits-train").train) == 24


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("train", "t10k"), ("kkanji-train", "kkanji-t10k")])
def test_test_files_are_found_under_usual_names(train: str, test: str, tmp_path: Path) -> None:
    write(tmp_path, train, test)
    dataset = read(tmp_path)
    assert np.array_equal(dataset.test.images[:, 0].numpy(), IMAGES[30:])
    assert dataset.train.notes == ()


def test_a_test_set_that_is_missing_is_said(tmp_path: Path) -> None:
    write(tmp_path, "train")
    assert "holds no test files of train; a fifth of its images is held out instead" in read(tmp_path).train.notes[0]
    assert read(tmp_path, test="").train.notes == ()
    with pytest.raises(PipelineError, match=r"holds no t20k-images-idx... file"):
        read(tmp_path, test="t20k")
