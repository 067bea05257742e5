"""A data set from its parts: a test set that is held out if there is no official one, and no training image in it."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np

from pipeline.datasets.copies import find_copies
from pipeline.datasets.grouping import Groups
from pipeline.datasets.image_data import Dataset, ImageData
from pipeline.datasets.streamed import Storage
from pipeline.errors import PipelineError

FRACTION = 0.2  # held out of a data set that comes without an official test set
SEED = 20_000_000  # fixed: the test set is a property of the data, not of an experiment


def hold_out_test(data: ImageData) -> tuple[ImageData, ImageData]:
    """Split off a stratified fifth of the labelled images as the test set, always the same one; none if there are none.

    Raises:
        PipelineError: If there are too few labelled images.
    """
    import torch
    from sklearn.model_selection import train_test_split

    labelled = torch.nonzero(data.labels >= 0).flatten()
    classes = data.labels[labelled]
    if not len(labelled):
        return data, data[labelled]
    counts = torch.bincount(classes, minlength=len(data.class_names))
    size, present = math.ceil(FRACTION * len(labelled)), int((counts > 0).sum())
    scarce = [f"{name!r} ({n})" for name, n in zip(data.class_names, counts.tolist(), strict=True) if n < 2]
    if scarce:
        raise PipelineError(
            f"labels: a test set cannot be held out, since these classes have fewer than 2 labelled images: "
            f"{', '.join(scarce)}; label more of them, leave the class out, or give an official test set"
        )
    if size < present:
        raise PipelineError(
            f"labels: a test set cannot be held out, since a fifth of {len(labelled)} labelled images is fewer than "
            f"one for each of the {present} classes; label at least {present * 5} images, or give an official test set"
        )
    if data.groups is None:
        _, test = train_test_split(labelled.numpy(), test_size=FRACTION, stratify=classes.numpy(), random_state=SEED)
    else:
        test = labelled.numpy()[_fold_of_groups(classes.numpy(), data.groups[labelled.numpy()])]
    is_test = torch.zeros(len(data), dtype=torch.bool)
    is_test[torch.from_numpy(test)] = True
    return data[~is_test], data[is_test]


def _fold_of_groups(classes: Groups, groups: Groups) -> Groups:
    """Return about a fifth of labelled images, in whole groups, as places in these arrays."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(round(1 / FRACTION), len(np.unique(groups)))
    best, tested = None, 0
    if folds > 1:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=SEED)
        with warnings.catch_warnings(action="ignore"):  # of classes with fewer images than folds
            for train, test in splitter.split(classes, classes, groups):
                if set(classes[train]) == set(classes) and len(set(classes[test])) > tested:
                    best, tested = test, len(set(classes[test]))
    if best is None:
        raise PipelineError(
            f"data.groups: a test set cannot be held out, since a class is in one of {len(np.unique(groups))} groups "
            "alone; label images of other groups, or make smaller groups"
        )
    found: Groups = best
    return found


def assemble(train: ImageData, test: ImageData, storage: Storage) -> Dataset:
    """Make a data set of its two parts, without the training images that the test set holds too.

    The storage remembers which streamed images are copies.

    Raises:
        PipelineError: If the parts do not belong together, or nothing could be learnt from them.
    """
    import torch

    _check_parts(train, test)
    copies = find_copies(train, test, storage)
    fresh = torch.ones(len(train), dtype=torch.bool)
    fresh[copies.in_test + copies.of_test_groups] = False
    if not fresh.any():
        raise PipelineError("every training image also lies in the test set, or belongs to a group that does")
    if copies.repeated:
        repeated = torch.zeros(len(train), dtype=torch.bool)
        repeated[copies.repeated] = True
        train = replace(train, labels=train.labels.masked_fill(repeated, -1))
    kept = train if fresh.all() else train[fresh]
    return Dataset(kept, test, copies)


def _check_parts(train: ImageData, test: ImageData) -> None:
    if train.class_names != test.class_names or train.shape != test.shape:
        raise PipelineError(
            f"training images are {train.shape} in classes {train.class_names}, test images "
            f"{test.shape} in classes {test.class_names}; expected the same"
        )
    if not len(train):
        raise PipelineError("images: there is no training image; expected at least one image")
    if not len(test) and (train.labels >= 0).any():
        raise PipelineError("the test set has no image; return the training images alone, and one is held out")
    if (test.labels < 0).any():
        raise PipelineError("the test set holds unlabelled images (-1); expected a label for each")
    if len(set(train.labels.tolist()) - {-1}) == 1:
        raise PipelineError(
            "labels: the labelled training images are all of one class; expected two classes or more, or no label"
        )
