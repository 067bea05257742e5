"""The images that are farthest from all chosen before, so that none is far from a chosen one (greedy k-center)."""

from __future__ import annotations

import numpy as np

from pipeline.choosing import Choice, Floats, Pool, Strategy, unlabelled


def _choose(pool: Pool) -> Choice:
    points, candidates = pool.embeddings, unlabelled(pool)
    squares = np.einsum("nd,nd->n", points, points)
    nearest = np.full(len(points), np.inf)  # squared distance of each image to the nearest chosen or labelled one
    for place in pool.labelled.tolist():
        nearest = np.minimum(nearest, _squared_distances(points, squares, place))
    index, reasons = [], []
    for _ in range(pool.count):
        farthest = int(candidates[nearest[candidates].argmax()])
        reason = f"{max(nearest[farthest], 0) ** 0.5:.2f} away from every image chosen before"
        if np.isinf(nearest[farthest]):
            farthest, reason = int(pool.generator.choice(candidates)), "the first, drawn at random"
        index.append(farthest)
        reasons.append(reason)
        nearest = np.minimum(nearest, _squared_distances(points, squares, farthest))
        nearest[farthest] = -1  # not again, even where images are equal
    return Choice(np.array(index), np.arange(pool.count), tuple(reasons))


def _squared_distances(points: Floats, squares: Floats, place: int) -> Floats:
    distances: Floats = squares - 2 * (points @ points[place]) + squares[place]
    return distances


STRATEGY = Strategy(
    "the image farthest from all chosen before, again and again",
    _choose,
    reference="Sener and Savarese 2018, https://arxiv.org/abs/1708.00489",
)
