"""Networks are held against what was expected of them before they are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipeline import plugins
from pipeline.errors import PipelineError
from pipeline.models.classifier import Backbone
from pipeline.models.inputs import Images, as_input
from pipeline.models.pretraining import Pretraining, Reconstructing

SHOWN = 2  # images that a network is tried on


def check_encoder(backbone: Backbone, images: Images) -> Tensor:
    """Refuse an encoder that does not make finite features of the width it says, and give those it makes.

    Args:
        backbone: With random weights; its mode, weights and statistics stay as they are.
        images: uint8 or floats in [0, 1], shape (N, C, H, W).

    Returns:
        Features of the first images, shape (B, features).

    Raises:
        PipelineError: If they have another shape, are no finite numbers, or the encoder fails on such images.
    """
    shown = as_input(images[:SHOWN])
    return _try("encoder", backbone.encoder, shown, (len(shown), backbone.out_features))


def check_networks(backbone: Backbone, model: Pretraining, images: Images) -> None:
    """Refuse an encoder or a decoder whose output is not what was expected.

    Args:
        backbone: With random weights.
        model: The method's model around the backbone's encoder.
        images: uint8 or floats in [0, 1], shape (N, C, H, W).

    Raises:
        PipelineError: If an output has another shape or is no finite numbers, or a network fails.
    """
    features = check_encoder(backbone, images)
    if isinstance(model, Reconstructing):
        _try("decoder", model.decoder, features, (len(features), *images.shape[1:]))


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Run a block in eval mode; afterwards each module is in the mode that it was in before."""
    before = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


@torch.no_grad()
def _try(part: str, network: nn.Module, inputs: Tensor, expected: tuple[int, ...]) -> Tensor:
    """The output of a network in eval mode."""
    try:
        with eval_mode(network):
            output = network(inputs)
    except Exception as error:  # the network may be the user's: whatever it raises is what they have to see
        shown = plugins.own_traceback(error, __file__)
        raise PipelineError(
            f"pretrain.{part}: it fails on an input of shape {tuple(inputs.shape)}; expected an output of shape "
            f"{expected}\n{shown}"
        ) from error
    if not isinstance(output, Tensor) or output.shape != expected:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise PipelineError(
            f"pretrain.{part}: an input of shape {tuple(inputs.shape)} gives {found}; expected a tensor of shape "
            f"{expected}"
        )
    if not output.isfinite().all():
        raise PipelineError(f"pretrain.{part}: its output has values that are no finite numbers, before any training")
    return output
