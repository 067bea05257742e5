"""Stage data: unpack or download the images, check them, and write down what they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Experiment, as_dict
from pipeline.datasets import loading
from pipeline.datasets.image_data import Dataset
from pipeline.errors import PipelineError
from pipeline.learning.plan import split_budget
from pipeline.store import disk, runs


def run(config: Experiment) -> Path:
    """Make the data ready and return the folder of its card."""
    loading.prepare(config.data)
    folder = runs.build(config.folder, "data", inputs(config), lambda folder: _make(config, folder))
    found = card(config)
    size = " x ".join(map(str, found["shape"]))
    print(
        f"{found['dataset']}: {found['train']} training and {found['test']} test images of {size}, "
        f"{len(found['classes'])} classes, {found['unlabelled']} unlabelled, "
        f"{found['left_out_because_in_test']} left out because the test set holds them too, "
        f"{found['labels_of_copies_left_out']} labels left out because another image is the same"
    )
    return folder


def inputs(config: Experiment) -> dict[str, Any]:
    """What the data card is made from. Where the raw files lie does not matter to what is in them."""
    return {"stage": "data", "dataset": config.data.dataset, "args": as_dict(config.data)["args"]}


def card(config: Experiment) -> dict[str, Any]:
    """What stage data found: checksum, counts, shape, class names.

    Raises:
        PipelineError: The stage has not run.
    """
    folder = runs.artefact_path(config.folder, "data", inputs(config))
    remedy = f"run `python -m pipeline data` with the same settings first (or `make data`, for {config.name})"
    outcome: dict[str, Any] = runs.open_artefact(folder, remedy)["outcome"]
    return outcome


def find_card(experiment: Path, sha256: str) -> dict[str, Any]:
    """The card of the data with this checksum, from the experiment's folder alone.

    Raises:
        PipelineError: The folder has none.
    """
    outcome: dict[str, Any] = _find(experiment, sha256)["outcome"]
    return outcome


def find_inputs(experiment: Path, sha256: str) -> dict[str, Any]:
    """How the data with this checksum are loaded: ``dataset`` and ``args``, from the experiment's folder alone.

    Raises:
        PipelineError: The folder has no card of them.
    """
    made_from: dict[str, Any] = _find(experiment, sha256)["inputs"]
    return made_from


def _find(experiment: Path, sha256: str) -> dict[str, Any]:
    for folder in sorted(experiment.glob("data-*")):
        manifest = runs.open_artefact(folder, "run `make data` again")
        if manifest["outcome"]["sha256"] == sha256:
            return manifest
    raise PipelineError(f"{experiment} holds no card of the data with SHA-256 {sha256[:8]}...; run `make data` for it")


def check_budgets(config: Experiment) -> None:
    """Refuse a label budget of the grid that cannot be drawn; the class counts tell, no image is needed.

    Raises:
        PipelineError: There is one, or the stage has not run.
    """
    found = card(config)
    labels = np.repeat(np.arange(len(found["classes"])), found["train_per_class"])
    for budget in config.grid.labels:
        split_budget(config.train, labels, budget, 0, len(found["classes"]))


def load(config: Experiment) -> Dataset:
    """The images, checked against the card.

    Raises:
        PipelineError: The stage has not run, or the data has changed since.
    """
    expected = card(config)["sha256"]
    dataset = loading.load(config.data)
    if dataset.sha256 != expected:
        raise PipelineError(
            f"{config.data.dataset}: the data is not what stage data saw (SHA-256 {dataset.sha256[:8]}..., was "
            f"{expected[:8]}...); restore it, or start anew with another --name"
        )
    return dataset


def _make(config: Experiment, folder: Path) -> dict[str, Any]:
    dataset = loading.load(config.data)
    print(f"{config.data.dataset}: {dataset.whereabouts}")
    names = dataset.train.class_names
    counts = Counter(dataset.train.labels.tolist())
    found = {
        "dataset": config.data.dataset,
        "sha256": dataset.sha256,
        "shape": list(dataset.train.shape),
        "classes": list(names),
        "train": len(dataset.train),
        "test": len(dataset.test),
        "unlabelled": counts.pop(-1, 0),
        "train_per_class": [counts[c] for c in range(len(names))],
        "left_out_because_in_test": dataset.duplicates,
        "labels_of_copies_left_out": dataset.repeats,
    }
    disk.write_json(folder / "card.json", found)
    return found
