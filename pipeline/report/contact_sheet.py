"""Rows of images as one PNG file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_TILE = 56  # pixels that an image's longer side has at least, so that it can be seen


def write_contact_sheet(path: Path, images: torch.Tensor, columns: int) -> None:
    """Write images, shape (N, C, H, W), 0 to 1, in rows; of other than one or three channels, the mean is shown."""
    from torchvision.utils import save_image

    if images.shape[1] not in (1, 3):
        images = images.mean(1, keepdim=True)
    scale = -(-_TILE // max(images.shape[2:]))
    enlarged = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    save_image(enlarged, path, nrow=columns, padding=2, pad_value=0.5)
