"""Nearest neighbours among features: by all distances, or by an index that looks where neighbours are likely."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.int64]

BLOCK = 2000  # rows of the distance matrix that are held at a time
ADDED = 100_000  # features that are put into the index at a time
LISTS = 4  # lists of the index, times the root of the number of features, rounded to a power of two
TRAINED_ON = 40  # features a list that the lists' centres are fitted to
ROUNDS = 10  # of k-means, which fits them
SAMPLE = 1000  # examples whose neighbours are searched for in all lists, to measure the recall
RECALL = 0.995  # least share of the true neighbours that the search finds in the sample
PROBES = 8  # lists that are looked into at first; doubled until the recall is reached


@torch.no_grad()
def nearest_neighbours(features: Tensor, count: int) -> tuple[Indices, Floats]:
    """Find the nearest other examples of each by exact Euclidean distances, in blocks of matrix products.

    Args:
        features: Shape (N, D), float32, on any device.
        count: Neighbours of each; below N.

    Returns:
        Their indices and distances, nearest first, each of shape (N, count).
    """
    squares = features.square().sum(1)
    indices, distances = [], []
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK]
        # |a - b|^2 without |a|^2, which does not change the order
        partial = torch.addmm(squares, block, features.T, alpha=-2)
        partial[torch.arange(len(block)), start + torch.arange(len(block))] = torch.inf
        values, index = partial.topk(count, largest=False)
        indices.append(index.cpu())
        distances.append((values + squares[start : start + BLOCK, None]).clamp(min=0).sqrt().cpu())
    return torch.cat(indices).numpy(), torch.cat(distances).numpy()


def look_alikes(features: Tensor, chosen: Iterable[int], count: int) -> Iterator[list[int]]:
    """Yield the nearest others of each of a few examples, by exact Euclidean distance, nearest first.

    Args:
        features: Shape (N, D), float32.
        chosen: Places of the examples among the features.
        count: Neighbours of each; fewer where N is smaller.
    """
    squares = features.square().sum(1)
    for place in chosen:
        distance = squares - 2 * features @ features[place]
        nearest = distance.topk(min(count + 1, len(distance)), largest=False).indices.tolist()
        yield [other for other in nearest if other != place][:count]


def approximate_neighbours(features: Floats, count: int) -> tuple[Indices, Floats, float]:
    """Find nearly all of the nearest other examples of each, in far less time than N^2 distances take.

    k-means divides the features into lists, and each example is compared with those of the lists nearest to it (an
    inverted file, Jegou et al. 2011, as the library faiss has it). The number of lists is doubled until a sample of
    examples finds at least 99.5 % of the neighbours that a search of all lists finds. The same features and number of
    threads give the same bits.

    Args:
        features: Shape (N, D), float32; may be mapped from a file. The index holds a copy of them in memory.
        count: Neighbours of each; below N.

    Returns:
        Their indices and distances, nearest first, each of shape (N, count), and the recall in the sample, 0 to 1.
    """
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    index = _index(features)
    sample = features[np.sort(np.random.default_rng(0).permutation(len(features))[:SAMPLE])]
    index.nprobe = index.nlist
    farthest = index.search(sample, count + 1)[0][:, -1:]  # of the true neighbours, squared
    index.nprobe = PROBES
    # the first that is found is the example itself, or a copy
    while (recall := float((index.search(sample, count + 1)[0][:, 1:] <= farthest).mean())) < RECALL:
        index.nprobe *= 2
    indices = np.empty((len(features), count), dtype=np.int64)
    distances = np.empty((len(features), count), dtype=np.float32)
    for start in range(0, len(features), ADDED):
        block = slice(start, start + ADDED)
        squares, found = _search(index, features[block], count + 1)
        others = _others(found, start)
        indices[block] = found[others].reshape(-1, count)
        distances[block] = np.sqrt(squares[others].reshape(-1, count))
    return indices, distances, recall


def _index(features: Floats) -> Any:
    """Divide the features into lists by k-means on a part of them."""
    import faiss

    size, width = features.shape
    lists = min(size, 2 ** round(math.log2(LISTS * math.sqrt(size))))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, lists, faiss.METRIC_L2)
    index.cp.niter, index.cp.seed = ROUNDS, 0
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, TRAINED_ON
    index.train(features)
    for start in range(0, size, ADDED):
        index.add(features[start : start + ADDED])
    return index


def _search(index: Any, queries: Floats, count: int) -> tuple[Floats, Indices]:
    """Search for this many; in all lists where those that are looked into hold fewer."""
    squares, found = index.search(queries, count)
    short = (found < 0).any(1)
    if short.any():
        probes, index.nprobe = index.nprobe, index.nlist
        squares[short], found[short] = index.search(queries[short], count)
        index.nprobe = probes
    return squares, found


def _others(found: Indices, start: int) -> npt.NDArray[np.bool_]:
    """Mark those found, but not the example itself or, where its copies hide it, the last one."""
    own: npt.NDArray[np.bool_] = found == start + np.arange(len(found))[:, None]
    own[~own.any(1), -1] = True
    return ~own
