"""Stage review: labels that are probably wrong come first, and are written for a table and for a page."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pipeline.artefacts.suspects import find_suspects
from pipeline.config import DataConfig
from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.loading import bind, load, load_with
from pipeline.datasets.streamed import Storage
from pipeline.errors import PipelineError
from pipeline.evaluation.label_errors import find_doubts
from tests.conftest import Run

RNG = np.random.default_rng(0)


@pytest.fixture
def flipped(tmp_path: Path) -> tuple[str, set[int]]:
    """A labels file of 400 digits, of which 20 are wrong, and which these are; 600 is the first test image."""
    truth = load_digits().target[:600]
    chosen = RNG.permutation(600)[:400]
    wrong = chosen[:20]
    given = truth.copy()
    given[wrong] = (given[wrong] + RNG.integers(1, 10, 20)) % 10
    path = tmp_path / "labels.csv"
    path.write_text("index,label\n" + "".join(f"{n},{given[n]}\n" for n in chosen))
    return str(path), set(wrong.tolist())


def official(folder: Path) -> str:
    """The digits with a test set of their own."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    path = folder / "digits.npz"
    np.savez(path, images=images[:600], labels=labels[:600], test_images=images[600:], test_labels=labels[600:])
    return str(path)


def rows(runs: Path) -> list[dict[str, str]]:
    [path] = runs.glob("tiny/review-*/suspects.csv")
    return list(csv.DictReader(path.read_text().splitlines()))


def test_flipped_labels_come_first(
    tiny: Run, runs: Path, flipped: tuple[str, set[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    labels, wrong = flipped
    data = ("--data.dataset=numpy", f"--data.args.path={official(runs)}", "--data.args.white=16")
    settings = (*data, f"--data.labels={labels}", "--pretrain.epochs=20", "--grid.labels=[50]")
    for stage in ("data", "pretrain"):
        assert tiny(stage, *settings) == 0, capsys.readouterr().err
    assert tiny("review", *settings, "--count=20") == 0, capsys.readouterr().err
    shown = rows(runs)
    assert len(shown) == 20
    assert len({int(row["name"]) for row in shown} & wrong) >= 15
    assert [row["rank"] for row in shown] == [str(n) for n in range(1, 21)]
    probabilities = [float(row["probability"]) for row in shown]
    assert probabilities == sorted(probabilities)
    assert all(row["label"] != row["proposal"] for row in shown)
    [page] = runs.glob("tiny/review-*/label.html")
    assert capsys.readouterr().out.rstrip().endswith(str(page))
    assert "20 labels of tiny to review" in page.read_text()


def test_it_needs_an_encoder_labels_and_a_count(
    tiny: Run, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("review", "--count=0") == 2
    assert "count: 0 is not allowed; expected 1 to 1000 labels to show" in capsys.readouterr().err
    assert tiny("review", "--name=nothing") == 2
    said = capsys.readouterr().err
    assert "pipeline data` and then `python -m pipeline pretrain` with the same settings first" in said
    assert tiny("review", "--pretrain.seed=1") == 2
    assert "pretrain` with the same settings first" in capsys.readouterr().err


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 0, 0], [0, 1, 2, 3]])
def test_labels_that_cannot_be_left_out_are_refused(labels: list[int]) -> None:
    with pytest.raises(PipelineError, match="label at least two images of each of two classes"):
        find_doubts(RNG.normal(size=(len(labels), 3)), np.array(labels))


def test_the_only_label_of_a_class_is_not_doubted() -> None:
    labels = np.array([0] * 10 + [1] * 10 + [2])
    found = find_doubts(RNG.normal(size=(21, 3)) + labels[:, None] * 9, labels)
    assert found.judged == 20
    assert all(doubt.place != 20 for doubt in found.found)


def test_a_label_is_judged_by_images_of_other_groups() -> None:
    """Two copies of an image in one group, both labelled wrong, do not confirm each other."""
    labels = np.arange(60) % 2
    embeddings = RNG.normal(size=(60, 2)) + labels[:, None] * 6
    groups = np.arange(60)
    embeddings[1], groups[1] = embeddings[3] * 1.5, 3
    labels[[1, 3]] = 0
    assert {doubt.place for doubt in find_doubts(embeddings, labels, groups).found} == {1, 3}


def test_streamed_images_are_reviewed_as_those_in_memory(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (90, 16, 16), dtype=np.uint8)
    labels = np.arange(90) % 2
    images[5], labels[5] = images[2], 1
    images[9] = images[4] // 2 + 40
    for prefix, part in {"": slice(80), "test_": slice(80, None)}.items():
        np.save(tmp_path / f"{prefix}images.npy", images[part])
        np.save(tmp_path / f"{prefix}labels.npy", labels[part])
    embeddings = torch.from_numpy(RNG.normal(size=(80, 4)) + labels[:80, None] * 8).float()
    args = {"path": str(tmp_path)}
    streamed = load(DataConfig("numpy", str(tmp_path / "raw"), args, "always"))
    assert streamed.train.is_streamed
    found = find_suspects(streamed, embeddings)
    assert found == find_suspects(load(DataConfig("numpy", str(tmp_path / "raw"), args, "never")), embeddings)
    assert [each.copy is not None for each in found.found[:2]] == [True, True]


def test_copies_with_different_labels_come_first() -> None:
    images = RNG.integers(0, 256, (80, 1, 16, 16), dtype=np.uint8)
    labels = np.arange(80) % 2
    images[5], labels[5] = images[2], 1  # the same image, labelled 1 and 0
    images[9] = images[4] // 2 + 40  # nearly the same image, labelled 1 and 0
    images[12] = images[8]  # the same image, labelled alike
    test = from_arrays(RNG.integers(0, 256, (10, 1, 16, 16), dtype=np.uint8), np.arange(10) % 2)
    train = from_arrays(images, labels)
    assert isinstance(train, ImageData)

    dataset = load_with(bind("own", lambda: (train, test), Storage(Path()), {}))
    embeddings = torch.from_numpy(np.random.default_rng(1).normal(size=(80, 4)) + labels[:, None] * 8).float()
    found: Any = find_suspects(dataset, embeddings)
    assert [{each.image, each.copy} for each in found.found if each.copy is not None] == [{2, 5}, {4, 9}]
    assert all(each.is_sure for each in found.found[:2])
    assert (found.labels, found.judged) == (80, 78)
