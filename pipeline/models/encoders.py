"""Encoders: (B, C, H, W) floats in [0, 1] to (B, out_features)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

Shape = tuple[int, int, int]  # channels, height, width


class ConvEncoder(nn.Module):
    """Stride-2 convolutions with BatchNorm, then fully connected layers.

    Args:
        in_shape: (C, H, W) of the images; any size from 8 x 8 on.
        out_features: Width of the latent.
        widths: Channels of each convolution; each halves the sides, rounding up.
        hidden: Units of fully connected layers before the latent.
    """

    def __init__(
        self,
        in_shape: Shape,
        out_features: int,
        widths: Sequence[int] = (16, 32, 64),
        hidden: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.out_features = out_features
        channels, height, width = in_shape
        layers: list[nn.Module] = []
        for depth, out in enumerate(widths):
            kernel = 5 if depth == 0 else 3  # few channels come in: a wider first look costs next to nothing
            layers += [
                nn.Conv2d(channels, out, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            ]
            channels, height, width = out, -(-height // 2), -(-width // 2)
        dense = dense_layers(channels * height * width, hidden)
        last = hidden[-1] if hidden else channels * height * width
        self.layers = nn.Sequential(*layers, nn.Flatten(), *dense, nn.Linear(last, out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Latents, shape (B, out_features)."""
        latents: Tensor = self.layers(x)
        return latents


class MLPEncoder(nn.Module):
    """Fully connected layers with BatchNorm.

    Args:
        in_shape: (C, H, W) of the images.
        out_features: Width of the latent.
        widths: Units of each hidden layer.
    """

    def __init__(self, in_shape: Shape, out_features: int, widths: Sequence[int] = (1024, 512)) -> None:
        super().__init__()
        self.out_features = out_features
        sizes = [math.prod(in_shape), *widths]
        self.layers = nn.Sequential(nn.Flatten(), *dense_layers(sizes[0], widths), nn.Linear(sizes[-1], out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Latents, shape (B, out_features)."""
        latents: Tensor = self.layers(x)
        return latents


def dense_layers(in_features: int, widths: Sequence[int]) -> list[nn.Module]:
    """Linear, BatchNorm and ReLU for each width; BatchNorm brings its own shift, so Linear has no bias."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(in_features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        in_features = width
    return layers
