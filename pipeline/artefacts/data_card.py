"""The data card: what stage data found in the images, and the images themselves, checked against it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TypedDict

import numpy as np

from pipeline.config import Experiment, as_dict
from pipeline.datasets import loading
from pipeline.datasets.files import existing_file
from pipeline.datasets.image_data import Dataset
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.learning.plan import split_budget
from pipeline.store import disk
from pipeline.store.artefact import Artefact
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
    labels_of_copies_left_out: int


def artefact(config: Experiment) -> Artefact[DataCard]:
    """The data card of the experiment's data set."""
    return Artefact(
        config.folder,
        "data",
        inputs(config),
        lambda folder: _make(config, folder),
        f"run `{command('data')}` with the same settings first",
    )


def inputs(config: Experiment) -> Inputs:
    """What the card is made from. Where the raw files lie does not matter to what is in them.

    Raises:
        PipelineError: If the file of labels is missing.
    """
    made_from = {"stage": "data", "dataset": config.data.dataset, "args": as_dict(config.data)["args"]}
    if config.data.labels:
        made_from["labels"] = disk.sha256_file(existing_file(config.data.labels, "data.labels"))
    return made_from


def load(config: Experiment) -> DataCard:
    """Read the finished card.

    Raises:
        PipelineError: If stage data has not run, or a file of the card was changed.
    """
    return artefact(config).open()["outcome"]


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


def check_budgets(config: Experiment) -> None:
    """Refuse a label budget of the grid that cannot be drawn; the class counts tell, no image is needed.

    Raises:
        PipelineError: If there is such a budget, or stage data has not run.
    """
    card = load(config)
    labels = np.repeat(np.arange(len(card["classes"])), card["train_per_class"])
    for budget in config.grid.labels:
        split_budget(config.train, labels, budget, 0, len(card["classes"]))


def load_dataset(config: Experiment) -> Dataset:
    """Load the images, and check them against the card.

    Raises:
        PipelineError: If stage data has not run, or the data has changed since.
    """
    expected = load(config)["sha256"]
    dataset = loading.load(config.data)
    if dataset.sha256 != expected:
        raise PipelineError(
            f"{config.data.dataset}: the data is not what stage data saw (SHA-256 {dataset.sha256[:8]}..., was "
            f"{expected[:8]}...); restore it, or start anew with another --name"
        )
    return dataset


def _make(config: Experiment, folder: Path) -> DataCard:
    dataset = loading.load(config.data)
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
        "labels_of_copies_left_out": dataset.repeats,
    }
    disk.write_json(folder / "card.json", card)
    return card
