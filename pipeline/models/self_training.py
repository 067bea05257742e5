"""A classifier whose encoder learns labels that were spread over a graph, as far as its own average confirms them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.models.classifier import Backbone, Classifier, Rates
from pipeline.models.inputs import as_input

LEAST = 1e-4  # probability that each of two views leaves to a class: none can rule one out


def where_both_agree(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Multiply the probabilities of both views of an image where these name the same class.

    Two views that err independently are seldom wrong together (co-training, Blum and Mitchell 1998): an error of the
    labels that were spread over a graph is not learnt as long as the network, which sees the images, contradicts it.

    Args:
        probabilities: Class probabilities that the network's EMA gives each image, shape (B, classes).
        targets: From ``propagation.soft_labels``, shape (B, classes); each row sums to its weight.

    Returns:
        Pseudo-labels, shape (B, classes); each row sums to the weight in ``targets``, or to 0 where the views differ.
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


class SelfTrainingClassifier(Classifier):
    """Backbone and head under cross-entropy on few labels, and on pseudo-labels of many images.

    The teacher, the EMA of the network (Tarvainen and Valpola 2017), predicts the class of an image as it is; where the
    spread label names the same class, the network has to predict it of the augmented image.

    Args:
        backbone: Images to features; trained.
        head: Features to logits.
        augment: Augmentation of what is learnt, labelled images and others.
        rates: How the weights move, with an ema_decay.
        labelled: The images with labels.
        weight: Weight of the cross-entropy of the other images beside that of the labelled ones.
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
        weight: float,
    ) -> None:
        super().__init__(backbone, head, True, augment, rates)
        self.weight, self.batch_size = weight, labelled.batch_size
        self.register_buffer("images", labelled.images, persistent=False)
        self.register_buffer("labels", labelled.labels, persistent=False)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch of images with spread labels, and of some labelled images that are drawn here.

        Args:
            x: uint8 images or floats in [0, 1], shape (B, C, H, W).
            labels: Their spread labels, shape (B, classes), from ``propagation.soft_labels``.
        """
        images, known = self._draw()
        unlabelled = as_input(x)
        logits = self._logits(self.augment(torch.cat([images, unlabelled])))
        supervised = self.cross_entropy(logits[: len(images)], known)
        pseudo_labels = where_both_agree(self._teach(unlabelled), labels)
        return supervised + self.weight * self.cross_entropy(logits[len(images) :], pseudo_labels)

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Some of the labelled images, and their labels."""
        index = torch.randint(len(self.labels), (self.batch_size,), device=self.labels.device)
        return as_input(self.images[index]), self.labels[index]

    @torch.no_grad()
    def _teach(self, images: Tensor) -> Tensor:
        """Class probabilities that the EMA gives the images, shape (B, classes)."""
        assert self.ema is not None
        probabilities: Tensor = self.ema(images).float().softmax(1)
        return probabilities
