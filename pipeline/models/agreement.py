"""A classifier that learns from images without labels to agree with itself, whatever distorts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.classifier import Backbone, Classifier, Rates
from pipeline.models.inputs import as_input
from pipeline.models.losses import binary_cross_entropy


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

    The averaged network names the class of an image as it is or slightly distorted, and where it is sure, the network
    has to name the same one for the image strongly distorted. That is FixMatch (Sohn et al. 2020) with the averaged
    network of mean teacher (Tarvainen and Valpola 2017) for a judge. With a decoder, the strongly distorted image must
    still be drawn clean, which keeps the pretraining's task beside the new one as the Ladder network does (Rasmus et
    al. 2015).

    Args:
        backbone: To features; trained.
        head: Features to logits.
        rates: How the weights move, with an average; the decoder moves as the backbone's last layer.
        labelled: The images with labels.
        strong: Distortion of what is trained on.
        weak: Distortion of what the average judges.
        threshold: Least probability of the average's class that counts.
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
        threshold: float,
        weight: float,
        decoder: nn.Module | None = None,
        reconstruction: float = 0.0,
    ) -> None:
        super().__init__(backbone, head, True, strong, rates)
        self.weak, self.threshold, self.weight = weak, threshold, weight
        self.decoder, self.reconstruction = decoder, reconstruction
        self.batch_size = labelled.batch_size
        self.register_buffer("images", labelled.images, persistent=False)
        self.register_buffer("labels", labelled.labels, persistent=False)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch of images, whose labels are not read, and of some labelled ones."""
        images, known = self._draw()
        unlabelled = as_input(x)
        clean = torch.cat([images, unlabelled])
        latents = self.backbone.encoder(self.augment(clean))
        logits = self.head(self.backbone.norm(latents.float())).float()
        guesses, sure = self._judge(unlabelled)
        agreement = F.cross_entropy(logits[len(images) :], guesses, reduction="none")
        loss = F.cross_entropy(logits[: len(images)], known) + self.weight * (agreement * sure).mean()
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
    def _judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The class that the averaged network sees in each image, and whether it is sure, each of shape (B,)."""
        assert self.average is not None
        probabilities = self.average(self.weak(images)).float().softmax(1)
        most, guesses = probabilities.max(1)
        return guesses, most >= self.threshold
