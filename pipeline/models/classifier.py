"""A shallow head on an encoder, which is frozen or trained along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.encoders import dense_layers
from pipeline.models.inputs import as_input


class Backbone(nn.Module):
    """An encoder whose features are standardised, so that one learning rate of the head suits every encoder.

    The statistics are BatchNorm's without scale and shift: measured once on the unlabelled images when the encoder
    is pretrained, and learnt along when it is not.

    Args:
        encoder: (B, C, H, W) to (B, features), with ``out_features``.
        epsilon: Added to the variances: features that vary less than this stay small.
    """

    def __init__(self, encoder: nn.Module, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.out_features = int(encoder.out_features)  # type: ignore[arg-type]  # the encoder's contract
        self.encoder = encoder
        self.norm = nn.BatchNorm1d(self.out_features, eps=epsilon, affine=False)

    def calibrate(self, features: Tensor) -> None:
        """Take mean and variance from the encoder's features of many images, shape (N, features)."""
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        self.norm.running_mean.copy_(features.mean(0))
        # a unit that never fires would be blown up to noise of size one
        self.norm.running_var.copy_(features.var(0).clamp(min=1e-8))

    def unstandardise(self, features: Tensor) -> Tensor:
        """The encoder's own features from standardised ones, shape (B, features)."""
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        return features * (self.norm.running_var + self.norm.eps).sqrt() + self.norm.running_mean

    def forward(self, x: Tensor) -> Tensor:
        """Standardised features, shape (B, features)."""
        features: Tensor = self.norm(self.encoder(x).float())
        return features


def make_head(in_features: int, classes: int, widths: Sequence[int] = ()) -> nn.Sequential:
    """A linear classifier, or one with hidden layers: (B, in_features) to logits (B, classes)."""
    last = widths[-1] if widths else in_features
    return nn.Sequential(*dense_layers(in_features, widths), nn.Linear(last, classes))


class Classifier(pl.LightningModule):
    """Backbone and head under cross-entropy.

    A frozen backbone stays in eval mode whatever ``train()`` says and gets no gradient, so that neither its weights
    nor its BatchNorm statistics move. Frozen training on embeddings computed once is this same module with
    ``nn.Identity()`` for a backbone.

    Args:
        backbone: To features.
        head: Features to logits.
        train_backbone: Whether it is trained along.
        augment: Applied to training images only.
        encoder_lr: AdamW's learning rate of the backbone.
        head_lr: AdamW's learning rate of the head.
        weight_decay: AdamW's.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        train_backbone: bool,
        augment: nn.Module,
        encoder_lr: float,
        head_lr: float,
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # see training_step
        self.backbone, self.head, self.augment = backbone, head, augment
        self.train_backbone = train_backbone
        self.encoder_lr, self.head_lr, self.weight_decay = encoder_lr, head_lr, weight_decay
        self.train()  # Lightning trains a module in the modes it finds, and a new backbone is in training mode

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, but for a frozen backbone."""
        super().train(mode)
        if not self.train_backbone:
            self.backbone.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B, classes), of uint8 images, of floats in [0, 1], or of embeddings."""
        return self._logits(as_input(x))

    def training_step(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """Minimise the cross-entropy of augmented batches, a whole epoch in one call; their mean loss.

        A step of a linear head takes a tenth of the time that the Trainer's own bookkeeping adds to it.
        """
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        losses = []
        for x, labels in batches:
            loss = F.cross_entropy(self._logits(self.augment(as_input(x))).float(), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with a rate for the head and one for the backbone, if that is trained."""
        groups: list[dict[str, float | Iterator[nn.Parameter]]] = [
            {"params": self.head.parameters(), "lr": self.head_lr}
        ]
        if self.train_backbone:
            groups.append({"params": self.backbone.parameters(), "lr": self.encoder_lr})
        return torch.optim.AdamW(groups, weight_decay=self.weight_decay, fused=True)

    def _logits(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.train_backbone):
            features = self.backbone(x)
        logits: Tensor = self.head(features)
        return logits
