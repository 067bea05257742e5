"""The most typical image of each cluster: where images lie the densest, which need not be the centre (TypiClust)."""

from __future__ import annotations

import numpy as np

from pipeline.choosing import Choice, Floats, Indices, Pool, Strategy
from pipeline.choosing.clusters import Clusters, choose_from_clusters

NEIGHBOURS = 20  # whose mean distance says how typical an image is
COMPARED = 4000  # images of a cluster that are compared with each other at most, drawn at random


def _choose(pool: Pool) -> Choice:
    def most_typical(_: Clusters, members: Indices) -> int:
        if len(members) > COMPARED:
            members = pool.generator.choice(members, COMPARED, replace=False)
        return int(members[_mean_distances(pool.embeddings[members]).argmin()])

    return choose_from_clusters(pool, most_typical, "most typical")


def _mean_distances(points: Floats) -> Floats:
    """Return the mean distance of each point to its nearest others, shape (N,)."""
    from sklearn.metrics import pairwise_distances_chunked
    from threadpoolctl import threadpool_limits

    near = min(NEIGHBOURS + 1, len(points))  # the nearest is the point itself

    def mean_of_nearest(distances: Floats, _: int) -> Floats:
        means: Floats = np.partition(distances, near - 1, axis=1)[:, :near].mean(1)
        return means

    with threadpool_limits(1):
        return np.concatenate(list(pairwise_distances_chunked(points, reduce_func=mean_of_nearest)))


STRATEGY = Strategy(
    "the most typical image of each of as many clusters as labels",
    _choose,
    reference="Hacohen, Dekel and Weinshall 2022, https://arxiv.org/abs/2202.02794",
)
