"""Labels spread over a graph of nearest neighbours: from a few labelled examples to soft labels for all.

The graph joins each example with those whose features are nearest; along its edges, labels spread. Pure functions of
NumPy and SciPy arrays; no label but those handed in is looked at.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from pipeline.models.neighbours import Floats, Indices

SMALLEST = 1e-9  # distance: equal images have none, and it is divided by
Prior = Literal["uniform", "labels", "estimated"]
ROUNDS = 100  # of EM

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


def spread(
    graph: sparse.csr_matrix, index: Indices, labels: Indices, classes: int, alpha: float, prior: Prior = "uniform"
) -> Floats:
    """Class scores of all examples from the labels of a few (label spreading, Zhou et al. 2004).

    Each example takes the share alpha of its scores from its neighbours and the rest from its own label:
    (I - alpha S) F = (1 - alpha) Y with S = D^-1/2 W D^-1/2, solved by conjugate gradients.

    Args:
        graph: From ``similarity_graph``, shape (N, N).
        index: The labelled examples, shape (n,).
        labels: Their classes, shape (n,).
        classes: Number of classes.
        alpha: Above 0 and below 1; the nearer to 1, the farther labels reach.
        prior: How much each class puts in: "uniform", all the same; "labels", as much as its share of the labels, so
            that each label counts the same; "estimated", as much as its estimated share of all examples, see
            ``estimate_prior``.

    Returns:
        Shape (N, classes).
    """
    total = graph.shape[0]
    sources = np.zeros((total, classes))
    counts = np.bincount(labels, minlength=classes)
    sources[index, labels] = (1 - alpha) / counts[labels]  # each class puts in the same amount
    degree = np.maximum(np.asarray(graph.sum(1)).ravel(), np.finfo(float).tiny)
    root = sparse.diags(1 / np.sqrt(degree))
    normal = root @ graph @ root
    operator = LinearOperator((total, total), matvec=lambda x: x - alpha * (normal @ x), dtype=np.float64)
    columns = [cg(operator, column, rtol=TOLERANCE, maxiter=ITERATIONS)[0] for column in sources.T]
    scores = np.stack(columns, axis=1)
    if prior == "uniform":
        return scores
    # what a class puts in is a factor of its scores, for they are solved for column by column
    shares = counts / counts.sum() if prior == "labels" else estimate_prior(scores)
    return np.asarray(scores * shares * classes)


def estimate_prior(scores: Floats) -> Floats:
    """Estimate each class's share of all examples by maximum likelihood, taking its scores for its density.

    That is the EM algorithm of Saerens, Latinne and Decaestecker 2002 (Adjusting the Outputs of a Classifier to New a
    Priori Probabilities), from equal shares.

    Args:
        scores: Scores that the classes have put in the same amount for, shape (N, classes).

    Returns:
        Shape (classes,), which sums to 1; 0 for a class without a label.

    Examples:
        >>> scores = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> estimate_prior(scores)
        array([0.75, 0.25])
    """
    densities = np.maximum(scores, 0)
    densities = densities / np.maximum(densities.sum(0), np.finfo(float).tiny)
    prior = np.full(scores.shape[1], 1 / scores.shape[1])
    for _ in range(ROUNDS):
        shares = densities * prior
        total = shares.sum(1, keepdims=True)
        shares = (shares / np.where(total > 0, total, 1))[total[:, 0] > 0]
        if not len(shares):
            return prior
        prior = shares.mean(0)
    return np.asarray(prior)


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
