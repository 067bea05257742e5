"""The images and labels that a classifier learns from, the networks that learn from them, and how both are measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from pipeline.datasets.splits import Indices, LabelSplit
from pipeline.evaluation.errors import evaluate
from pipeline.models.classifier import Backbone, Classifier
from pipeline.models.encoders import Shape
from pipeline.models.inputs import Images
from pipeline.training.recording import Row


@dataclass(frozen=True)
class Examples:
    """The images and labels that a classifier learns from.

    Attributes:
        images: All training images, uint8 or floats from 0 to 1, shape (N, C, H, W); a tensor, or in files.
        labels: The class of each image, int64, shape (N,); labels outside the splits are not used.
        classes: The number of classes.
        splits: The labels that are trained on and those that early stopping uses; several for a cross-validation.
        unseen: Indices of labelled images whose error is added to the history but not used; None for none.
    """

    images: Images
    labels: Tensor
    classes: int
    splits: Sequence[LabelSplit]
    unseen: Indices | None = None

    @property
    def budget(self) -> int:
        """The number of labels in all splits together, including validation."""
        return len(np.unique(np.concatenate([part for split in self.splits for part in (split.train, split.val)])))

    @property
    def validates(self) -> bool:
        """Whether any label of the budget is left out to choose by."""
        return any(len(split.val) for split in self.splits)

    @property
    def shape(self) -> Shape:
        """Channels, height and width of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width


@dataclass(frozen=True)
class Network:
    """A network that is trained in place, with the labels for it.

    Attributes:
        backbone: The network from images to features.
        head: The network from features to logits.
        split: The labels; without a validation part, no fit is stopped early.
    """

    backbone: Backbone
    head: nn.Module
    split: LabelSplit


def measurement(
    examples: Examples, classifiers: Sequence[Classifier], networks: Sequence[Network], x: Images
) -> Callable[[], Row]:
    """Return a function that measures error and loss on each part of the labels, as means over the networks.

    The classifiers are those of the networks; ``x``, of shape (N, ...), are their inputs for all images: the images, or
    embeddings.
    """
    labels, classes = examples.labels, examples.classes
    parts = []
    for network in networks:
        split = network.split
        found = {"in": split.train, "val": split.val, "unseen": examples.unseen}
        there = {name: index for name, index in found.items() if index is not None and len(index)}
        parts.append({name: (x[index], labels[index]) for name, index in there.items()})

    def measure() -> Row:
        rows = []
        for classifier, own in zip(classifiers, parts, strict=True):
            row: Row = {}
            for name, (inputs, truth) in own.items():
                errors = evaluate(classifier, inputs, truth, classes)
                row |= {f"e_{name}": errors.error, f"loss_{name}": errors.loss}
                if name == "val":
                    row["se_val"] = errors.standard_error / math.sqrt(len(networks))
            rows.append(row)
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}

    return measure
