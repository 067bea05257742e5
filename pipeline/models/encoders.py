"""Encoders: (B, C, H, W) floats in [0, 1] to (B, out_features)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, int, int]  # channels, height, width


class Layered(nn.Module):
    """A network that is its ``layers``, one after the other."""

    layers: nn.Sequential

    def forward(self, x: Tensor) -> Tensor:
        """Return latents of images, shape (B, out_features), or logits of latents, shape (B, C, H, W)."""
        outputs: Tensor = self.layers(x)
        return outputs


class ConvEncoder(Layered):
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
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), *perceptron_layers(channels * height * width, hidden, out_features)
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm, whose outcome is added to their input.

    The block of He et al., "Deep residual learning for image recognition", 2016.

    Args:
        channels: Channels that come in.
        out: Channels that go out.
        stride: 2 halves the sides, rounding up; 1 keeps them.
    """

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Return features, shape (B, out, H / stride, W / stride)."""
        return F.relu(self.layers(x) + self.shortcut(x))


class ResidualEncoder(Layered):
    """A convolution of stride 2, a residual block for each width, then fully connected layers.

    Args:
        in_shape: (C, H, W) of the images; any size from 8 x 8 on.
        out_features: Width of the latent.
        widths: Channels of each block; each but the first halves the sides, rounding up, as the first convolution does.
        hidden: Units of fully connected layers before the latent.
    """

    def __init__(
        self,
        in_shape: Shape,
        out_features: int,
        widths: Sequence[int] = (16, 32, 64),
        hidden: Sequence[int] = (512,),
    ) -> None:
        if not widths:
            raise ValueError("widths: there are none; expected one for each block")
        super().__init__()
        self.out_features = out_features
        channels, height, width = in_shape
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        channels, height, width = widths[0], -(-height // 2), -(-width // 2)
        for depth, out in enumerate(widths):
            stride = 1 if depth == 0 else 2
            layers.append(ResidualBlock(channels, out, stride))
            channels, height, width = out, -(-height // stride), -(-width // stride)
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), *perceptron_layers(channels * height * width, hidden, out_features)
        )


class MLPEncoder(Layered):
    """Fully connected layers with BatchNorm.

    Args:
        in_shape: (C, H, W) of the images.
        out_features: Width of the latent.
        widths: Units of each hidden layer.
    """

    def __init__(self, in_shape: Shape, out_features: int, widths: Sequence[int] = (1024, 512)) -> None:
        super().__init__()
        self.out_features = out_features
        self.layers = nn.Sequential(nn.Flatten(), *perceptron_layers(math.prod(in_shape), widths, out_features))


class PatchEncoder(nn.Module):
    """The same small network on each patch of the image, then fully connected layers over all patches side by side.

    Patches can be left out before anything is computed of them; zeros stand in their places then, and what is there
    counts for more in proportion.

    Args:
        in_shape: (C, H, W) of the images; they are padded with zeros to whole patches at the right and the bottom.
        out_features: Width of the latent.
        widths: Units of each layer of the network on a patch.
        hidden: Units of fully connected layers between the patches and the latent.
        patch: Side of a patch, pixels.

    Attributes:
        patches: Number of patches of an image.
    """

    def __init__(
        self,
        in_shape: Shape,
        out_features: int,
        widths: Sequence[int] = (64, 128, 32),
        hidden: Sequence[int] = (512,),
        patch: int = 4,
    ) -> None:
        if patch < 1:
            raise ValueError(f"patch: {patch} is not allowed; expected at least 1 pixel")
        super().__init__()
        self.out_features, self.patch = out_features, patch
        channels, height, width = in_shape
        self.patches = -(-height // patch) * -(-width // patch)
        size = channels * patch**2
        self.each = nn.Sequential(*dense_layers(size, widths))
        joined = self.patches * (widths[-1] if widths else size)
        self.layers = nn.Sequential(*perceptron_layers(joined, hidden, out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Latents, shape (B, out_features)."""
        latents: Tensor = self.layers(self._encode(self._cut(x)).flatten(1))
        return latents

    def encode_visible(self, x: Tensor, visible: Tensor) -> Tensor:
        """Latents of some patches of each image, shape (B, out_features).

        Args:
            x: Images, shape (B, C, H, W).
            visible: Numbers of the patches that are seen, in the order of reading, shape (B, K).
        """
        patches = self._cut(x)
        seen = self._encode(patches.gather(1, visible[:, :, None].expand(-1, -1, patches.shape[2])))
        seen = seen * (self.patches / visible.shape[1])
        places = visible[:, :, None].expand_as(seen)
        whole = seen.new_zeros(x.shape[0], self.patches, seen.shape[2]).scatter(1, places, seen)
        latents: Tensor = self.layers(whole.flatten(1))
        return latents

    def _cut(self, x: Tensor) -> Tensor:
        """Return the patches of each image in the order of reading, shape (B, patches, C * patch * patch)."""
        channels, height, width = x.shape[1:]
        side = self.patch
        x = F.pad(x, (0, -width % side, 0, -height % side))
        rows, columns = x.shape[2] // side, x.shape[3] // side
        grid = x.reshape(-1, channels, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5)
        return grid.reshape(-1, self.patches, channels * side**2)

    def _encode(self, patches: Tensor) -> Tensor:
        """Features of patches, shape (B, K, features)."""
        features: Tensor = self.each(patches.flatten(0, 1))
        return features.view(-1, patches.shape[1], features.shape[1])


def dense_layers(in_features: int, widths: Sequence[int]) -> list[nn.Module]:
    """Linear, BatchNorm and ReLU for each width; BatchNorm brings its own shift, so Linear has no bias."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(in_features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        in_features = width
    return layers


def perceptron_layers(in_features: int, widths: Sequence[int], out_features: int) -> list[nn.Module]:
    """Return ``dense_layers``, and a Linear from the last of them to the output."""
    last = widths[-1] if widths else in_features
    return [*dense_layers(in_features, widths), nn.Linear(last, out_features)]
