"""The common part of all pretraining methods: an encoder to keep, an optimiser, and maybe a decoder."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from pipeline.models.batch_statistics import by_batch
from pipeline.models.inputs import as_input


class Pretraining(pl.LightningModule):
    """A model whose encoder is to be kept; a method adds its ``training_step``.

    Args:
        encoder: (B, C, H, W) to (B, features), with ``out_features``; deterministic in eval mode.

    Attributes:
        learning_rate: Peak of the one-cycle schedule; the settings replace it.
        weight_decay: AdamW's weight decay; the settings replace it.

    Examples:
        >>> class Centred(Pretraining):
        ...     def training_step(self, batch):
        ...         return self.embed(batch[0]).square().mean()
        >>> from pipeline.models.encoders import MLPEncoder
        >>> model = Centred(MLPEncoder((1, 8, 8), out_features=5, widths=[16]))
        >>> with torch.no_grad():
        ...     sorted(model.eval().measure(torch.rand(6, 1, 8, 8)))
        ['holdout_loss']
    """

    learning_rate: float = 2e-3
    weight_decay: float = 1e-4

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    @property
    def steps_alike(self) -> bool:
        """Whether the loss is the same function of batch and weights at every step; not, if a weight of it rises."""
        return True

    def embed(self, images: Tensor) -> Tensor:
        """Latents of clean images, shape (B, features); uint8 or floats in [0, 1]."""
        latents: Tensor = self.encoder(as_input(images))
        return latents

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents of clean images, shape (B, features)."""
        return self.embed(images)

    def clean_pass(self, images: Tensor) -> object:
        """Send clean images through all layers that are kept, as they will be used; what comes out is not read.

        BatchNorm's statistics are taken from this when training has ended, and before each measurement.

        Args:
            images: uint8 or floats in [0, 1], shape (B, C, H, W).
        """
        return self(images)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of a batch, a single number.

        Args:
            batch: uint8 images or floats in [0, 1], shape (B, C, H, W), and labels that are all -1.

        Raises:
            NotImplementedError: If the method does not define it.
        """
        raise NotImplementedError

    def measure(self, images: Tensor) -> dict[str, float]:
        """Columns of history on images held out of pretraining, by name; here, the training's own loss of them.

        BatchNorm normalises that loss by the images themselves, as it does in training, since a method's loss need not
        be of clean images.

        It is asked after each epoch, in eval mode and under random numbers of its own, so that it does not change the
        training.

        Args:
            images: uint8 or floats in [0, 1], shape (N, C, H, W).
        """
        with by_batch(self):
            return {"holdout_loss": float(self.training_step((images, torch.full((len(images),), -1))))}

    def parts(self) -> dict[str, nn.Module]:
        """Return the modules that are stored beside the encoder, by file name, so that this model can be made again."""
        return {}

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


class Reconstructing(Pretraining):
    """A model that can also draw images from latents.

    Args:
        encoder: (B, C, H, W) to (B, features), with ``out_features``; deterministic in eval mode.
        decoder: (B, features) to logits (B, C, H, W).
        corruption: Distorts the encoder's input in training; None for not at all.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, corruption: nn.Module | None = None) -> None:
        super().__init__(encoder)
        self.decoder = decoder
        self.corruption = nn.Identity() if corruption is None else corruption

    def decode(self, latents: Tensor) -> Tensor:
        """Intensities of latents of shape (B, features): shape (B, C, H, W), in [0, 1]."""
        logits: Tensor = self.decoder(latents)
        return logits.sigmoid()

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructed intensities of clean images, shape (B, C, H, W), in [0, 1]."""
        return self.decode(self.embed(images))

    def parts(self) -> dict[str, nn.Module]:
        """Return the decoder."""
        return {"decoder": self.decoder}
