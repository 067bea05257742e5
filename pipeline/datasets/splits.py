"""The draws of labelled images: nested subsets for each seed, whose validation part is included in the budget.

These are computations on indices only. For each seed, all labelled images are put in one order, and a budget is the
first part of that order, so budgets are nested. A stratified order has one image of each class first, then a second of
each, and so on: its budgets are as balanced as the classes allow, but it needs the labels of all images. A random order
is what a user can draw who has labelled nothing yet; its budgets may miss a class. A chosen order comes from outside,
for one budget, and may miss a class, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError


class BudgetError(PipelineError):
    """A label budget that cannot be drawn; its message begins with the setting's name, "labels:"."""


Indices = npt.NDArray[np.int64]
Sampling = Literal["stratified", "random", "chosen"]


@dataclass(frozen=True)
class Draw:
    """A draw of labelled images.

    Attributes:
        budget: The number of labels, including validation.
        seed: The number of the draw.
        sampling: "stratified" draws the classes in turn, "random" any image, "chosen" those of ``order``.
        order: Indices of as many images as the budget has labels, in the order in which they were chosen; none for
            other kinds of sampling.
    """

    budget: int
    seed: int
    sampling: Sampling = "stratified"
    order: tuple[int, ...] = ()


@dataclass(frozen=True)
class LabelSplit:
    """The division of a label budget into training and validation.

    Attributes:
        train: Indices of the training images whose labels are trained on, sorted.
        val: Indices of the training images whose labels early stopping uses, sorted; empty where all are trained on. In
            a cross-validation, the union of all folds has every label in both parts.
    """

    train: Indices
    val: Indices


def label_split(
    labels: Indices, classes: int, draw: Draw, val_fraction: float, groups: Indices | None = None
) -> LabelSplit:
    """Draw a labelled subset and divide it into training and validation.

    Both parts are nested: a larger budget of the same seed trains on all labels that a smaller one trains on, and
    validates on all labels that it validates on. Every class of the subset is trained on.

    Args:
        labels: Labels of all training images, shape (N,), -1 for unlabelled.
        classes: The number of classes.
        draw: The draw.
        val_fraction: The share of the budget for validation, between 0 and 1.
        groups: The number of each training image's group, shape (N,). A whole group is in the part of its first image
            that is drawn. None takes each image by itself.

    Raises:
        PipelineError: If the budget is below the number of classes in a stratified draw, above the labels there are, or
            leaves nothing for validation; or if a class has no labelled image.
    """
    subset, rank, phase = _drawn(labels, classes, draw)
    # a class gives its r-th image to validation when its running share passes a whole number; the phases spread these
    # images over the classes, and leave the first image of each class to training
    share = Fraction(val_fraction).limit_denominator(1000)
    offsets = [(1 - share) * Fraction(int(p), classes) for p in phase]
    is_val = np.array(
        [
            math.floor((r + 1) * share + offsets[c]) > math.floor(r * share + offsets[c])
            for r, c in zip(rank.tolist(), labels[subset].tolist(), strict=True)
        ]
    )
    if groups is not None:
        is_val = _first_of_group(is_val, groups[subset])
        _check_trained(labels[subset[~is_val]], labels[subset], draw)
    if not is_val.any():
        needed = classes * math.ceil(1 / share)
        raise BudgetError(
            f"labels: a budget of {draw.budget} leaves no example for validation; take at least {needed}, "
            f"raise train.val_fraction from {val_fraction}, or train on all labels: train.validation none"
        )
    return LabelSplit(np.sort(subset[~is_val]), np.sort(subset[is_val]))


def fold_splits(
    labels: Indices, classes: int, draw: Draw, count: int, groups: Indices | None = None
) -> list[LabelSplit]:
    """Draw the same labelled subset as ``label_split``, and divide it into the folds of a cross-validation.

    Each label is used for validation in one fold and for training in all others. A larger budget has it in the same
    fold. In a stratified draw, every class is trained on in every fold. There are ``count`` folds, or fewer where the
    budget is too small for so many; the other arguments are those of ``label_split``.

    Raises:
        PipelineError: If the budget is out of range, a stratified draw has a single label of a class, a random one has
            a single fold, or a class has no labelled image.
    """
    subset, rank, phase = _drawn(labels, classes, draw)
    of_class = labels[subset]
    single = np.flatnonzero(np.bincount(of_class, minlength=classes) < 2)
    if len(single) and draw.sampling == "stratified":
        raise BudgetError(
            f"labels: of a budget of {draw.budget}, class {single[0]} gets a single label, which cannot be trained on "
            f"and left out; take at least {2 * classes}, or train on all labels: train.validation none"
        )
    # neighbours in rank are in different folds, and the phases let different classes begin with different folds
    fold = (rank + phase[of_class]) % count
    if groups is not None:
        fold = _first_of_group(fold, groups[subset])
        for f in np.unique(fold):
            _check_trained(of_class[fold != f], of_class, draw)
    folds = [LabelSplit(np.sort(subset[fold != f]), np.sort(subset[fold == f])) for f in np.unique(fold)]
    if len(folds) < 2:
        raise BudgetError(
            f"labels: a budget of {draw.budget} makes a single fold; take more labels, or train on all of them: "
            "train.validation none"
        )
    return folds


def _first_of_group(values: npt.NDArray[Any], groups: Indices) -> npt.NDArray[Any]:
    """Give every image the value of the first one of its group."""
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    return values[first][member]


def _check_trained(trained: Indices, drawn: Indices, draw: Draw) -> None:
    untrained = np.setdiff1d(drawn, trained)
    if len(untrained) and (draw.sampling == "stratified" or not len(trained)):
        raise BudgetError(
            f"labels: of a budget of {draw.budget}, class {untrained[0]} has no label left to train on beside those "
            "that validate with their whole group; take more labels, or smaller groups (data.groups)"
        )


def drawn(labels: Indices, classes: int, draw: Draw) -> Indices:
    """Return the images of a draw, in the order in which their labels are spent, shape (budget,).

    The labels are those of all training images, shape (N,), -1 for unlabelled.

    Raises:
        PipelineError: If the budget is out of range, or a class has no labelled image.
    """
    return _drawn(labels, classes, draw)[0]


def union(splits: Sequence[LabelSplit]) -> LabelSplit:
    """Return all labels that any of the splits trains on, and all that any validates on."""
    train = np.unique(np.concatenate([split.train for split in splits]))
    val = np.unique(np.concatenate([split.val for split in splits]))
    return LabelSplit(train, val)


def _check_budget(labels: Indices, classes: int, draw: Draw) -> None:
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    budget = draw.budget
    if not counts.any():
        raise PipelineError("labels: no training image has one; label some, and name them in a file as data.labels")
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        raise PipelineError(f"labels: class {empty[0]} has no labelled training image; every class needs one")
    if draw.sampling == "stratified" and budget < classes:
        raise BudgetError(f"labels: a budget of {budget} is below the number of classes; take at least {classes}")
    if budget > counts.sum():
        raise BudgetError(
            f"labels: a budget of {budget} is above the {counts.sum()} labelled training images there are; take at "
            "most these, or label more images"
        )


def _drawn(labels: Indices, classes: int, draw: Draw) -> tuple[Indices, Indices, Indices]:
    """Return the images of a draw in its order, the rank of each in its class, and a random order of the classes.

    Raises:
        PipelineError: If the budget is out of range, or a class has no labelled image.
    """
    _check_budget(labels, classes, draw)
    generator = np.random.default_rng(draw.seed)
    phase = generator.permutation(classes)
    index = generator.permutation(np.flatnonzero(labels >= 0))
    if draw.sampling == "chosen":
        index = np.array(draw.order, dtype=np.int64)
    rank = np.empty(len(index), dtype=np.int64)
    for c in range(classes):
        members = labels[index] == c
        rank[members] = np.arange(members.sum())
    if draw.sampling == "stratified":
        order = np.lexsort((phase[labels[index]], rank))
        index, rank = index[order], rank[order]
    return index[: draw.budget], rank[: draw.budget], phase
