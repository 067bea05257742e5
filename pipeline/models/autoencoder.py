"""The autoencoder, plain or denoising."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.models.inputs import as_input
from pipeline.models.losses import RECONSTRUCTION
from pipeline.models.pretraining import Reconstructing


class Autoencoder(Reconstructing):
    """Reconstruct images through a bottleneck; with a corruption, reconstruct the clean image from a distorted one.

    The denoising criterion is that of Vincent et al. 2010. Distortions that keep the class teach the encoder to
    discard what does not matter to it, which noise alone does not.

    Args:
        encoder: (B, C, H, W) to (B, features), with ``out_features``.
        decoder: (B, features) to logits (B, C, H, W).
        corruption: Distorts the encoder's input in training; None for a plain autoencoder.
        loss: "bce" or "mse", see ``losses``.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, corruption: nn.Module | None = None, loss: str = "bce"
    ) -> None:
        super().__init__(encoder, decoder, corruption)
        self.reconstruction_loss = RECONSTRUCTION[loss]

    def measure(self, images: Tensor) -> dict[str, float]:
        """Reconstruction loss of images that are not corrupted."""
        loss = self.reconstruction_loss(self.decoder(self.embed(images)), as_input(images))
        return {"holdout_loss": float(loss)}

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Reconstruction loss of a corrupted batch; the labels beside the images are not read."""
        clean = as_input(batch[0])
        return self.reconstruction_loss(self.decoder(self.encoder(self.corruption(clean))), clean)
