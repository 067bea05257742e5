"""A classifier that learns from images without labels: its EMA gives them pseudo-labels, which it learns augmented.

A pseudo-label rule decides what is learnt of such an image, from the class probabilities that the EMA gives it and, if
labels were spread over a graph, from those that they gave it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.classifier import Backbone, Classifier, Rates
from pipeline.models.inputs import as_input

# class probabilities, shape (B, classes), and the images' targets, shape (B, ...) -> pseudo-labels of shape
# (B, classes), whose rows sum to the weight that the image is learnt with
PseudoLabelRule = Callable[[Tensor, Tensor], Tensor]

LEAST = 1e-4  # probability that each of two views leaves to a class: none can rule one out


def where_confident(probabilities: Tensor, targets: Tensor, threshold: float) -> Tensor:
    """Take the likeliest class where it is likely enough (FixMatch, Sohn et al. 2020); a ``PseudoLabelRule``.

    Args:
        probabilities: Class probabilities that the EMA gives each image, shape (B, classes).
        targets: Not read.
        threshold: Least probability of the likeliest class, 0 to 1.

    Returns:
        Shape (B, classes): one-hot rows, or zeros where no class is likely enough.
    """
    most, guesses = probabilities.max(1)
    return F.one_hot(guesses, probabilities.shape[1]) * (most >= threshold)[:, None]


def where_both_agree(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Multiply the probabilities of both views where these name the same class; a ``PseudoLabelRule``.

    Two views that err independently are seldom wrong together (co-training, Blum and Mitchell 1998): an error of the
    labels that were spread over a graph is not learnt as long as the network, which sees the images, contradicts it.

    Args:
        probabilities: Class probabilities that the EMA gives each image, shape (B, classes).
        targets: From ``propagation.soft_labels``, shape (B, classes); each row sums to its weight.

    Returns:
        Shape (B, classes); each row sums to the weight in ``targets``, or to 0 where the views differ.
    """
    weight = targets.sum(1, keepdim=True)
    spread = targets / weight.clamp(min=torch.finfo(targets.dtype).tiny)
    both = (probabilities.clamp(min=LEAST).log() + spread.clamp(min=LEAST).log()).softmax(1)
    return both * weight * (probabilities.argmax(1) == spread.argmax(1))[:, None]


@dataclass(frozen=True)
class Labelled:
    """The few labelled images, from which each step draws some.

    Attributes:
        images: uint8 or floats in [0, 1], shape (n, C, H, W).
        labels: Classes, int64, shape (n,).
        batch_size: Images a step, drawn with replacement.
    """

    images: Tensor
    labels: Tensor
    batch_size: int


@dataclass(frozen=True)
class Unlabelled:
    """How the images without labels are learnt from.

    Attributes:
        weak: Augmentation of what the EMA is shown.
        rule: Makes pseudo-labels of the EMA's probabilities and of the targets that ``loss`` is given.
        weight: Weight of their cross-entropy beside that of the labelled images.
    """

    weak: nn.Module
    rule: PseudoLabelRule
    weight: float


class ConsistencyClassifier(Classifier):
    """Backbone and head under cross-entropy on few labels, and on pseudo-labels of many images.

    The EMA of the network predicts the class of an image as it is or slightly augmented, and the network has to
    predict the same of the image strongly augmented. That is FixMatch (Sohn et al. 2020) with the EMA of mean teacher
    (Tarvainen and Valpola 2017) for a teacher.

    Args:
        backbone: Images to features; trained.
        head: Features to logits.
        augment: Strong augmentation of what is learnt, labelled images and others.
        rates: How the weights move, with an ema_decay.
        labelled: The images with labels.
        unlabelled: How the others are learnt from.
    """

    backbone: Backbone
    images: Tensor
    labels: Tensor

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        augment: nn.Module,
        rates: Rates,
        labelled: Labelled,
        unlabelled: Unlabelled,
    ) -> None:
        super().__init__(backbone, head, True, augment, rates)
        self.weak, self.rule, self.weight = unlabelled.weak, unlabelled.rule, unlabelled.weight
        self.batch_size = labelled.batch_size
        self.register_buffer("images", labelled.images, persistent=False)
        self.register_buffer("labels", labelled.labels, persistent=False)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch of images without labels and of some labelled ones that are drawn here.

        Args:
            x: uint8 images or floats in [0, 1], shape (B, C, H, W).
            labels: Targets that the pseudo-label rule reads, shape (B, ...).
        """
        images, known = self._draw()
        unlabelled = as_input(x)
        logits = self._logits(self.augment(torch.cat([images, unlabelled])))
        supervised = self.cross_entropy(logits[: len(images)], known)
        pseudo_labels = self.rule(self._teach(unlabelled), labels).float()
        return supervised + self.weight * self.cross_entropy(logits[len(images) :], pseudo_labels)

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Some of the labelled images, and their labels."""
        index = torch.randint(len(self.labels), (self.batch_size,), device=self.labels.device)
        return as_input(self.images[index]), self.labels[index]

    @torch.no_grad()
    def _teach(self, images: Tensor) -> Tensor:
        """Class probabilities that the EMA gives the images, shape (B, classes)."""
        assert self.ema is not None
        probabilities: Tensor = self.ema(self.weak(images)).float().softmax(1)
        return probabilities
