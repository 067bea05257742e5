"""Facts about a data set that are known before any training: counts, shapes, ranges, and remarks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, TypedDict

from pipeline.config import JsonObject
from pipeline.datasets.brightness import compare_brightness, measure
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.scale import BYTES, DIM, GIVE_WHITE, Scale, Values
from pipeline.errors import list_names

if TYPE_CHECKING:
    from pipeline.datasets.near_copies import NearCopies

SIDES = (8, 96)  # pixels a side that the shipped networks are meant for
UNEVEN = 10  # times as many labels of one class as of another
BUDGETS = (10, 100)  # labels a class that are suggested
MISSING = ("na", "n/a", "nan", "null", "none", "?", "unknown", "unlabelled", "unlabeled")  # what may be no class
LEAST = 5  # labels a class that leave one of each to validate on, a fifth


class Facts(TypedDict):
    """The content of a data set.

    Attributes:
        dataset: The name or import path that the config gives it.
        sha256: The digest of all images, labels and class names, before copies were left out.
        images_sha256: The digest of the training images alone, in their order, without those that the test set holds.
        shape: Channels, height and width of an image.
        scale: How the numbers of the source became intensities, see ``Scale``.
        decoding: How pictures were decoded, see ``Decoding``; None if the source is no pictures.
        brightness: The intensities of the training images, see ``Brightness``.
        range: The least and the greatest intensity of all images, 0 to 255.
        classes: The classes' names, in the order of the labels.
        train: Number of training images.
        test: Number of test images.
        held_out: Whether the test set was held out of the labelled images; else it is the official one.
        unlabelled: Number of training images without a label.
        train_per_class: Number of labelled training images of each class.
        test_per_class: Number of test images of each class.
        left_out_because_in_test: Number of training images left out because the test set holds the same image.
        left_out_because_of_groups: Number of further training images left out because their group is in the test set.
        labels_of_copies_left_out: Number of labels left out because another labelled image is the same.
        duplicates_in_train: Number of training images that repeat another one.
        duplicates_in_test: Number of test images that repeat another one.
        same_image_other_label: Number of images that come with several labels.
        near_copies: Number of test images that are nearly a training image, see ``near_copies``.
        near_copies_looked_for_in: Number of test images that were looked at for that.
        constant_in_train: Number of training images that have one intensity all over.
        constant_in_test: Number of such test images.
        suggested_budgets: Label budgets that leave every class a label to validate on.
        remarks: What the owner had better know, a sentence each.
    """

    dataset: str
    sha256: str
    images_sha256: str
    shape: list[int]
    scale: JsonObject
    decoding: JsonObject | None
    brightness: JsonObject
    range: list[float]
    classes: list[str]
    train: int
    test: int
    held_out: bool
    unlabelled: int
    train_per_class: list[int]
    test_per_class: list[int]
    left_out_because_in_test: int
    left_out_because_of_groups: int
    labels_of_copies_left_out: int
    duplicates_in_train: int
    duplicates_in_test: int
    same_image_other_label: int
    near_copies: int
    near_copies_looked_for_in: int
    constant_in_train: int
    constant_in_test: int
    suggested_budgets: list[int]
    remarks: list[str]


def find_facts(name: str, dataset: Dataset, near: NearCopies) -> Facts:
    """Describe a data set, which the config calls by this name; every image is looked at once."""
    train, test, copies = dataset.train, dataset.test, dataset.copies
    brightness, of_test = measure(train.images), measure(test.images)
    scale = train.scale
    if scale == BYTES:  # nobody has looked which bytes there are
        scale = replace(scale, values=Values("uint8", brightness.low, brightness.high))
    counts, test_counts = Counter(train.labels.tolist()), Counter(test.labels.tolist())
    classes = range(len(train.class_names))
    facts: Facts = {
        "dataset": name,
        "sha256": dataset.sha256,
        "images_sha256": dataset.images_sha256,
        "shape": list(train.shape),
        "scale": asdict(scale),
        "decoding": None if train.decoding is None else asdict(train.decoding),
        "brightness": asdict(brightness),
        "range": [min(brightness.low, of_test.low), max(brightness.high, of_test.high)],
        "classes": list(train.class_names),
        "train": len(train),
        "test": len(test),
        "held_out": dataset.held_out,
        "unlabelled": counts[-1],
        "train_per_class": [counts[number] for number in classes],
        "test_per_class": [test_counts[number] for number in classes],
        "left_out_because_in_test": len(copies.in_test),
        "left_out_because_of_groups": len(copies.of_test_groups),
        "labels_of_copies_left_out": len(copies.repeated),
        "duplicates_in_train": copies.within_train,
        "duplicates_in_test": copies.within_test,
        "same_image_other_label": copies.other_label,
        "near_copies": len(near.pairs),
        "near_copies_looked_for_in": near.examined,
        "constant_in_train": brightness.constant,
        "constant_in_test": of_test.constant,
        "suggested_budgets": _budgets(len(classes), len(train) - counts[-1]),
        "remarks": [],
    }
    remarks = [
        *_remarks_on_copies(facts),
        *_remarks_on_images(facts),
        *(f"of the test images, {found}" for found in compare_brightness(brightness, of_test, GIVE_WHITE) if len(test)),
        *_remarks_on_classes(facts),
        *_remarks_on_names(train.class_names),
        *train.notes,
    ]
    if near.are_many:
        remarks.insert(0, _remark_on_near_copies(near))
    return {**facts, "remarks": remarks}


def scale_text(facts: Facts) -> str:
    """Return the scale in words, see ``Scale.text``."""
    return Scale.from_dict(facts["scale"]).text


def _budgets(classes: int, labelled: int) -> list[int]:
    """Return budgets that leave every class a label to validate on and are not above the number of labels."""
    if not classes:
        return []
    least = LEAST * classes
    wanted = [n * classes for n in BUDGETS if n * classes <= labelled]
    return wanted or ([least] if least <= labelled else [])


def _remarks_on_copies(facts: Facts) -> Iterator[str]:
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


def _remark_on_near_copies(near: NearCopies) -> str:
    return (
        f"{len(near.pairs)} of {near.examined} test images examined are nearly a training image (resized, "
        "recompressed, mirrored?): E_out would be too low. check-dataset shows them; data.groups keeps what belongs "
        "together on one side"
    )


def _remarks_on_images(facts: Facts) -> Iterator[str]:
    if n := facts["constant_in_train"] + facts["constant_in_test"]:
        yield f"{n} images are of one value all over: look whether they are broken"
    if (brightest := facts["range"][1]) < DIM:
        yield (
            f"the brightest pixel is {brightest:g} of 255: if that is meant to be white, say so "
            f"(data.args.white {brightest:g}) or stretch the values"
        )
    if not all(SIDES[0] <= side <= SIDES[1] for side in facts["shape"][1:]):
        sides = " x ".join(map(str, facts["shape"][1:]))
        yield f"images of {sides} pixels: the shipped networks are meant for sides of {SIDES[0]} to {SIDES[1]}; resize"


def _remarks_on_classes(facts: Facts) -> Iterator[str]:
    counts = facts["train_per_class"]
    if not any(counts):
        yield (
            "no training image has a label: pretraining and suggest need none, a comparison does; suggest writes a "
            "page to label images on, and data.labels names the file that the page saves"
        )
        return
    untested = [name for name, n in zip(facts["classes"], facts["test_per_class"], strict=True) if not n]
    if untested:
        yield f"the test set has no image of {list_names(untested)}: E_out says nothing of it"
    if max(counts) > UNEVEN * min(counts):
        yield (
            f"classes are uneven, {min(counts)} to {max(counts)} labels: small budgets are drawn evenly all the same, "
            "the test set is as it is"
        )
    if not facts["suggested_budgets"]:
        yield f"{sum(counts)} labels for {len(counts)} classes: label {LEAST} of each, to train and to validate on"


def _remarks_on_names(names: Sequence[str]) -> Iterator[str]:
    """Yield remarks on classes that, by their names, may be no classes of their own."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[re.sub(r"[\s_-]+", "", name.casefold())].append(name)
    for twins in alike.values():
        if len(twins) > 1:
            yield f"the classes {list_names(twins)} are spelt alike: if they are one, call them the same"
    if missing := [name for name in names if name.casefold() in MISSING]:
        yield f"there are classes called {list_names(missing)}: if that means that there is no label, leave it empty"
    if len(names) > 2 and all(name.isdecimal() for name in names):
        *others, last = sorted(map(int, names))
        if others[-1] - others[0] == len(others) - 1 and last > others[-1] + 1:
            yield f"class {last} is far from {others[0]} to {others[-1]}: if it means that there is no label, write -1"
