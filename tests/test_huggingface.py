"""Reader ``huggingface`` on data sets that the test saves to disk; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import extras
from pipeline.config import DataConfig
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.loading import load, prepare
from pipeline.datasets.streamed import Streamed
from pipeline.errors import PipelineError

GREY = np.random.default_rng(0).integers(0, 256, (60, 9, 8), dtype=np.uint8)
NAMES = ["cat", "dog", "owl"]


@pytest.fixture
def datasets() -> Any:
    return pytest.importorskip("datasets", reason="needs the extra [huggingface]", exc_type=ImportError)


def make(datasets: Any, start: int, stop: int, image: str = "image", label: str = "label") -> Any:
    """The pictures of these numbers, with classes."""
    features = datasets.Features({image: datasets.Image(), label: datasets.ClassLabel(names=NAMES)})
    pictures = [Image.fromarray(pixels) for pixels in GREY[start:stop]]
    labels = [number % 3 for number in range(start, stop)]
    return datasets.Dataset.from_dict({image: pictures, label: labels}, features=features)


def read(path: Path, root: Path, streaming: Any = "never", **args: Any) -> Dataset:
    return load(DataConfig("huggingface", str(root), {"path": str(path), **args}, streaming))


def test_splits_and_names_of_classes_are_those_of_the_data_set(datasets: Any, tmp_path: Path) -> None:
    splits = {"train": make(datasets, 0, 20), "test": make(datasets, 20, 30), "unsupervised": make(datasets, 30, 60)}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "x"))
    memory, files = (read(tmp_path / "x", tmp_path, streaming) for streaming in ("never", "always"))
    assert memory.train.class_names == tuple(NAMES)
    assert np.array_equal(memory.train.images[:, 0].numpy(), np.concatenate([GREY[:20], GREY[30:]]))
    assert memory.train.labels.tolist() == [*(n % 3 for n in range(20)), *[-1] * 30]
    assert np.array_equal(memory.test.images[:, 0].numpy(), GREY[20:30])
    assert isinstance(files.train.images, Streamed)
    assert files.sha256 == memory.sha256


def test_columns_and_splits_can_be_named_and_images_resized(datasets: Any, tmp_path: Path) -> None:
    splits = {"all": make(datasets, 0, 40, "photo", "kind"), "later": make(datasets, 40, 60, "photo", "kind")}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "x"))
    dataset = read(tmp_path / "x", tmp_path, train="all", test="later", image="photo", label="kind", size=12)
    assert (len(dataset.train), len(dataset.test), dataset.train.shape) == (40, 20, (1, 12, 12))


def test_a_single_split_with_missing_labels_in_words(datasets: Any, tmp_path: Path) -> None:
    words = [["cat", "dog", None][number % 3] for number in range(60)]
    features = datasets.Features({"img": datasets.Image(), "label": datasets.Value("string")})
    pictures = [Image.fromarray(pixels) for pixels in GREY]
    datasets.Dataset.from_dict({"img": pictures, "label": words}, features=features).save_to_disk(str(tmp_path / "x"))
    dataset = read(tmp_path / "x", tmp_path)
    assert dataset.train.class_names == ("cat", "dog")
    assert int((dataset.train.labels < 0).sum()) == 20
    assert len(dataset.test) == 8


def test_a_data_set_of_the_hub_is_downloaded_once_and_then_read_from_disk(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def hub(path: str, name: str | None, cache_dir: str) -> Any:
        asked.append((path, name))
        return datasets.DatasetDict({"train": make(datasets, 0, 60)})

    config = DataConfig("huggingface", str(tmp_path), {"path": "somebody/pictures", "name": "small"})
    with pytest.raises(PipelineError, match="somebody--pictures--small does not exist; correct the path, or run `make"):
        load(config)
    monkeypatch.setattr(datasets, "load_dataset", hub)
    prepare(config)
    prepare(config)
    assert asked == [("somebody/pictures", "small")]
    assert len(load(config).train) == 48


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"train": "training"}, "there is no split 'training'; the data set has train, test: name them with"),
        ({"image": "photo"}, r"data.args.image: photo; the columns are image \(Image\), label \(ClassLabel\): name"),
        ({"image": "label"}, "data.args.image: column 'label' is of ClassLabel; expected images"),
        ({"label": "kind"}, "data.args.label: kind; the columns are"),
    ],
)
def test_what_the_data_set_does_not_have_is_said(
    datasets: Any, args: dict[str, str], message: str, tmp_path: Path
) -> None:
    splits = {"train": make(datasets, 0, 20), "test": make(datasets, 20, 30)}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "x"))
    with pytest.raises(PipelineError, match=message):
        read(tmp_path / "x", tmp_path, **args)


def test_a_folder_of_something_else_is_refused(datasets: Any, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"is no data set .* write it with save_to_disk"):
        read(tmp_path, tmp_path)


def test_a_missing_package_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    with pytest.raises(PipelineError, match=r"data.dataset: huggingface needs datasets; .*\[huggingface\]"):
        read(tmp_path, tmp_path)


def test_a_folder_of_the_package_s_name_is_not_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "holiday_pictures").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(extras.EXTRAS, "huggingface", ("holiday_pictures",))
    assert extras.missing("huggingface") == ["holiday_pictures"]
