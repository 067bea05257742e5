"""How good generated images are, in the eyes of a classifier that had no part in making them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipeline.models.deployed import Deployed
from pipeline.models.inputs import Images, infer

Features = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """The features and the classes that a classifier sees in images.

    Attributes:
        features: The features that the classifier's head gets, shape (N, features).
        probabilities: The probability of each class, shape (N, classes).
    """

    features: Features
    probabilities: Features

    @property
    def confidence(self) -> float:
        """Mean probability of the likeliest class."""
        return float(self.probabilities.max(1).mean())

    @property
    def shares(self) -> Features:
        """Share of the images that it puts into each class, shape (classes,)."""
        counts = np.bincount(self.probabilities.argmax(1), minlength=self.probabilities.shape[1])
        return counts / len(self.probabilities)

    @property
    def variety(self) -> float:
        """How many equally frequent classes would have the entropy of those shares; at most their number."""
        return float(np.exp(stats.entropy(self.shares)))


def judge(classifier: Deployed, images: Images) -> Judgement:
    """Show images, shape (N, C, H, W), uint8 or floats in [0, 1], to a classifier in eval mode."""
    features = infer(classifier.backbone, images)
    probabilities = infer(classifier.head, features).double().softmax(1)
    return Judgement(features.double().numpy(), probabilities.numpy())


def frechet_distance(first: Features, second: Features) -> float:
    """Return the squared Fréchet distance of Gaussians fitted to two sets of features (Heusel et al. 2017).

    |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)); the trace of the root is the sum of the roots of C1 C2's eigenvalues,
    which are those of a product of positive semi-definite matrices and so real and at least 0. The sets have the shapes
    (N, D) and (M, D), with two rows or more.
    """
    difference = first.mean(0) - second.mean(0)
    a, b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (first, second))
    roots = np.sqrt(np.linalg.eigvals(a @ b).real.clip(min=0))
    return float(difference @ difference + np.trace(a) + np.trace(b) - 2 * roots.sum())
