"""How the posteriors of a variational autoencoder share the latent space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline.models.gaussian import draw

CHUNK = 500  # points at a time


def overlap(mu: Tensor, logvar: Tensor, labels: Tensor, seed: int = 0) -> float:
    """Return how often a point drawn from an image's posterior would be taken for an image of another class.

    At a point, a class is as likely as the density that the posteriors of its images have there; the point's own
    posterior is left out, since it knows. 0 where the classes are apart; 1 - 1/classes for balanced classes that
    cannot be told from each other.

    Args:
        mu: Means of the posteriors, shape (N, D).
        logvar: Logarithms of their variances, same shape.
        labels: Classes, shape (N,), int64, 0 and up.
        seed: Decides the points that are drawn, one an image.

    Returns:
        Mean probability of the other classes, 0 to 1.
    """
    mu, logvar = mu.double(), logvar.double()
    points = draw(mu, logvar, torch.Generator().manual_seed(seed))
    members = torch.nn.functional.one_hot(labels).bool()
    wrong = []
    for index in torch.split(torch.arange(len(mu)), CHUNK):
        density = _log_density(points[index], mu, logvar)
        density[torch.arange(len(index)), index] = -math.inf
        by_class = torch.stack(
            [density[:, own].logsumexp(1) if own.any() else density[:, 0] * 0 - math.inf for own in members.T], 1
        )
        right = by_class.softmax(1).gather(1, labels[index, None]).squeeze(1)
        wrong.append(1 - right)
    return float(torch.cat(wrong).mean())


def _log_density(points: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the log of each posterior's density at each point, up to a constant: shape (points, posteriors)."""
    squared = ((points[:, None] - mu).square() * (-logvar).exp()).sum(-1)
    return -0.5 * (squared + logvar.sum(-1))
