"""The data card: the facts that stage ``data`` found about the images; and the images, checked against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.artefacts import data_source
from pipeline.config import Experiment, as_dict
from pipeline.datasets import loading
from pipeline.datasets.facts import Facts, find_facts
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.splits import BudgetError, Draw
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.learning.plan import split_budget
from pipeline.store import disk
from pipeline.store.artefact import Artefact
from pipeline.store.file_states import opened_files
from pipeline.store.fingerprints import Inputs
from pipeline.store.manifest import Manifest, open_artefact

LOOKED_AT = 500  # the number of test images that near copies are searched for; check-dataset takes more


def inputs(config: Experiment, sha256: str) -> Inputs:
    """Return all that the card of the data with this SHA-256 is made from; the place of the files does not count."""
    return {
        "stage": "data",
        "dataset": config.data.dataset,
        "args": as_dict(config.data)["args"],
        "sha256": sha256,
    }


def _artefact(config: Experiment, sha256: str, make: Callable[[Path], Facts]) -> Artefact[Facts]:
    return Artefact(
        config.folder, "data", inputs(config, sha256), make, f"run `{command('data')}` with the same settings first"
    )


def load(config: Experiment) -> Facts:
    """Read the finished card.

    Raises:
        PipelineError: If stage data has not run, or a file of the card was changed.
    """
    return _artefact(config, data_source.read(config)["data_sha256"], _refuse).open()["outcome"]


def _refuse(folder: Path) -> Facts:
    raise AssertionError("only stage data makes cards")


@dataclass(frozen=True)
class Built:
    """The result of building a card.

    Attributes:
        folder: The card's folder.
        changes: Which of the files and code that the data are read from have changed since the last time, in words;
            "" if none has.
        is_other: Whether the data themselves differ from those of the last time.
    """

    folder: Path
    changes: str = ""
    is_other: bool = False


def build(config: Experiment) -> Built:
    """Make the card, unless it exists and the files that the data are read from are unchanged.

    Raises:
        PipelineError: If the data cannot be loaded, or break the contract of a data set.
    """
    known = data_source.find(config)
    if known is not None:
        card = _artefact(config, known["data_sha256"], _refuse)
        if card.fetch():
            if data_source.last(config) is None:  # the record was found beside this experiment
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


def find(experiment: Path, sha256: str) -> Manifest[Facts]:
    """Find the card of the data with this checksum, from the experiment's folder alone; return its manifest.

    Raises:
        PipelineError: If the folder holds no such card.
    """
    for folder in sorted(experiment.glob("data-*")):
        manifest: Manifest[Facts] = open_artefact(folder, f"run `{command('data')}` again")
        if manifest["outcome"]["sha256"] == sha256:
            return manifest
    raise PipelineError(
        f"{experiment} holds no card of the data with SHA-256 {sha256[:8]}...; run `{command('data')}` for it"
    )


def check_budgets(config: Experiment, budgets: Iterable[int]) -> None:
    """Refuse label budgets that cannot be drawn.

    The card's class counts suffice for that; the images are loaded only if they come in groups.

    Raises:
        PipelineError: If a budget cannot be drawn, or stage data has not run.
    """
    card = load(config)
    labels, groups = np.repeat(np.arange(len(card["classes"])), card["train_per_class"]), None
    if config.data.groups:
        train = load_dataset(config).train
        labels, groups = train.labels.numpy(), train.groups
    # which images are chosen is known after pretraining; random ones are the nearest to them that need no embeddings
    sampling = "random" if config.grid.sampling == "chosen" else config.grid.sampling
    for budget in budgets:
        split_budget(config.train, labels, len(card["classes"]), Draw(budget, 0, sampling), groups)


def check_grid_budgets(config: Experiment) -> None:
    """Refuse label budgets of the grid that cannot be drawn.

    Raises:
        PipelineError: If a budget cannot be drawn, or stage data has not run.
    """
    try:
        check_budgets(config, config.grid.labels)
    except BudgetError as error:
        raise PipelineError(f"grid.{error}") from error


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


def _make(config: Experiment, dataset: Dataset, folder: Path) -> Facts:
    from pipeline.datasets.near_copies import find_near_copies

    print(f"{config.data.title}: {dataset.whereabouts}")
    near = find_near_copies(dataset.train.images, dataset.test.images, LOOKED_AT)
    facts = find_facts(config.data.title, dataset, near)
    disk.write_json(folder / "card.json", facts)
    return facts
