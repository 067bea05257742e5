"""The autoencoder, plain or denoising."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from pipeline.models.inputs import as_input
from pipeline.models.losses import RECONSTRUCTION


class Autoencoder(pl.LightningModule):
    """Reconstruct images through a bottleneck; with a corruption, reconstruct the clean image from a distorted one.

    The denoising criterion is that of Vincent et al. 2010. Distortions that keep the class teach the encoder to
    discard what does not matter to it, which noise alone does not.

    Args:
        encoder: (B, C, H, W) to (B, features), with ``out_features``.
        decoder: (B, features) to logits (B, C, H, W).
        corruption: Applied to the input only; ``nn.Identity()`` for a plain autoencoder.
        loss: "bce" or "mse", see ``losses``.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: AdamW's.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        corruption: nn.Module,
        loss: str = "bce",
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.corruption = encoder, decoder, corruption
        self.reconstruction_loss = RECONSTRUCTION[loss]
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def embed(self, images: Tensor) -> Tensor:
        """Latents of clean images, shape (B, features); uint8 or floats in [0, 1]."""
        latents: Tensor = self.encoder(as_input(images))
        return latents

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructed intensities of clean images, shape (B, C, H, W), in [0, 1]."""
        logits: Tensor = self.decoder(self.embed(images))
        return logits.sigmoid()

    def clean_loss(self, images: Tensor) -> Tensor:
        """Reconstruction loss of images that are not corrupted, a scalar per image."""
        return self.reconstruction_loss(self.decoder(self.embed(images)), as_input(images))

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of a corrupted batch; the labels beside the images are not read."""
        clean = as_input(batch[0])
        loss = self.reconstruction_loss(self.decoder(self.encoder(self.corruption(clean))), clean)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(clean))
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW under a one-cycle schedule (Smith and Topin 2019) over the whole run."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.15,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
