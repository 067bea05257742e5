"""Random distortions of a whole batch at once: affine and elastic in a single resampling, noise, erasing."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RandomDistortion(nn.Module):
    """Distort each image of a batch on its own, with the strengths of ``DistortionConfig``.

    Elastic distortion follows Simard et al. 2003 in spirit: a smooth random displacement field, here drawn on a
    coarse grid and interpolated bicubically, which costs a fraction of blurring a full field.

    Shapes: (B, C, H, W) float in [0, 1] to the same.
    """

    def __init__(
        self,
        rotation: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        translation: float = 0.0,
        elastic: float = 0.0,
        elastic_grid: int = 5,
        noise: float = 0.0,
        erase: float = 0.0,
    ) -> None:
        super().__init__()
        self.rotation, self.scale, self.shear, self.translation = rotation, scale, shear, translation
        self.elastic, self.elastic_grid = elastic, elastic_grid
        self.noise, self.erase = noise, erase

    def forward(self, x: Tensor) -> Tensor:
        """A distorted copy of the batch, computed in float32: bfloat16 would read pixels from a twentieth beside."""
        with torch.autocast(x.device.type, enabled=False):
            return self._distorted(x)

    def _distorted(self, x: Tensor) -> Tensor:
        if any((self.rotation, self.scale, self.shear, self.translation, self.elastic)):
            x = F.grid_sample(x, self._field(x), align_corners=False)
        if self.erase:
            x = x.masked_fill(self._squares(x), 0.0)
        if self.noise:
            x = (x + self.noise * torch.randn_like(x)).clamp(0.0, 1.0)
        return x

    def _field(self, x: Tensor) -> Tensor:
        """Where each output pixel is read from, shape (B, H, W, 2), coordinates -1 to 1."""
        field = F.affine_grid(self._affine(x), list(x.shape), align_corners=False)
        if self.elastic:
            # coordinates span 2 over the side, hence the factor
            coarse = (
                2
                * self.elastic
                * torch.randn(len(x), 2, self.elastic_grid, self.elastic_grid, device=x.device, dtype=x.dtype)
            )
            fine = F.interpolate(coarse, size=x.shape[2:], mode="bicubic", align_corners=True)
            field = field + fine.permute(0, 2, 3, 1)
        return field

    def _affine(self, x: Tensor) -> Tensor:
        """Rotation x shear x zoom and a shift for each image, shape (B, 2, 3)."""

        def uniform(limit: float) -> Tensor:
            return limit * (2 * torch.rand(len(x), device=x.device, dtype=x.dtype) - 1)

        angle, shear = uniform(math.radians(self.rotation)), uniform(self.shear)
        zoom_x, zoom_y = uniform(self.scale).exp(), uniform(self.scale).exp()
        cos, sin = angle.cos(), angle.sin()
        first = torch.stack([cos * zoom_x, (shear * cos - sin) * zoom_y, uniform(2 * self.translation)], 1)
        second = torch.stack([sin * zoom_x, (shear * sin + cos) * zoom_y, uniform(2 * self.translation)], 1)
        return torch.stack([first, second], 1)

    def _squares(self, x: Tensor) -> Tensor:
        """A random square for each image, True inside, shape (B, 1, H, W)."""
        height, width = x.shape[2:]
        half_y, half_x = self.erase * height / 2, self.erase * width / 2
        center_y = torch.rand(len(x), 1, 1, 1, device=x.device) * height
        center_x = torch.rand(len(x), 1, 1, 1, device=x.device) * width
        rows = torch.arange(height, device=x.device).view(1, 1, height, 1) + 0.5
        columns = torch.arange(width, device=x.device).view(1, 1, 1, width) + 0.5
        return ((rows - center_y).abs() <= half_y) & ((columns - center_x).abs() <= half_x)


class Sometimes(nn.Module):
    """Distort a batch, but for a random share of its images.

    BatchNorm's running statistics then are of clean images too, on which a network that was trained on distorted ones
    alone is worse than on slightly distorted ones.

    Args:
        distortion: Of a batch, (B, C, H, W) to the same.
        clean_fraction: Share of images that stay as they are, 0 to 1.
    """

    def __init__(self, distortion: nn.Module, clean_fraction: float) -> None:
        super().__init__()
        self.distortion, self.clean_fraction = distortion, clean_fraction

    def forward(self, x: Tensor) -> Tensor:
        """The batch, in part distorted; of each batch the same share."""
        chosen = torch.randperm(len(x), device=x.device)[round(self.clean_fraction * len(x)) :]
        return x.index_copy(0, chosen, self.distortion(x[chosen]))
