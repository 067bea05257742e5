"""The data card: what stage data found in the images, and the images themselves, checked against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from pipeline.artefacts import data_source
from pipeline.config import Experiment, as_dict
from pipeline.datasets import loading
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.splits import Draw
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.learning.plan import split_budget
from pipeline.store import disk
from pipeline.store.artefact import Artefact
from pipeline.store.file_marks import opened_files
from pipeline.store.fingerprints import Inputs
from pipeline.store.manifest import Manifest, open_artefact


class DataCard(TypedDict):
    """What a data set holds.

    Attributes:
        dataset: The name or import path that the config gives it.
        sha256: The digest of all images, labels and class names, before copies were left out.
        images_sha256: The digest of the training images alone.
        shape: Channels, height and width of an image.
        classes: The classes' names, in the order of the labels.
        train: Number of training images.
        test: Number of test images.
        unlabelled: Number of training images without a label.
        train_per_class: Number of labelled training images of each class.
        left_out_because_in_test: Number of training images left out because the test set holds the same image.
        left_out_because_of_groups: Number of further training images left out because their group is in the test set.
        labels_of_copies_left_out: Number of labels left out because another labelled image is the same.
    """

    dataset: str
    sha256: str
    images_sha256: str
    shape: list[int]
    classes: list[str]
    train: int
    test: int
    unlabelled: int
    train_per_class: list[int]
    left_out_because_in_test: int
    left_out_because_of_groups: int
    labels_of_copies_left_out: int


def inputs(config: Experiment, sha256: str) -> Inputs:
    """What the card of the data with this digest is made from. Where their files lie does not matter."""
    return {
        "stage": "data",
        "dataset": config.data.dataset,
        "args": as_dict(config.data)["args"],
        "sha256": sha256,
    }


def _artefact(config: Experiment, sha256: str, make: Callable[[Path], DataCard]) -> Artefact[DataCard]:
    return Artefact(
        config.folder, "data", inputs(config, sha256), make, f"run `{command('data')}` with the same settings first"
    )


def load(config: Experiment) -> DataCard:
    """Read the finished card.

    Raises:
        PipelineError: If stage data has not run, or a file of the card was changed.
    """
    return _artefact(config, data_source.read(config)["data_sha256"], _refuse).open()["outcome"]


def _refuse(folder: Path) -> DataCard:
    raise AssertionError("only stage data makes cards")


@dataclass(frozen=True)
class Built:
    """What building a card came to.

    Attributes:
        folder: The card's folder.
        changes: What the data were read from has changed since the last time, in words; "" if nothing has.
        is_other: Whether the data are other ones than the last time.
    """

    folder: Path
    changes: str = ""
    is_other: bool = False


def build(config: Experiment) -> Built:
    """Make the card, unless what the data are read from is as it was when the card was made.

    Raises:
        PipelineError: If the data cannot be loaded, or break the contract of a data set.
    """
    known = data_source.find(config)
    if known is not None:
        card = _artefact(config, known["data_sha256"], _refuse)
        if card.fetch():
            data_source.write(config, known)
            return Built(card.folder)
    before = data_source.last(config)
    with opened_files() as opened:
        dataset = loading.load(config.data)
    folder = _artefact(config, dataset.sha256, lambda folder: _make(config, dataset, folder)).build()
    data_source.write(config, data_source.observe(config, dataset.sha256, opened))
    if before is None:
        return Built(folder)
    return Built(folder, data_source.changes(config, before), before["data_sha256"] != dataset.sha256)


def find(experiment: Path, sha256: str) -> Manifest[DataCard]:
    """Find the card of the data with this checksum, from the experiment's folder alone; return its manifest.

    Raises:
        PipelineError: If the folder has none.
    """
    for folder in sorted(experiment.glob("data-*")):
        manifest: Manifest[DataCard] = open_artefact(folder, f"run `{command('data')}` again")
        if manifest["outcome"]["sha256"] == sha256:
            return manifest
    raise PipelineError(
        f"{experiment} holds no card of the data with SHA-256 {sha256[:8]}...; run `{command('data')}` for it"
    )


def check_budgets(config: Experiment, budgets: Iterable[int]) -> None:
    """Refuse a label budget that cannot be drawn; the class counts tell, images are loaded only for their groups.

    Raises:
        PipelineError: If there is such a budget, or stage data has not run.
    """
    card = load(config)
    labels, groups = np.repeat(np.arange(len(card["classes"])), card["train_per_class"]), None
    if config.data.groups:
        train = load_dataset(config).train
        labels, groups = train.labels.numpy(), train.groups
    for budget in budgets:
        split_budget(config.train, labels, len(card["classes"]), Draw(budget, 0, config.grid.sampling), groups)


def load_dataset(config: Experiment) -> Dataset:
    """Load the images, and check them against the card.

    Raises:
        PipelineError: If stage data has not run, or the data has changed since.
    """
    expected = load(config)["sha256"]
    dataset = loading.load(config.data)
    if dataset.sha256 != expected:
        data_source.forget(config)
        raise PipelineError(
            f"{config.data.dataset}: the data are not what stage data saw (SHA-256 {dataset.sha256[:8]}..., was "
            f"{expected[:8]}...); restore them, or run `{command('data')}` with the same settings again"
        )
    return dataset


def _make(config: Experiment, dataset: Dataset, folder: Path) -> DataCard:
    print(f"{config.data.dataset}: {dataset.whereabouts}")
    names = dataset.train.class_names
    counts = Counter(dataset.train.labels.tolist())
    card: DataCard = {
        "dataset": config.data.dataset,
        "sha256": dataset.sha256,
        "images_sha256": dataset.images_sha256,
        "shape": list(dataset.train.shape),
        "classes": list(names),
        "train": len(dataset.train),
        "test": len(dataset.test),
        "unlabelled": counts.pop(-1, 0),
        "train_per_class": [counts[c] for c in range(len(names))],
        "left_out_because_in_test": dataset.duplicates,
        "left_out_because_of_groups": dataset.group_mates,
        "labels_of_copies_left_out": dataset.repeats,
    }
    disk.write_json(folder / "card.json", card)
    return card
