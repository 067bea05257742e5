"""Losses as pure functions, in float32 whatever the precision of the network."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of intensities in [0, 1] in nats per image: summed over pixels, averaged over the batch.

    Logits and target have the shape (B, C, H, W).
    """
    summed = F.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="sum")
    return summed / len(target)


def squared_error(logits: Tensor, target: Tensor) -> Tensor:
    """Squared error of the intensities: summed over pixels, averaged over the batch.

    Logits and target, intensities in [0, 1], have the shape (B, C, H, W).
    """
    return F.mse_loss(logits.float().sigmoid(), target.float(), reduction="sum") / len(target)


RECONSTRUCTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": binary_cross_entropy,
    "mse": squared_error,
}
