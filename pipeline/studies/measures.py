"""Measurements that several studies share."""

from __future__ import annotations

from pipeline.report.drawing import Floats
from pipeline.studies.definition import Points, Subject

EXAMPLES = 10  # images, one a class


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
