"""Estimates the memory that pretraining takes, from the settings and the shape of the images, without any of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline import methods
from pipeline.config import InvariancesConfig, PretrainConfig

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, int, int]  # channels, height, width

KNOWN = ("conv", "mlp", "patches", "residual")  # encoders that can be made without memory, and do not fetch weights
PER_WEIGHT = 28  # bytes: weight, gradient and the two moments of AdamW; all but the gradient again, while it is saved
PER_NUMBER = 4  # bytes of a number that a layer keeps for the way back
COPIES = 5  # of a batch of images as floats: as they are, distorted on the way, drawn, and in the loss


def estimate_pretraining(
    config: PretrainConfig, invariances: InvariancesConfig, shape: Shape, count: int
) -> float | None:
    """Estimate the bytes that pretraining on so many images takes beyond the images, to within a third or so.

    220 pictures of 224 x 224 pixels, of which 144 are trained on, took 4.2 GB beyond what the command takes anyhow.

    Returns:
        The estimate; None where the networks are code of the user's own or from elsewhere, or nothing is trained.
    """
    import torch

    is_known = config.method in methods.BUILT_IN and {config.encoder.name, config.decoder.name} <= {*KNOWN}
    if not is_known or not methods.find_method(config.method).trains:
        return None
    with torch.device("meta"), torch.no_grad():
        backbone = methods.new_backbone(config, shape)
        model = methods.new_model(config, invariances, shape, backbone.encoder)
        kept = _numbers_kept(backbone.encoder, torch.empty(2, *shape))
    weights = sum(weight.numel() for weight in model.parameters())
    images = min(config.batch_size, count) * (kept + COPIES * math.prod(shape))
    return float(PER_WEIGHT * weights + PER_NUMBER * images)


def _numbers_kept(network: nn.Module, pair: Any) -> float:
    """How many numbers all layers of a network put out for each of two images."""
    found = 0

    def count(module: Any, given: Any, output: Any) -> None:
        nonlocal found
        found += output.numel()

    layers = [module for module in network.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network(pair)
    for hook in hooks:
        hook.remove()
    return found / len(pair)
