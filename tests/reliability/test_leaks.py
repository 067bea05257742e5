"""No image is in two of labelled, validation, pretraining and test set, and nothing is chosen by the test set."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import methods
from pipeline.artefacts import cell as cells
from pipeline.artefacts.cell_inputs import CellInputs
from pipeline.config import DataConfig, InvariancesConfig, NetworkConfig, PretrainConfig, RuntimeConfig, TrainConfig
from pipeline.datasets import assembly, loading
from pipeline.datasets.checksums import content_hashes
from pipeline.datasets.image_data import Copies, Dataset, ImageData
from pipeline.datasets.leakage import LeakError, check_disjoint
from pipeline.datasets.splits import Draw, union
from pipeline.datasets.streamed import Storage
from pipeline.learning.classify import train_classifier
from pipeline.learning.examples import Examples
from pipeline.learning.plan import Plan, Pretrained, split_budget
from pipeline.learning.pretrain import split_holdout
from pipeline.models.inputs import infer
from pipeline.models.neighbours import nearest_neighbours
from pipeline.models.propagation import similarity_graph
from pipeline.modes import BUILT_IN
from pipeline.store import disk, test_access
from tests.conftest import Run
from tests.reliability.forking import SMALL, finish
from tests.test_cells import cell


def test_by_index_and_by_content_nothing_is_shared(runs: Path, tiny: Run) -> None:
    """Counted anew from what a cell and its pretraining left behind."""
    assert tiny("train", "--mode=finetune", "--labels=100", "--seed=1") == 0
    dataset, split = (
        loading.load(DataConfig("digits")),
        json.loads((cell(runs, "finetune", seed=1) / "split.json").read_text()),
    )
    labelled, validation = split["train"]["index"], split["val"]["index"]
    assert not set(labelled) & set(validation)
    assert len(labelled) + len(validation) == 100
    _, seen = split_holdout(PretrainConfig(holdout=100), len(dataset.train))
    parts = {
        "labelled": set(content_hashes(dataset.train.images[labelled])),
        "validation": set(content_hashes(dataset.train.images[validation])),
        "test": set(content_hashes(dataset.test.images)),
    }
    for one, other in itertools.combinations(parts, 2):
        assert not parts[one] & parts[other]
    assert not set(content_hashes(dataset.train.images[seen])) & parts["test"]


def images(*values: int) -> torch.Tensor:
    """One image of 8 x 8 a value."""
    return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()


def data(values: tuple[int, ...], labels: tuple[int, ...]) -> ImageData:
    return ImageData(images(*values), torch.tensor(labels), ("a", "b"))


def test_copies_of_an_image_share_one_label_and_the_test_set_keeps_its_own() -> None:
    train_part = data((1, 2, 1, 3, 1, 4, 2), (0, 1, 1, 0, -1, 1, 1))
    dataset = assembly.assemble(train_part, data((4, 9), (0, 1)), Storage(Path()))
    assert len(dataset.copies.in_test) == 1
    assert len(dataset.copies.repeated) == 2
    assert dataset.train.images[:, 0, 0, 0].tolist() == [1, 2, 1, 3, 1, 2]
    assert dataset.train.labels.tolist() == [0, 1, -1, 0, -1, -1]
    labelled = np.flatnonzero(dataset.train.labels.numpy() >= 0)
    for one in labelled:
        check_disjoint(dataset, {"one": np.array([one]), "others": np.setdiff1d(labelled, [one])})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"pretraining": [0, 1]}, "image 1 of the training images is in pretraining and in the test set"),
        ({"labelled": [0, 2], "validation": [3, 2]}, "image 2 .* is in validation and in labelled"),
        ({"labelled": [0], "validation": [4]}, "image 4 .* is in validation and in labelled"),  # a copy
    ],
)
def test_the_check_would_find_a_leak(parts: dict[str, list[int]], message: str) -> None:
    leaking = Dataset(data((1, 2, 3, 4, 1), (0, 1, 0, 1, 0)), data((2, 9), (0, 1)), Copies("", "", [], [], [], 0, 0, 0))
    with pytest.raises(LeakError, match=message):
        check_disjoint(leaking, {name: np.array(index) for name, index in parts.items()})


@pytest.mark.parametrize("stage", ["pretrain", "train", "baseline"])
def test_the_stages_make_that_check(
    stage: str, runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a data set that lets test images into training, each stage refuses to make a result."""
    whole = loading.load

    def leaking(config: DataConfig) -> Dataset:
        dataset = whole(config)
        labels = dataset.train.labels
        return dataclasses.replace(
            dataset,
            train=ImageData(dataset.test.images[torch.arange(len(labels)) % 360], labels, dataset.train.class_names),
        )

    monkeypatch.setattr(loading, "load", leaking)
    arguments = {
        "pretrain": ("pretrain", "--pretrain.seed=3"),
        "train": ("train", "--mode=scratch"),
        "baseline": ("compare", "--grid.labels=[50]", "--grid.modes=[scratch]", "--grid.draws=1"),
    }[stage]
    assert tiny(*arguments) == 2
    assert "and in the test set; so there is no result" in capsys.readouterr().err
    assert not list(runs.glob("tiny/*/scratch-*")) + list(runs.glob("tiny/baselines/knn-*"))


TEST_SET = """
import torch
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.loading import load, DataConfig

def digits(root, test):
    whole = load(DataConfig("digits"))
    images = whole.test.images if test == "real" else 255 - whole.test.images
    labels = whole.test.labels if test == "real" else whole.test.labels.flip(0)
    return whole.train, ImageData(images, labels, whole.test.class_names)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", BUILT_IN)
def test_another_test_set_changes_no_weight(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Normalisation, pretraining, early stopping: all the same to the bit, whatever the test set holds."""
    from pipeline.cli import main

    (tmp_path / "their_digits.py").write_text(TEST_SET)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {}
    for test in ("real", "other"):
        runs = tmp_path / test
        own = [*SMALL, "--data.dataset=their_digits:digits", f"--data.args.test={test}", f"--runs={runs}"]
        stages = [["data"], ["pretrain"], ["train", f"--mode={mode}", "--labels=100"]]
        assert [main([*stage, *own]) for stage in stages] == [0, 0, 0]
        weights = [*runs.glob("small/cells/*/weights.safetensors"), *runs.glob("small/pretrain-*/*.safetensors")]
        [predictions] = runs.glob("small/cells/*/predictions.npz")
        found[test] = sorted(map(disk.sha256_file, weights)), disk.sha256_file(predictions)
    assert found["real"][0] == found["other"][0]
    assert found["real"][1] != found["other"][1]  # they were other images indeed


@pytest.mark.parametrize("mode", ["propagate", "self_train"])
def test_labels_outside_the_draw_change_no_weight(mode: str) -> None:
    digits = loading.load(DataConfig("digits")).train
    images, labels, settings = digits.images, digits.labels, PretrainConfig(encoder=NetworkConfig(widths=(4, 8)))
    brief = TrainConfig(unlabelled_steps=20, evaluations=4)
    plan = Plan(mode, settings, brief, InvariancesConfig(), RuntimeConfig(progress=False), 0)
    splits = split_budget(plan.train, labels.numpy(), 10, Draw(100, 0))
    torch.manual_seed(0)
    backbone = methods.new_backbone(settings, (1, 8, 8)).eval()
    embeddings = infer(backbone, images)
    graph = similarity_graph(*nearest_neighbours(embeddings, 5))
    hidden = torch.ones(len(labels), dtype=torch.bool)
    hidden[np.concatenate([splits[0].train, splits[0].val])] = False
    found = []
    for others in (labels, (labels + 1) % 10):
        examples = Examples(images, torch.where(hidden, others, labels), 10, splits)
        pretrained = Pretrained(backbone.state_dict(), embeddings)
        found.append(train_classifier(plan, examples, pretrained, graph).model.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


class ClosedError(Exception):
    """The test set was looked at too early."""


class Closed:
    """A test set that must not be looked at yet."""

    def __getattr__(self, name: str) -> object:
        raise ClosedError(name)

    def __len__(self) -> int:
        raise ClosedError


@pytest.mark.parametrize(
    "mode", [mode if mode == "finetune" else pytest.param(mode, marks=pytest.mark.slow) for mode in BUILT_IN]
)
def test_the_test_set_is_closed_until_the_classifier_is_chosen(
    mode: str, runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, choose = [], cells.train_cell

    def closed_while_choosing(cell: cells.Cell, cell_inputs: CellInputs) -> object:
        dataset = cell_inputs.dataset
        assert dataset.test_hashes  # digests, for the check that nothing is shared
        kept = dataset.test
        object.__setattr__(dataset, "test", Closed())
        found = choose(cell, cell_inputs)
        object.__setattr__(dataset, "test", kept)
        opened.append(mode)
        return found

    monkeypatch.setattr(cells, "train_cell", closed_while_choosing)
    assert tiny("train", f"--mode={mode}") == 0
    assert opened == [mode]


def test_a_look_that_is_too_early_would_be_seen(runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = cells._measure

    def measured_too_early(cell: cells.Cell, cell_inputs: CellInputs, *rest: object) -> object:
        object.__setattr__(cell_inputs.dataset, "test", Closed())
        split = union(cell_inputs.splits(cell.labels, cell.seed))
        untrained: Any = SimpleNamespace(model=None, held_back=None, split=split)
        return measure(cell, untrained, cell_inputs)

    monkeypatch.setattr(cells, "train_cell", measured_too_early)
    monkeypatch.setattr("pipeline.evaluation.errors.evaluate", lambda *_: None)
    with pytest.raises(ClosedError):
        tiny("train", "--mode=scratch")


@pytest.mark.slow
def test_a_second_look_is_written_down_and_shown(compared: Path, tmp_path: Path) -> None:
    runs, log = Path(shutil.copytree(compared, tmp_path / "runs")), tmp_path / "log"
    experiment, sha256 = runs / "small", json.loads(next(compared.glob("small/data-*/card.json")).read_text())["sha256"]
    assert test_access.count(experiment, sha256) == test_access.AccessCounts(4, {}, 1)
    assert finish(["compare", *SMALL, f"--runs={runs}"], log) == 0
    assert test_access.count(experiment, sha256) == test_access.AccessCounts(
        4, {}, 1
    )  # what is finished is not measured again
    [again] = (experiment / "cells").glob("frozen-50-0-*")
    shutil.rmtree(again)
    assert finish(["train", *SMALL, "--labels=50", f"--runs={runs}"], log) == 0
    assert "the same cell opens the test set for the second time" in log.read_text()
    other = ["train", *SMALL, "--labels=50", "--train.modes.frozen.head_lr=0.01", f"--runs={runs}"]
    assert finish(other, log) == 0
    assert test_access.count(experiment, sha256) == test_access.AccessCounts(6, {f"cells/{again.name}": 2}, 2)
    assert finish(["report", *SMALL, f"--runs={runs}"], log) == 0
    page = (experiment / "report.md").read_text()
    assert f"It was opened again for cells/{again.name} (2 times)" in page
    assert "was measured under up to 2 settings" in page
    first = tmp_path / "first"
    shutil.copytree(compared, first)
    assert finish(["report", *SMALL, f"--runs={first}"], log) == 0
    assert "opened again" not in (first / "small" / "report.md").read_text()


def test_a_broken_line_in_the_book_is_passed_over(tmp_path: Path) -> None:
    test_access.log(tmp_path, "cells/a", "1234", "d")
    with (tmp_path / test_access.FILE).open("a") as file:
        file.write('\n{"what": "cells/a", "ma')
    test_access.log(tmp_path, "cells/a", "1234", "d")
    assert test_access.count(tmp_path, "d").total == 2
