"""The image nearest to the centre of each cluster that k-means finds."""

from __future__ import annotations

from pipeline.choosing import Choice, Indices, Pool, Strategy
from pipeline.choosing.clusters import Clusters, choose_from_clusters


def _choose(pool: Pool) -> Choice:
    return choose_from_clusters(pool, _nearest_to_centre, "nearest to the centre")


def _nearest_to_centre(clusters: Clusters, members: Indices) -> int:
    return int(members[clusters.distances[members].argmin()])


STRATEGY = Strategy(
    "the image nearest to the centre of each of as many clusters as labels",
    _choose,
    reference="Zhdanov 2019, https://arxiv.org/abs/1901.05954, where there is a classifier already",
)
