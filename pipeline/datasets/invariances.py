"""Augmentation of a whole batch at once: random changes that leave an image's class as it is."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.config import InvariancesConfig

CONTROL_POINTS = 5  # along each side, of the smooth displacement field
COLOURS = 3  # channels of an image that saturation and hue can change


class Augmentation(nn.Module):
    """Changes each image of a batch at random and on its own; ``InvariancesConfig`` explains the amounts.

    Rotation, scale, shear, shift, flip and the elastic field are one resampling. The elastic field follows Simard et
    al. 2003 in spirit: random displacements of a few control points, interpolated bicubically. All of this is one
    matrix product with a basis of fields, which takes a tenth of the time of making the fields one by one.

    The random numbers do not depend on the number of channels, and changes of colour leave grey as it is: a grey image
    and the same image in three channels become the same.

    A share of the images can stay as they are. A network that was trained on augmented images alone errs more on clean
    ones than on slightly augmented ones, for the statistics of its BatchNorm are those of augmented images.

    Shapes: (B, C, H, W) floats in [0, 1] to the same.
    """

    def __init__(
        self,
        rotation: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        shift: float = 0.0,
        elastic: float = 0.0,
        flip: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        erase: float = 0.0,
        noise: float = 0.0,
        clean_fraction: float = 0.0,
    ) -> None:
        super().__init__()
        self.rotation, self.scale, self.shear, self.shift = rotation, scale, shear, shift
        self.elastic, self.flip = elastic, flip
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.erase, self.noise, self.clean_fraction = erase, noise, clean_fraction
        self.moves = any((rotation, scale, shear, shift, elastic, flip))
        self.recolours = any((brightness, contrast, saturation, hue))
        self.basis: tuple[Tensor, int, int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the batch, changed but for the share that stays clean.

        It is computed in float32: in bfloat16, pixels would be read from a twentieth of a pixel beside.
        """
        with torch.autocast(x.device.type, enabled=False):
            if not self.clean_fraction:
                return self._changed(x)
            chosen = torch.randperm(len(x), device=x.device)[round(self.clean_fraction * len(x)) :]
            return x.index_copy(0, chosen, self._changed(x[chosen]))

    def _changed(self, x: Tensor) -> Tensor:
        if self.moves:
            x = F.grid_sample(x, self._field(x), align_corners=False)
        if self.recolours:
            x = self._recoloured(x)
        if self.erase:
            x = torch.where(self._squares(x), x.mean((2, 3), keepdim=True), x)
        if self.noise:
            x = (x + self.noise * torch.randn_like(x[:, :1])).clamp(0, 1)
        return x

    def _field(self, x: Tensor) -> Tensor:
        """Return where each pixel is read from: coordinates from -1 to 1, shape (B, H, W, 2)."""
        height, width = x.shape[2:]
        if self.basis is None or self.basis[1:] != (height, width) or self.basis[0].device != x.device:
            self.basis = _field_basis(height, width).to(x.device), height, width
        # coordinates span 2 over the side, hence the factor
        elastic = 2 * self.elastic * torch.randn(len(x), 2, CONTROL_POINTS**2, device=x.device)
        coefficients = torch.cat([self._affine(x), elastic], 2)
        return (coefficients @ self.basis[0]).view(len(x), 2, height, width).permute(0, 2, 3, 1)

    def _affine(self, x: Tensor) -> Tensor:
        """Rotation, shear and zoom, a mirror image now and then, and a shift, shape (B, 2, 3)."""
        angle, shear = _uniform(x, math.radians(self.rotation)), _uniform(x, self.shear)
        zoom_x, zoom_y = _uniform(x, self.scale).exp(), _uniform(x, self.scale).exp()
        if self.flip:
            zoom_x = zoom_x * torch.where(_share(x) < self.flip, -1.0, 1.0)
        cos, sin = angle.cos(), angle.sin()
        first = torch.cat([cos * zoom_x, (shear * cos - sin) * zoom_y, _uniform(x, 2 * self.shift)], 2)
        second = torch.cat([sin * zoom_x, (shear * sin + cos) * zoom_y, _uniform(x, 2 * self.shift)], 2)
        return torch.cat([first, second], 1).squeeze(3)

    def _recoloured(self, x: Tensor) -> Tensor:
        """Contrast about the image's mean, brightness, and colours: stretched from grey and turned about it."""
        contrast, brightness = 1 + _uniform(x, self.contrast), 1 + _uniform(x, self.brightness)
        stretch, angle = 1 + _uniform(x, self.saturation), _uniform(x, 2 * math.pi * self.hue)
        offset = brightness * (1 - contrast) * x.mean((1, 2, 3), keepdim=True)
        if x.shape[1] == COLOURS and (self.saturation or self.hue):
            identity = torch.eye(COLOURS, device=x.device)
            grey = torch.full((COLOURS, COLOURS), 1 / COLOURS, device=x.device)
            # a quarter turn about the axis of greys
            across = (identity.roll(1, 0) - identity.roll(-1, 0)) / math.sqrt(3)
            matrix = grey + stretch * (angle.cos() * (identity - grey) + angle.sin() * across)
            x = (matrix.squeeze(1) @ x.flatten(2)).view(x.shape)
        return (brightness * contrast * x + offset).clamp(0, 1)

    def _squares(self, x: Tensor) -> Tensor:
        """Return a square of random side and place in half of the images, True inside, shape (B, 1, H, W)."""
        height, width = x.shape[2:]
        half = self.erase / 2 * _share(x) * (_share(x) < 0.5)
        rows = (torch.arange(height, device=x.device).view(height, 1) + 0.5) / height
        columns = (torch.arange(width, device=x.device) + 0.5) / width
        return ((rows - _share(x)).abs() < half) & ((columns - _share(x)).abs() < half)


def augmentation(invariances: InvariancesConfig, strength: float, clean_fraction: float = 0.0) -> nn.Module:
    """Return the augmentation of a given strength; the identity where nothing is left to change.

    Args:
        invariances: The changes that leave an image's class as it is.
        strength: Factor of their amounts, at least 0.
        clean_fraction: Share of each batch that stays as it is, 0 to 1.
    """
    amounts = invariances.amounts(strength)
    return Augmentation(**amounts, clean_fraction=clean_fraction) if amounts else nn.Identity()


def _share(x: Tensor) -> Tensor:
    """Return a number for each image, uniform between 0 and 1, shape (B, 1, 1, 1)."""
    return torch.rand(len(x), 1, 1, 1, device=x.device)


def _uniform(x: Tensor, limit: float) -> Tensor:
    """Return a number for each image, uniform between -limit and limit, shape (B, 1, 1, 1)."""
    return limit * (2 * _share(x) - 1)


def _field_basis(height: int, width: int) -> Tensor:
    """Return the fields that all others are sums of, shape (3 + control points, H * W).

    These are the coordinates x and y from -1 to 1, the constant 1, and the bump around each control point.
    """
    identity = torch.eye(2, 3)[None]
    x, y = F.affine_grid(identity, [1, 1, height, width], align_corners=False)[0].flatten(0, 1).T
    points = torch.eye(CONTROL_POINTS**2).view(-1, 1, CONTROL_POINTS, CONTROL_POINTS)
    bumps = F.interpolate(points, size=(height, width), mode="bicubic", align_corners=True)
    return torch.cat([torch.stack([x, y, torch.ones_like(x)]), bumps.flatten(1)])
