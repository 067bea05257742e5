"""A trained classifier as it is used: nothing of its training is left."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.inputs import Images, as_input, infer


class Deployed(nn.Module):
    """Backbone and head, from images to what is wanted of them.

    Args:
        backbone: (B, C, H, W) floats in [0, 1] to features (B, features).
        head: Features to logits (B, classes).
        temperature: What logits are divided by before they become probabilities.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.backbone, self.head, self.temperature = backbone, head, temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute logits, probabilities and features of one batch, as an exported file does.

        Args:
            images: uint8, or floats in [0, 1], shape (B, C, H, W).

        Returns:
            Logits and calibrated probabilities, each (B, classes), and standardised features, (B, features).
        """
        features: Tensor = self.backbone(as_input(images))
        logits: Tensor = self.head(features).float()
        return logits, (logits / self.temperature).softmax(1), features.float()

    @torch.no_grad()
    def classify(self, images: Images) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the same of any number of images, each the same bits whichever others there are.

        Args:
            images: uint8, or floats in [0, 1], shape (N, C, H, W).

        Returns:
            Logits and calibrated probabilities, each (N, classes), and standardised features, (N, features).
        """
        features = infer(self.backbone, images)
        logits = infer(self.head, features)
        return logits, (logits / self.temperature).softmax(1), features
