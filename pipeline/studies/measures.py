"""Measurements that several studies share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.report.drawing import Floats
from pipeline.studies.definition import Arrays, Points, Subject

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.models.vae import VAE

EXAMPLES = 10  # images, one a class
NEAR = 0.1  # what counts as close to 0, or to 1, in units of the prior's standard deviation
USEFUL = 0.1  # an error rate this much below chance shows that features say something


def budgets(points: Points) -> tuple[int, int]:
    """Return the smallest and the largest label budget of the grid."""
    labels = points.grid.labels
    return min(labels), max(labels)


def squared_error(subject: Subject) -> float:
    """Return the squared error of reconstructed held-out images, summed over the pixels, the mean over the images."""
    from pipeline.models.generation import reconstruct
    from pipeline.models.inputs import as_input

    images = subject.dataset.train.images[subject.held_out]
    difference = reconstruct(subject.drawing_model, images) - as_input(images)
    return float(difference.square().flatten(1).sum(1).mean())


def examples(subject: Subject) -> tuple[Floats, Floats]:
    """Return a held-out image of each class and its reconstruction, each of shape (classes, C, H, W)."""
    from pipeline.models.generation import reconstruct
    from pipeline.models.inputs import as_input

    train = subject.dataset.train
    images = train.images[train.examples(subject.held_out, EXAMPLES)]
    return as_input(images).numpy(), reconstruct(subject.drawing_model, images).numpy()


@dataclass(frozen=True)
class Posteriors:
    """The posteriors that a VAE gives the held-out images whose class is known.

    Attributes:
        model: The VAE, in eval mode.
        images: The images, uint8, shape (N, C, H, W).
        labels: Their classes, shape (N,).
        mu: Means of the posteriors, shape (N, D).
        logvar: Logarithms of their variances, shape (N, D).
    """

    model: VAE
    images: Tensor
    labels: Tensor
    mu: Tensor
    logvar: Tensor

    @property
    def arrays(self) -> Arrays:
        """Means, standard deviations and classes, for pictures."""
        return {
            "mu": self.mu.numpy(),
            "sigma": (0.5 * self.logvar).exp().numpy(),
            "labels": self.labels.numpy(),
        }

    @property
    def chance(self) -> float:
        """The error rate of always naming the commonest class."""
        return 1 - float(self.labels.bincount().max()) / len(self.labels)


def posteriors(subject: Subject) -> Posteriors:
    """Return a VAE's posteriors of the held-out images whose class is known.

    Raises:
        PipelineError: If the arm's model is no VAE.
    """
    import torch

    from pipeline.models.inputs import as_input
    from pipeline.models.vae import VAE

    model = subject.model
    if not isinstance(model, VAE):
        raise PipelineError(f"pretrain.method: {subject.config.pretrain.method} has no posteriors; expected vae")
    train = subject.dataset.train
    known = subject.held_out[train.labels[subject.held_out] >= 0]
    images, labels = train.images[known], train.labels[known]
    with torch.no_grad():
        return Posteriors(model, images, labels, *model.encoder.posterior(as_input(images)))


def are_useless(points: Points, arm: str, error: str) -> bool:
    """Whether codes hardly differ and features classify hardly better than chance, under every seed of an arm.

    Args:
        points: Points with ``spread``, that of the means of the codes, and ``chance``.
        arm: The arm's name.
        error: The name of the error of a classifier on the features.
    """
    errors = zip(points.values(arm, error), points.values(arm, "chance"), strict=True)
    return max(points.values(arm, "spread")) < NEAR and all(found > chance - USEFUL for found, chance in errors)
