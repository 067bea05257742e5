"""The contract of a data set as a function, for the command line and for a plug-in author's own tests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import DataConfig
from pipeline.datasets import loading
from pipeline.datasets.checksums import content_hashes
from pipeline.datasets.image_data import Dataset, ImageData
from pipeline.datasets.loading import Loader
from pipeline.datasets.near_copies import REMARKABLE, NearCopies, find_near_copies
from pipeline.datasets.streamed import Storage
from pipeline.errors import PipelineError
from pipeline.models.inputs import Images, chunks

if TYPE_CHECKING:
    import torch

SIDES = (8, 96)  # pixels a side that the shipped networks are meant for
DIM = 128  # the brightest pixel of all is below that: the scale is probably another
UNEVEN = 10  # times as many labels of one class as of another
BUDGETS = (10, 100)  # labels a class that are suggested
LEAST = 5  # labels a class that leave one of each to validate on, a fifth
CHUNK = 1000  # images looked at at a time


@dataclass(frozen=True)
class Card:
    """What was found in a data set.

    Attributes:
        dataset: The data set itself.
        facts: Counts, shapes and ranges, as JSON takes them.
        problems: What keeps the pipeline from working with it, each with what to do.
        remarks: What it can work with but its owner had better know.
        near_copies: Test images that are nearly a training image.
    """

    dataset: Dataset
    facts: dict[str, Any]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    near_copies: NearCopies


def check_dataset(dataset: str | Callable[..., Any], root: str | Path = "data", **args: Any) -> Card:
    """Load a data set and hold it against the contract; call this in a test of your own.

    Args:
        dataset: The function, or what ``data.dataset`` takes: a name or an import path.
        root: Folder for raw files.
        args: Handed to the function.

    Raises:
        PipelineError: If the data set breaks the contract; the message says how to mend it.

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
    """Prepare and load a data set, twice, and describe it.

    Raises:
        PipelineError: It cannot be loaded at all.
    """
    loader.prepare()
    train, test = loading.load_parts(loader)
    dataset = loading.assemble(train, test, loader.storage)
    again = loading.assemble(*loading.load_parts(loader), loader.storage).sha256
    hashes = {"train": content_hashes(train.images).tolist(), "test": content_hashes(test.images).tolist()}
    near = find_near_copies(dataset.train.images, test.images)
    facts = _facts(loader, train, test, dataset, hashes)
    facts |= {"near_copies": len(near.pairs), "near_copies_looked_for_in": near.examined}
    remarks = (*_remarks(facts), *train.notes)
    return Card(dataset, facts, tuple(_problems(dataset, again)), remarks, near)


def _facts(
    loader: Loader, train: ImageData, test: ImageData, dataset: Dataset, hashes: dict[str, list[bytes]]
) -> dict[str, Any]:
    names, pixels = train.class_names, [_look(train.images), _look(test.images)]
    counts = {part: Counter(data.labels.tolist()) for part, data in (("train", dataset.train), ("test", test))}
    labelled = sum(n for label, n in counts["train"].items() if label >= 0)
    seen: dict[bytes, set[int]] = {}
    for digest, label in zip(hashes["train"] + hashes["test"], _values(train.labels, test.labels), strict=True):
        if label >= 0:
            seen.setdefault(digest, set()).add(label)
    return {
        "dataset": loader.name,
        "sha256": dataset.sha256,
        "shape": list(train.shape),
        "range": [min(part.low for part in pixels), max(part.high for part in pixels)],
        "mean": round(pixels[0].mean, 1),
        "classes": list(names),
        "train": len(dataset.train),
        "test": len(test),
        "unlabelled": counts["train"][-1],
        "unlabelled_share": round(counts["train"][-1] / len(dataset.train), 4),
        "train_per_class": [counts["train"][c] for c in range(len(names))],
        "test_per_class": [counts["test"][c] for c in range(len(names))],
        "left_out_because_in_test": dataset.duplicates,
        "left_out_because_of_groups": dataset.group_mates,
        "labels_of_copies_left_out": dataset.repeats,
        "duplicates_in_train": len(hashes["train"]) - len(set(hashes["train"])),
        "duplicates_in_test": len(hashes["test"]) - len(set(hashes["test"])),
        "same_image_other_label": sum(len(labels) > 1 for labels in seen.values()),
        "constant_in_train": pixels[0].constant,
        "constant_in_test": pixels[1].constant,
        "suggested_budgets": _budgets(len(names), labelled),
    }


def _values(*tensors: torch.Tensor) -> list[int]:
    return [value for tensor in tensors for value in tensor.tolist()]


@dataclass(frozen=True)
class _Pixels:
    """The least and the greatest value, the mean, and the number of images of one value all over."""

    low: int
    high: int
    mean: float
    constant: int


def _look(images: Images) -> _Pixels:
    low, high, total, constant = 255, 0, 0, 0
    for chunk in chunks(images, CHUNK):
        darkest, brightest = chunk.flatten(1).amin(1), chunk.flatten(1).amax(1)
        low, high = min(low, int(darkest.min())), max(high, int(brightest.max()))
        total += int(chunk.sum())
        constant += int((darkest == brightest).sum())
    return _Pixels(low, high, total / max(1, math.prod(images.shape)), constant)


def _budgets(classes: int, labelled: int) -> list[int]:
    """Budgets that leave every class a label to validate on, and are no more than there are."""
    least = LEAST * classes
    wanted = [n * classes for n in BUDGETS if n * classes <= labelled]
    return wanted or ([least] if least <= labelled else [])


def _problems(dataset: Dataset, again: str) -> list[str]:
    problems = []
    if dataset.sha256 != again:
        problems.append(
            "loading it twice gave different data: order files by name, and seed any random choice with a fixed number"
        )
    labels = dataset.train.labels
    empty = (
        []
        if (labels < 0).all()
        else [name for c, name in enumerate(dataset.train.class_names) if not (labels == c).any()]
    )
    if empty:
        problems.append(
            f"no labelled training image of {_names(empty)}: label some, or take the name out of the class names"
        )
    return problems


def _remarks(facts: dict[str, Any]) -> list[str]:
    """What is worth a second look, of what the facts say."""
    return [
        *_remarks_on_copies(facts),
        *_remarks_on_near_copies(facts),
        *_remarks_on_images(facts),
        *_remarks_on_classes(facts),
    ]


def _remarks_on_copies(facts: dict[str, Any]) -> Iterator[str]:
    if n := facts["left_out_because_in_test"]:
        yield f"{n} training images also lie in the test set; they are left out, but look how they came there"
    if n := facts["left_out_because_of_groups"]:
        yield f"{n} further training images are left out, since images of their group are in the test set"
    if n := facts["same_image_other_label"]:
        yield f"{n} images come with several labels: correct all but one of each"
    if n := facts["duplicates_in_train"]:
        yield f"{n} training images repeat another one: of copies one keeps its label, the others count as unlabelled"
    if n := facts["duplicates_in_test"]:
        yield f"{n} test images repeat another one: they count more than once in E_out"


def _remarks_on_near_copies(facts: dict[str, Any]) -> Iterator[str]:
    pairs, examined = facts["near_copies"], facts["near_copies_looked_for_in"]
    if pairs > REMARKABLE * examined:
        yield (
            f"{pairs} of {examined} test images looked at are nearly a training image (resized, recompressed, "
            "mirrored?): E_out would be too low. near_copies.png shows them; data.groups keeps what belongs together "
            "on one side"
        )


def _remarks_on_images(facts: dict[str, Any]) -> Iterator[str]:
    if n := facts["constant_in_train"] + facts["constant_in_test"]:
        yield f"{n} images are of one value all over: look whether they are broken"
    if (brightest := facts["range"][1]) < DIM:
        yield (
            f"the brightest pixel is {brightest} of 255: if that is meant to be white, say so "
            f"(data.args.white {brightest}) or stretch the values"
        )
    if not all(SIDES[0] <= side <= SIDES[1] for side in facts["shape"][1:]):
        sides = " x ".join(map(str, facts["shape"][1:]))
        yield f"images of {sides} pixels: the shipped networks are meant for sides of {SIDES[0]} to {SIDES[1]}; resize"


def _remarks_on_classes(facts: dict[str, Any]) -> Iterator[str]:
    counts = facts["train_per_class"]
    if not any(counts):
        yield (
            "no training image has a label: pretraining needs none, a comparison does; name those that you know in a "
            "file, data.labels"
        )
        return
    untested = [name for name, n in zip(facts["classes"], facts["test_per_class"], strict=True) if not n]
    if untested:
        yield f"the test set has no image of {_names(untested)}: E_out says nothing of it"
    if max(counts) > UNEVEN * min(counts):
        yield (
            f"classes are uneven, {min(counts)} to {max(counts)} labels: small budgets are drawn evenly all the same, "
            "the test set is as it is"
        )
    if not facts["suggested_budgets"]:
        yield f"{sum(counts)} labels for {len(counts)} classes: label {LEAST} of each, to train and to validate on"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
