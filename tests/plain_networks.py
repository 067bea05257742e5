"""Networks without BatchNorm, whose training is the same however a batch is divided."""

from __future__ import annotations

import math

from torch import Tensor, nn

Shape = tuple[int, int, int]


class Encoder(nn.Sequential):
    def __init__(self, in_shape: Shape, out_features: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(math.prod(in_shape), 32), nn.ReLU(), nn.Linear(32, out_features))
        self.out_features = out_features


class Decoder(nn.Module):
    def __init__(self, in_features: int, out_shape: Shape) -> None:
        super().__init__()
        self.linear, self.out_shape = nn.Linear(in_features, math.prod(out_shape)), out_shape

    def forward(self, z: Tensor) -> Tensor:
        pixels: Tensor = self.linear(z)
        return pixels.view(-1, *self.out_shape)
