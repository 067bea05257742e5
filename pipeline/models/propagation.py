"""Labels spread over a graph of nearest neighbours: from a few labelled examples to soft labels for all.

The graph joins each example with those whose features are nearest; along its edges, labels spread. Pure functions of
NumPy and SciPy arrays; no label but those handed in is looked at.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from pipeline.models.neighbours import Floats, Indices

SMALLEST = 1e-9  # distance: equal images have none, and it is divided by
TOLERANCE, ITERATIONS = 1e-6, 1000  # of conjugate gradients


def similarity_graph(indices: Indices, distances: Floats) -> sparse.csr_matrix:
    """Edges between neighbours, weighed by a Gaussian of their distance with local scaling.

    Two examples are as close as exp(-d^2 / (s_i s_j)), s being the distance of each to its last neighbour
    (Zelnik-Manor and Perona 2004), so that sparse regions hang together as well as dense ones. An edge that only one
    side chose counts half.

    Args:
        indices: Neighbours of each example, shape (N, count).
        distances: The distances to these, same shape, nearest first.

    Returns:
        Symmetric, shape (N, N), without self-edges.
    """
    count, neighbours = indices.shape
    distances = distances.astype(np.float64)
    scale = np.maximum(distances[:, -1], SMALLEST)
    weights = np.exp(-(distances**2) / (scale[:, None] * scale[indices]))
    rows = np.repeat(np.arange(count), neighbours)
    directed = sparse.csr_matrix((weights.ravel(), (rows, indices.ravel())), shape=(count, count))
    return ((directed + directed.T) / 2).tocsr()


def spread(graph: sparse.csr_matrix, index: Indices, labels: Indices, classes: int, alpha: float) -> Floats:
    """Class scores of all examples from the labels of a few (label spreading, Zhou et al. 2004).

    Each example takes the share alpha of its scores from its neighbours and the rest from its own label:
    (I - alpha S) F = (1 - alpha) Y with S = D^-1/2 W D^-1/2, solved by conjugate gradients.

    Args:
        graph: From ``similarity_graph``, shape (N, N).
        index: The labelled examples, shape (n,).
        labels: Their classes, shape (n,).
        classes: Number of classes.
        alpha: Above 0 and below 1; the nearer to 1, the farther labels reach.

    Returns:
        Shape (N, classes).
    """
    total = graph.shape[0]
    sources = np.zeros((total, classes))
    # each class puts in the same amount, whatever the draw gave it: the prior is uniform
    sources[index, labels] = (1 - alpha) / np.bincount(labels, minlength=classes)[labels]
    degree = np.maximum(np.asarray(graph.sum(1)).ravel(), np.finfo(float).tiny)
    root = sparse.diags(1 / np.sqrt(degree))
    normal = root @ graph @ root
    operator = LinearOperator((total, total), matvec=lambda x: x - alpha * (normal @ x), dtype=np.float64)
    columns = [cg(operator, column, rtol=TOLERANCE, maxiter=ITERATIONS)[0] for column in sources.T]
    return np.stack(columns, axis=1)


def probabilities(scores: Floats) -> Floats:
    """Turn scores from ``spread`` into probabilities of the classes, shape (N, classes); all 0 where no label reaches.

    >>> probabilities(np.array([[0.1, 0.3, 0.2], [0.0, 0.0, 0.0]])).round(2).tolist()
    [[0.0, 0.67, 0.33], [0.0, 0.0, 0.0]]
    """
    positive = scores - scores.min(1, keepdims=True)
    found: Floats = positive / np.maximum(positive.sum(1, keepdims=True), np.finfo(float).tiny)
    return found


def soft_labels(scores: Floats, index: Indices, labels: Indices) -> Tensor:
    """Targets for training: probabilities of the classes, weighed by how sure they are.

    The weight of an example is 1 minus the entropy of its probabilities in units of the greatest possible (Iscen et al.
    2019), relative to the surest. The labelled examples get their own labels, with weight 1.

    Args:
        scores: From ``spread``, shape (N, classes).
        index: The labelled examples, shape (n,).
        labels: Their classes, shape (n,).

    Returns:
        Shape (N, classes), float32; each row sums to its weight, 0 to 1.
    """
    likely = probabilities(scores)
    entropy = -(likely * np.log(np.maximum(likely, np.finfo(float).tiny))).sum(1)
    certainty = 1 - entropy / np.log(scores.shape[1])
    targets = likely * (certainty / max(certainty.max(), np.finfo(float).tiny))[:, None]
    targets[index] = np.eye(scores.shape[1])[labels]
    return torch.from_numpy(targets.astype(np.float32))
