"""The parts of the section ``train`` that say how a classifier learns from images without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.errors import require


@dataclass(frozen=True)
class GraphConfig:
    """How labels spread over the images without labels; read where the mode spreads labels.

    Attributes:
        neighbours: Nearest neighbours, by the distance of embeddings, that each image is joined with.
        alpha: Share of its scores that an image takes from its neighbours, the rest from its own label if it has one;
            the nearer to 1, the farther labels reach (Zhou et al. 2004).
        head_widths: Hidden layers of the head that learns the spread labels; with all images to learn from it can have
            some even where the labels are few.
        batch_size: Images a step of that.
        views: Augmented copies of each image, the mean of whose embeddings takes the place of its own in the graph; 0
            leaves it at its own. Each takes as long as embedding all images does.
        view_strength: Strength of the invariances in these copies: far less than in pretraining.
    """

    neighbours: int = 10
    alpha: float = 0.99
    head_widths: tuple[int, ...] = (256,)
    batch_size: int = 256
    views: int = 0
    view_strength: float = 0.25

    def __post_init__(self) -> None:
        require(self.views >= 0, "train.graph.views", self.views, "0 or a number of copies")
        require(self.view_strength >= 0, "train.graph.view_strength", self.view_strength, "a strength of at least 0")
        require(self.neighbours > 0, "train.graph.neighbours", self.neighbours, "at least 1")
        require(0 < self.alpha < 1, "train.graph.alpha", self.alpha, "a share between 0 and 1")
        require(all(w > 0 for w in self.head_widths), "train.graph.head_widths", self.head_widths, "positive sizes")
        require(self.batch_size > 1, "train.graph.batch_size", self.batch_size, "at least 2 images")


@dataclass(frozen=True)
class ConsistencyConfig:
    """How a classifier learns from images without labels by pseudo-labels; read where the mode has consistency.

    Attributes:
        weak: Strength of the invariances in the images that the EMA gives pseudo-labels; 0 shows it the images as they
            are. What the network learns from is augmented as train.augment says, as in every mode.
        threshold: Least probability of the EMA's class for an image to be learnt from; not read where labels are
            spread: there an image is learnt from where both name the same class.
        weight: Weight of these images' cross-entropy beside that of the labelled ones.
        batch_size: Images a step, beside train.batch_size labelled ones.
    """

    weak: float = 0.0
    threshold: float = 0.95
    weight: float = 1.0
    batch_size: int = 128

    def __post_init__(self) -> None:
        require(self.weak >= 0, "train.consistency.weak", self.weak, "a strength of at least 0")
        require(0 <= self.threshold < 1, "train.consistency.threshold", self.threshold, "a probability below 1")
        require(0 <= self.weight < math.inf, "train.consistency.weight", self.weight, "a number of at least 0")
        require(self.batch_size > 1, "train.consistency.batch_size", self.batch_size, "at least 2 images")
