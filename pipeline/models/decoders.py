"""Decoders: (B, in_features) latents to (B, C, H, W) logits; a sigmoid makes intensities of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from pipeline.models.encoders import Layered, Shape, perceptron_layers


class MLPDecoder(Layered):
    """Fully connected layers with BatchNorm. Far cheaper than transposed convolutions, and as good for features.

    Args:
        in_features: Width of the latent.
        out_shape: (C, H, W) of the images.
        widths: Units of each hidden layer, from the latent towards the image.
    """

    def __init__(self, in_features: int, out_shape: Shape, widths: Sequence[int] = (512,)) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *perceptron_layers(in_features, widths, math.prod(out_shape)), nn.Unflatten(1, out_shape)
        )


class ConvDecoder(Layered):
    """Mirror of ``ConvEncoder``: fully connected layers, then transposed convolutions of stride 2.

    Args:
        in_features: Width of the latent.
        out_shape: (C, H, W) of the images.
        widths: Channels of each convolution's input, from the latent towards the image.
        hidden: Units of fully connected layers after the latent.
    """

    def __init__(
        self,
        in_features: int,
        out_shape: Shape,
        widths: Sequence[int] = (64, 32, 16),
        hidden: Sequence[int] = (),
    ) -> None:
        super().__init__()
        channels, height, width = out_shape
        # sides after 0, 1, ... halvings, as the encoder has them
        sides = [(height, width)]
        for _ in widths:
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        start = (widths[0] if widths else channels, *sides[-1])
        layers = [*perceptron_layers(in_features, hidden, math.prod(start)), nn.Unflatten(1, start)]
        outputs = [*widths[1:], channels]
        for depth, (width_in, width_out) in enumerate(zip(widths, outputs, strict=True)):
            source, target = sides[len(widths) - depth], sides[len(widths) - depth - 1]
            # an odd side was rounded up on the way in and must not be doubled in full on the way out
            padding = (target[0] - 2 * source[0] + 1, target[1] - 2 * source[1] + 1)
            layers += [
                nn.BatchNorm2d(width_in),
                nn.ReLU(),
                nn.ConvTranspose2d(width_in, width_out, 3, stride=2, padding=1, output_padding=padding),
            ]
        self.layers = nn.Sequential(*layers)
