"""A classifier that learns from images without labels to agree with itself, whatever distorts them.

What it takes for true of such an image is a function of two opinions: the probabilities that an averaged network gives
its classes, and those that labels spread over a graph gave them, if they were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.classifier import Backbone, Classifier, Rates
from pipeline.models.inputs import as_input
from pipeline.models.losses import binary_cross_entropy

# probabilities of the classes, shape (B, classes), and the images' labels -> targets of the same shape, whose rows sum
# to the weight that the image is learnt with
Opinion = Callable[[Tensor, Tensor], Tensor]

LEAST = 1e-4  # probability that either opinion leaves to a class: none can rule one out


def where_sure(probabilities: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """The likeliest class, where it is likely enough (FixMatch, Sohn et al. 2020); an ``Opinion``.

    Args:
        probabilities: Of the classes, as the averaged network sees them, shape (B, classes).
        labels: Not read.
        threshold: Least probability of the likeliest class.
    """
    most, guesses = probabilities.max(1)
    return F.one_hot(guesses, probabilities.shape[1]) * (most >= threshold)[:, None]


def where_both_agree(probabilities: Tensor, labels: Tensor) -> Tensor:
    """The product of both opinions where they name the same class, and nothing where not; an ``Opinion``.

    Two views that err independently are seldom wrong together (co-training, Blum and Mitchell 1998): what labels that
    spread over a graph get wrong is not learnt as long as the network, which sees the images, says otherwise.

    Args:
        probabilities: Of the classes, as the averaged network sees them, shape (B, classes).
        labels: From ``propagation.soft_labels``, same shape; each row sums to its weight.
    """
    weight = labels.sum(1, keepdim=True)
    spread = labels / weight.clamp(min=torch.finfo(labels.dtype).tiny)
    both = (probabilities.clamp(min=LEAST).log() + spread.clamp(min=LEAST).log()).softmax(1)
    return both * weight * (probabilities.argmax(1) == spread.argmax(1))[:, None]


@dataclass(frozen=True)
class Labelled:
    """The few labelled images, from which each step draws some.

    Attributes:
        images: uint8 or floats in [0, 1], shape (n, C, H, W).
        labels: Shape (n,).
        batch_size: Images a step, drawn with replacement.
    """

    images: Tensor
    labels: Tensor
    batch_size: int


class AgreeingClassifier(Classifier):
    """Backbone and head under cross-entropy on few images, and under agreement on many.

    The averaged network judges an image as it is or slightly distorted, and what is made of that, the network has to
    say of the image strongly distorted. That is FixMatch (Sohn et al. 2020) with the averaged network of mean teacher
    (Tarvainen and Valpola 2017) for a judge. With a decoder, the strongly distorted image must still be drawn clean,
    which keeps the pretraining's task beside the new one as the Ladder network does (Rasmus et al. 2015).

    Args:
        backbone: To features; trained.
        head: Features to logits.
        rates: How the weights move, with an average; the decoder moves as the backbone's last layer.
        labelled: The images with labels.
        strong: Distortion of what is trained on.
        weak: Distortion of what the average judges.
        opinion: What is taken for true of an image, from what the average sees in it and the label that ``loss`` is
            given.
        weight: Of the agreement beside the labelled images' cross-entropy.
        decoder: Latents to logits of the image's pixels; None for no reconstruction.
        reconstruction: Weight of the reconstruction, in nats a pixel.
    """

    backbone: Backbone
    images: Tensor
    labels: Tensor

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        rates: Rates,
        labelled: Labelled,
        strong: nn.Module,
        weak: nn.Module,
        opinion: Opinion,
        weight: float,
        decoder: nn.Module | None = None,
        reconstruction: float = 0.0,
    ) -> None:
        super().__init__(backbone, head, True, strong, rates)
        self.weak, self.opinion, self.weight = weak, opinion, weight
        self.decoder, self.reconstruction = decoder, reconstruction
        self.batch_size = labelled.batch_size
        self.register_buffer("images", labelled.images, persistent=False)
        self.register_buffer("labels", labelled.labels, persistent=False)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch of images, and of some labelled ones.

        Args:
            x: uint8 images or floats in [0, 1], shape (B, C, H, W).
            labels: What the opinion reads beside them, shape (B, ...).
        """
        images, known = self._draw()
        unlabelled = as_input(x)
        clean = torch.cat([images, unlabelled])
        latents = self.backbone.encoder(self.augment(clean))
        logits = self.head(self.backbone.norm(latents.float())).float()
        agreement = F.cross_entropy(logits[len(images) :], self.opinion(self._judge(unlabelled), labels).float())
        loss = F.cross_entropy(logits[: len(images)], known) + self.weight * agreement
        if self.decoder is not None:
            drawn = binary_cross_entropy(self.decoder(latents), clean)
            loss = loss + self.reconstruction * drawn / clean[0].numel()
        return loss

    def groups(self) -> list[dict[str, Any]]:
        """As of any classifier, and the decoder's weights."""
        groups = super().groups()
        if self.decoder is not None:
            groups.append({"params": self.decoder.parameters(), "lr": self.rates.encoder_lr})
        return groups

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Some of the labelled images, and their labels."""
        index = torch.randint(len(self.labels), (self.batch_size,), device=self.labels.device)
        return as_input(self.images[index]), self.labels[index]

    @torch.no_grad()
    def _judge(self, images: Tensor) -> Tensor:
        """Probabilities of the classes, as the averaged network sees them, shape (B, classes)."""
        assert self.ema is not None
        probabilities: Tensor = self.ema(self.weak(images)).float().softmax(1)
        return probabilities
