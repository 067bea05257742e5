"""From where images lie to what a network takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor


class Images(Protocol):
    """Images of shape (N, C, H, W): a tensor, or what reads those that are asked for from a file."""

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...


def as_input(x: Tensor) -> Tensor:
    """uint8 images become floats in [0, 1]; embeddings, which are floats already, pass unchanged."""
    return x.float().div(255) if x.dtype == torch.uint8 else x


def chunks(images: Images, size: int) -> Iterator[Tensor]:
    """All images in order, so many at a time, so that no more than these have to be in memory."""
    return (images[start : start + size] for start in range(0, len(images), size))
