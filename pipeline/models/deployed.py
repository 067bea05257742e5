"""A trained classifier as it is used: nothing of its training is left."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.models.inputs import as_input


class Deployed(nn.Module):
    """Backbone and head, from images to what is wanted of them.

    Args:
        backbone: (B, C, H, W) floats in [0, 1] to features (B, features).
        head: Features to logits (B, classes).
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities, each (B, classes), of images (B, C, H, W): uint8, or floats in [0, 1]."""
        logits: Tensor = self.head(self.backbone(as_input(images))).float()
        return logits, logits.softmax(1)
