"""Classical baselines through scikit-learn, on the same label draws.

They need no early stopping, so they train on the whole label budget. PCA, like the autoencoder, looks at all training
images, since it needs no label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from pipeline.modes import NEIGHBOURS, PCA_FEATURES

EXACT_PCA = 1024  # pixels up to which PCA is exact

Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BaselinePredictions:
    """Predicted classes, int64, of the labelled training images and of the test images."""

    train: Labels
    test: Labels


def fit_pca(pool: Pixels) -> PCA:
    """Fit PCA to training images, shape (N, pixels)."""
    # exact where that is cheap; the covariance of 3 x 96 x 96 pixels would fill gigabytes
    solver = "covariance_eigh" if pool.shape[1] <= EXACT_PCA else "randomized"
    with threadpool_limits(1):
        return PCA(min(PCA_FEATURES, *pool.shape), svd_solver=solver, random_state=0).fit(pool)


def predict(name: str, pca: PCA, x: Pixels, y: Labels, test: Iterable[Pixels]) -> BaselinePredictions:
    """Train one baseline on one draw; on one thread, so that the result is the same however many run beside it.

    Args:
        name: "logistic", "pca_logistic" or "knn".
        pca: From ``fit_pca``.
        x: Labelled images, shape (n, pixels), in [0, 1].
        y: Their labels, shape (n,).
        test: Test images, each piece of shape (m, pixels).
    """
    with threadpool_limits(1):
        if name == "pca_logistic":
            x, test = pca.transform(x), map(pca.transform, test)
        classifier: Any
        if name == "knn":
            classifier = KNeighborsClassifier(min(NEIGHBOURS, len(x)), weights="distance")
        else:
            classifier = LogisticRegression(max_iter=2000)
        classifier.fit(x, y)
        return BaselinePredictions(classifier.predict(x), np.concatenate([classifier.predict(part) for part in test]))
