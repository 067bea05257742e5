"""The masked autoencoder: draw the image from a few of its patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.encoders import PatchEncoder
from pipeline.models.inputs import as_input
from pipeline.models.losses import binary_cross_entropy
from pipeline.models.pretraining import Reconstructing


class MaskedAutoencoder(Reconstructing):
    """Draw the whole image from the latent of some of its patches; the others never reach the encoder.

    The idea, and the large share that is hidden, are those of He et al. 2022 (arXiv 2111.06377). Their encoder makes a
    latent for each patch, and their decoder is an attention network over these; here, as in every other method, there
    is one latent for the image, so that the decoder, the modes and the pictures are the same.

    Args:
        encoder: (B, C, H, W) to (B, features); it can leave out patches.
        decoder: (B, features) to logits (B, C, H, W).
        corruption: Distorts the encoder's input in training, before patches are hidden; None for not at all.
        hidden: Share of the patches that are hidden, drawn anew for each image; at least one is seen.
    """

    encoder: PatchEncoder

    def __init__(
        self, encoder: PatchEncoder, decoder: nn.Module, corruption: nn.Module | None = None, hidden: float = 0.75
    ) -> None:
        super().__init__(encoder, decoder, corruption)
        self.visible = max(1, round((1 - hidden) * encoder.patches))

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of the whole images, in nats an image; the labels beside the images are not read."""
        clean = as_input(batch[0])
        latents = self.encoder.encode_visible(self.corruption(clean), self.draw_visible(clean))
        return binary_cross_entropy(self.decoder(latents), clean)

    def draw_visible(self, images: Tensor) -> Tensor:
        """Draw which patches of each image are seen: their numbers, shape (B, visible)."""
        order = torch.rand(len(images), self.encoder.patches, device=images.device).argsort(1)
        return order[:, : self.visible]

    def measure(self, images: Tensor) -> dict[str, float]:
        """Cross-entropy of images of which everything is seen, in nats an image."""
        loss = binary_cross_entropy(self.decoder(self.embed(images)), as_input(images))
        return {"holdout_loss": float(loss)}
