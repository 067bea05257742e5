"""The parts of the section ``train`` that say how a classifier learns from images without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import require


@dataclass(frozen=True)
class GraphConfig:
    """How labels are spread over images without labels, in the modes that do so.

    Attributes:
        neighbours: Number of nearest neighbours, by the distance of embeddings, that each image is joined with.
        search: exact computes the distances between all images, in a time that grows with the square of their number;
            approximate finds at least 99.5 % of the neighbours in far less (extra [large]); auto is exact up to 100,000
            images, and approximate beyond.
        alpha: Share of its scores that an image takes from its neighbours, the rest from its own label if it has one;
            the nearer to 1, the farther labels reach (Zhou et al. 2004).
        prior: How much each class spreads: "uniform", all the same, whatever the labels; "labels", as much as its share
            of the labels; "estimated", as much as its share of all images, estimated from what spreads.
        head_widths: Hidden layers of the head that learns the spread labels; with all images to learn from it can have
            some even where the labels are few.
        batch_size: Number of images in each step of the head's training on spread labels.
    """

    neighbours: int = 10
    search: Literal["auto", "exact", "approximate"] = "auto"
    alpha: float = 0.99
    prior: Literal["uniform", "labels", "estimated"] = "uniform"
    head_widths: tuple[int, ...] = (256,)
    batch_size: int = 256

    def __post_init__(self) -> None:
        require(self.neighbours > 0, "train.graph.neighbours", self.neighbours, "at least 1")
        require(0 < self.alpha < 1, "train.graph.alpha", self.alpha, "a share between 0 and 1")
        require(all(w > 0 for w in self.head_widths), "train.graph.head_widths", self.head_widths, "positive sizes")
        require(self.batch_size > 1, "train.graph.batch_size", self.batch_size, "at least 2 images")


@dataclass(frozen=True)
class SelfTrainingConfig:
    """How an encoder learns spread labels, in the modes that train it on them.

    It learns from an image, augmented as in every mode, if the classifier's EMA and the spread label name the same
    class.

    Attributes:
        weight: Weight of the cross-entropy of these images beside that of the labelled ones.
        batch_size: Number of these images in each step, beside train.batch_size labelled ones.
    """

    weight: float = 1.0
    batch_size: int = 128

    def __post_init__(self) -> None:
        require(0 <= self.weight < math.inf, "train.self_training.weight", self.weight, "a number of at least 0")
        require(self.batch_size > 1, "train.self_training.batch_size", self.batch_size, "at least 2 images")
