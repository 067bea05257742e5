"""A check that a data set keeps its contract, for the command line and for the tests of a plug-in's author."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import DataConfig
from pipeline.datasets import loading
from pipeline.datasets.facts import Facts, find_facts
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.loading import Loader
from pipeline.datasets.near_copies import NearCopies, find_near_copies
from pipeline.datasets.streamed import Storage
from pipeline.errors import PipelineError, list_names


@dataclass(frozen=True)
class Card:
    """The result of checking a data set.

    Attributes:
        dataset: The data set itself.
        facts: Counts, shapes and ranges, as JSON can hold them.
        problems: Sentences on faults that keep the pipeline from using it, each with a remedy.
        near_copies: The test images that are nearly the same as a training image.
    """

    dataset: Dataset
    facts: Facts
    problems: tuple[str, ...]
    near_copies: NearCopies

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on facts that do not keep the pipeline from using the data, but that their owner should know."""
        return tuple(self.facts["remarks"])


def check_dataset(dataset: str | Callable[..., Any], root: str | Path = "data", **args: Any) -> Card:
    """Load a data set and check that it keeps the contract; call this in a test of your own.

    Args:
        dataset: The loading function, or a name or an import path, as in ``data.dataset``.
        root: The folder for raw files.
        args: Arguments of the function.

    Raises:
        PipelineError: If the data set breaks the contract; the message says how to correct it.

    Examples:
        >>> import numpy as np
        >>> def load(side=8):
        ...     images = np.random.default_rng(0).integers(0, 256, (40, side, side), dtype=np.uint8)
        ...     return images, np.arange(40) % 2
        >>> card = check_dataset(load, side=12)
        >>> card.facts["shape"], card.facts["train"], card.facts["test"]
        ([1, 12, 12], 32, 8)
    """
    if isinstance(dataset, str):
        loader = loading.find_loader(DataConfig(dataset, str(root), args))
    else:
        loader = loading.bind(getattr(dataset, "__name__", "the data set"), dataset, Storage(Path(root)), args)
    card = examine(loader)
    if card.problems:
        raise PipelineError("; ".join(card.problems))
    return card


def examine(loader: Loader) -> Card:
    """Prepare a data set, load it twice, and describe it.

    Raises:
        PipelineError: If it cannot be loaded at all.
    """
    loader.prepare()
    dataset, again = loading.load_with(loader), loading.load_with(loader)
    near = find_near_copies(dataset.train.images, dataset.test.images)
    facts = find_facts(loader.name, dataset, near)
    return Card(dataset, facts, tuple(_problems(dataset, again.sha256)), near)


def _problems(dataset: Dataset, again: str) -> list[str]:
    """Return a sentence on each breach of the contract; ``again`` is the SHA-256 of loading the data once more."""
    problems = []
    if dataset.sha256 != again:
        problems.append(
            "loading it twice gave different data: order files by name, and seed any random choice with a fixed number"
        )
    present = set(dataset.train.labels.tolist()) - {-1}
    empty = [name for number, name in enumerate(dataset.train.class_names) if number not in present]
    if present and empty:
        problems.append(
            f"no labelled training image of {list_names(empty)}: label some, or take the name out of the class names"
        )
    return problems
