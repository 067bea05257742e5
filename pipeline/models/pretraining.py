"""What every pretraining method has in common: an encoder to keep, a decoder to train it with, an optimiser."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from pipeline.models.inputs import as_input


class Pretraining(pl.LightningModule):
    """Encoder and decoder around a bottleneck; a method adds its ``training_step`` and what it ``measure``s.

    Args:
        encoder: (B, C, H, W) to (B, features), with ``out_features``; deterministic in eval mode.
        decoder: (B, features) to logits (B, C, H, W).
        corruption: Applied to the input only; ``nn.Identity()`` for none.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: AdamW's.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, corruption: nn.Module, learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.corruption = encoder, decoder, corruption
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def embed(self, images: Tensor) -> Tensor:
        """Latents of clean images, shape (B, features); uint8 or floats in [0, 1]."""
        latents: Tensor = self.encoder(as_input(images))
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Intensities of latents of shape (B, features): shape (B, C, H, W), in [0, 1]."""
        logits: Tensor = self.decoder(latents)
        return logits.sigmoid()

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructed intensities of clean images, shape (B, C, H, W), in [0, 1]."""
        return self.decode(self.embed(images))

    def measure(self, images: Tensor) -> dict[str, float]:
        """The columns that history gets from clean images after each epoch; the model is in eval mode.

        Raises:
            NotImplementedError: The method did not say.
        """
        raise NotImplementedError

    def parts(self) -> dict[str, nn.Module]:
        """What has to be stored beside the encoder to make this model again, by name."""
        return {"decoder": self.decoder}

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
