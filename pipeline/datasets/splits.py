"""Which labels an experiment may see: nested, stratified, seeded subsets with validation paid for inside them.

Pure index arithmetic. All labelled images are put in one order for each seed: first one image of each class, then
a second of each, and so on, the images of a class in random order. A budget is a prefix of that order, so budgets
are nested by construction and as balanced as the classes allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelSplit:
    """How a label budget is spent.

    Attributes:
        train: Indices of training images whose labels are trained on, sorted.
        val: Indices of training images whose labels early stopping looks at, sorted. In a cross-validation these are
            the same: each label is left out of one fold's training and judges that.
    """

    train: Indices
    val: Indices


def label_split(labels: Indices, budget: int, val_fraction: float, seed: int, classes: int) -> LabelSplit:
    """Draw a labelled subset and divide it into training and validation.

    Both parts are nested: whatever a smaller budget trains on (validates on), a larger one of the same seed trains
    on (validates on) too. Every class is trained on.

    Args:
        labels: Labels of all training images, shape (N,), -1 for unlabelled.
        budget: Labels to be seen in all, validation included.
        val_fraction: Share of the budget for validation.
        seed: Which draw.
        classes: Number of classes.

    Raises:
        PipelineError: The budget is below the number of classes, above the labels there are, or leaves nothing for
            validation; or a class has no labelled image.
    """
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    _check_budget(counts, budget, classes)
    order, rank, phase = _order(labels, seed, classes)
    # a class gives up its r-th image to validation whenever its running share passes a whole number; the phases
    # spread those moments over the classes, and leave the first image of each to training
    share = Fraction(val_fraction).limit_denominator(1000)
    offsets = [(1 - share) * Fraction(int(p), classes) for p in phase]
    subset = order[:budget]
    is_val = np.array(
        [
            math.floor((r + 1) * share + offsets[c]) > math.floor(r * share + offsets[c])
            for r, c in zip(rank[:budget].tolist(), labels[subset].tolist(), strict=True)
        ]
    )
    if not is_val.any():
        needed = classes * math.ceil(1 / share)
        raise PipelineError(
            f"labels: a budget of {budget} leaves no example for validation; take at least {needed}, "
            f"or raise train.val_fraction from {val_fraction}"
        )
    return LabelSplit(np.sort(subset[~is_val]), np.sort(subset[is_val]))


def fold_splits(labels: Indices, budget: int, count: int, seed: int, classes: int) -> list[LabelSplit]:
    """Draw a labelled subset, the same as ``label_split``, and divide it in several ways for a cross-validation.

    Each label validates in one fold and is trained on in all others. It is in the same fold at a larger budget, and
    every class is trained on in every fold.

    Args:
        labels: Labels of all training images, shape (N,), -1 for unlabelled.
        budget: Labels to be seen in all.
        count: Folds, at least 2; a budget too small for as many makes fewer.
        seed: Which draw.
        classes: Number of classes.

    Raises:
        PipelineError: The budget is out of range or a class has a single label of it; or a class has no labelled image.
    """
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    _check_budget(counts, budget, classes)
    order, rank, phase = _order(labels, seed, classes)
    subset = order[:budget]
    of_class = labels[subset]
    single = np.flatnonzero(np.bincount(of_class, minlength=classes) < 2)
    if len(single):
        raise PipelineError(
            f"labels: of a budget of {budget}, class {single[0]} gets a single label, which cannot be trained on and "
            f"left out; take at least {2 * classes}, or train.validation holdout"
        )
    # neighbours in rank are in different folds, and the phases let different classes begin with different folds
    fold = (rank[:budget] + phase[of_class]) % count
    return [LabelSplit(np.sort(subset[fold != f]), np.sort(subset[fold == f])) for f in np.unique(fold)]


def union(splits: Sequence[LabelSplit]) -> LabelSplit:
    """What all splits together train on and validate on; of a cross-validation, every label both times."""
    train, val = (np.unique(np.concatenate(parts)) for parts in ([s.train for s in splits], [s.val for s in splits]))
    return LabelSplit(train, val)


def _check_budget(counts: Indices, budget: int, classes: int) -> None:
    if not counts.any():
        raise PipelineError("labels: no training image has one; label some, and name them in a file as data.labels")
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        raise PipelineError(f"labels: class {empty[0]} has no labelled training image; every class needs one")
    if budget < classes:
        raise PipelineError(f"labels: a budget of {budget} is below the number of classes; take at least {classes}")
    if budget > counts.sum():
        raise PipelineError(
            f"labels: a budget of {budget} is above the {counts.sum()} labelled training images there are"
        )


def _order(labels: Indices, seed: int, classes: int) -> tuple[Indices, Indices, Indices]:
    """All labelled indices in the order they are spent, each one's rank in its class, and a random class order."""
    generator = np.random.default_rng(seed)
    phase = generator.permutation(classes)
    index = generator.permutation(np.flatnonzero(labels >= 0))
    rank = np.empty(len(index), dtype=np.int64)
    for c in range(classes):
        members = labels[index] == c
        rank[members] = np.arange(members.sum())
    order = np.lexsort((phase[labels[index]], rank))
    return index[order], rank[order], phase
