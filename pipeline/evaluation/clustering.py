"""How well clusters that were found without labels agree with the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture

Labels = npt.NDArray[np.int64]


def clustering_accuracy(clusters: Labels, labels: Labels) -> float:
    """Return the share of examples whose cluster is matched with their class, by the best one-to-one matching.

    Clusters and labels are numbers from 0, shape (N,).
    """
    counts = contingency_matrix(labels, clusters)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / len(labels))


def cluster(features: npt.NDArray[Any], labels: Labels, classes: int, seed: int) -> dict[str, float]:
    """Fit k-means and a Gaussian mixture with as many clusters as classes; compare them with the labels.

    The features have the shape (N, D), the labels (N,), from 0; they take no part in the fit. The seed decides where it
    starts.

    Returns:
        ``kmeans_accuracy``, ``kmeans_nmi``, ``mixture_accuracy`` and ``mixture_nmi``, each 0 to 1.
    """
    found = {}
    kmeans = KMeans(classes, n_init=5, random_state=seed).fit(features)
    mixture = GaussianMixture(classes, reg_covar=1e-4, means_init=kmeans.cluster_centers_, random_state=seed)
    for name, clusters in (("kmeans", kmeans.labels_), ("mixture", mixture.fit_predict(features))):
        found[f"{name}_accuracy"] = clustering_accuracy(clusters.astype(np.int64), labels)
        found[f"{name}_nmi"] = float(normalized_mutual_info_score(labels, clusters))
    return found
