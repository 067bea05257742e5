"""From what lies in memory to what a network takes."""

from __future__ import annotations

import torch
from torch import Tensor


def as_input(x: Tensor) -> Tensor:
    """uint8 images become floats in [0, 1]; embeddings, which are floats already, pass unchanged."""
    return x.float().div(255) if x.dtype == torch.uint8 else x
