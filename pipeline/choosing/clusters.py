"""Clusters of look-alikes, from which strategies take one image each, and the order in which they are labelled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.choosing import Choice, Floats, Indices, Pool, margins, unlabelled

FITTED, FITTED_PER_CLUSTER = 20_000, 50  # images that centres are fitted to, drawn at random: the larger of the two
STARTS, CENTRES_TRIED = 10, 200  # of k-means, the best of which is kept; fewer where there are many centres


@dataclass(frozen=True)
class Clusters:
    """A partition of the images.

    Attributes:
        centres: Shape (K, D).
        of: The cluster of each image, shape (N,).
        distances: From each image to its cluster's centre, shape (N,).
        weights: What the images of each cluster weigh together, shape (K,).
    """

    centres: Floats
    of: Indices
    distances: Floats
    weights: Floats


def find_clusters(pool: Pool) -> Clusters:
    """Find as many clusters as images will have a label, by k-means.

    Where there are probabilities, an image weighs the more the less sure the classifier is (Zhdanov 2019, Diverse
    mini-batch active learning, arXiv 1901.05954), so that there are more clusters where more is unknown.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import pairwise_distances_argmin_min
    from threadpoolctl import threadpool_limits

    points, count = pool.embeddings, len(pool.labelled) + pool.count
    importance = np.ones(len(points)) if pool.probabilities is None else 1.01 - margins(pool.probabilities)
    fitted = np.sort(pool.generator.permutation(len(points))[: max(FITTED, FITTED_PER_CLUSTER * count)])
    starts = max(1, min(STARTS, CENTRES_TRIED // count))
    model = KMeans(count, n_init=starts, random_state=int(pool.generator.integers(2**31)))
    with threadpool_limits(1), warnings.catch_warnings():  # the same sums, whatever the number of cores
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal images make fewer clusters than were asked for
        centres = model.fit(points[fitted], sample_weight=importance[fitted]).cluster_centers_
        of, distances = pairwise_distances_argmin_min(points, centres)
    weights = np.bincount(of, weights=importance, minlength=count).astype(np.float64)
    return Clusters(centres, of, distances, weights)


def choose_from_clusters(pool: Pool, choose_one: Callable[[Clusters, Indices], int], reason: str) -> Choice:
    """Choose an image of each of the heaviest clusters that hold no labelled image yet.

    They come in the order in which they cover the clusters best: each is the one that most lessens the mean distance
    from an image to the nearest centre before it (the greedy algorithm for k-medians).

    Args:
        pool: The images.
        choose_one: From the clusters, and the indices of those images of one of them that have no label, to the index
            of the one that is to be labelled.
        reason: What the image is in its cluster, such as "nearest to the centre".
    """
    clusters = find_clusters(pool)
    candidates = unlabelled(pool)
    members = np.bincount(clusters.of[candidates], minlength=len(clusters.centres))
    covered = np.zeros(len(members), dtype=bool)
    covered[clusters.of[pool.labelled]] = True
    free = np.flatnonzero((members > 0) & ~covered)
    free = free[np.argsort(-clusters.weights[free], kind="stable")][: pool.count]
    ordered = _covering_order(clusters, np.flatnonzero(covered), free)
    index, reasons = [], []
    for cluster in ordered.tolist():
        own = candidates[clusters.of[candidates] == cluster]
        index.append(choose_one(clusters, own))
        reasons.append(f"{reason} of a cluster of {members[cluster]} images")
    # equal images leave clusters empty: what is missing are the images farthest from their centres
    left = np.setdiff1d(candidates, index)
    left = left[np.argsort(-clusters.distances[left], kind="stable")][: pool.count - len(index)]
    index += left.tolist()
    reasons += ["far from the centre of its cluster"] * len(left)
    chosen = np.array(index)
    return Choice(chosen, clusters.of[chosen], tuple(reasons))


def _covering_order(clusters: Clusters, covered: Indices, free: Indices) -> Indices:
    """Put clusters in the order in which they cover all, given those that hold a labelled image."""
    from sklearn.metrics.pairwise import euclidean_distances

    between = euclidean_distances(clusters.centres)
    nearest = np.minimum(between.max(), between[covered].min(0, initial=np.inf))
    left, order = free.tolist(), []
    while left:
        costs = np.minimum(nearest, between[left]) @ clusters.weights
        first = left.pop(int(costs.argmin()))
        nearest = np.minimum(nearest, between[first])
        order.append(first)
    return np.array(order, dtype=np.int64)
