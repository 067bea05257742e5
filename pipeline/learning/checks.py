"""Networks and methods are held against what was expected of them before they are trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from pipeline import plugins
from pipeline.errors import PipelineError
from pipeline.models.batch_statistics import eval_mode
from pipeline.models.classifier import Backbone
from pipeline.models.inputs import Images, as_input
from pipeline.models.pretraining import Pretraining, Reconstructing

SHOWN = 8  # images that a network is tried on, at most

T = TypeVar("T")


def check_encoder(backbone: Backbone, images: Images) -> Tensor:
    """Refuse an encoder that does not make finite features of the width it says; it stays as it is.

    The images are uint8 or floats in [0, 1], shape (N, C, H, W).

    Returns:
        Features of the first images, shape (B, features).

    Raises:
        PipelineError: If they have another shape, are no finite numbers, or the encoder fails on such images.
    """
    shown = as_input(images[:SHOWN])
    return _output("encoder", backbone.encoder, shown, (len(shown), backbone.out_features))


def check_method(name: str, backbone: Backbone, model: Pretraining, images: Images) -> None:
    """Refuse a method whose networks, loss or measurements are not what was expected; its name is for the messages.

    A copy of the model, which has random weights, takes a step on a few images, uint8 or floats in [0, 1], shape (N, C,
    H, W), and measures them, under random numbers of its own.

    Raises:
        PipelineError: If an output has another shape or is no finite numbers, or the code of a network or the method
            fails.
    """
    features, shown = check_encoder(backbone, images), images[:SHOWN]
    if isinstance(model, Reconstructing):
        _output("decoder", model.decoder, features, (len(features), *shown.shape[1:]))
    tried = copy.deepcopy(model)
    with isolate_rng():
        loss = _run(f"method {name}: training_step", lambda: _step(tried, shown))
        if loss is not None and not (isinstance(loss, Tensor) and loss.shape == () and bool(loss.isfinite())):
            found = tuple(loss.shape) if isinstance(loss, Tensor) and loss.shape else loss
            raise PipelineError(f"method {name}: training_step gives {found}; expected a loss, a single finite number")
        with torch.no_grad(), eval_mode(tried):
            row = _run(f"method {name}: measure", lambda: tried.measure(shown)) if loss is not None else {}
    if not (isinstance(row, dict) and all(math.isfinite(value) for value in row.values())):
        raise PipelineError(f"method {name}: measure gives {row}; expected finite numbers by the name of their column")


def _step(model: Pretraining, images: Tensor) -> Tensor | None:
    """Return the loss of a step; None where it cannot be had without a trainer, whose loop it asks for."""
    try:
        return model.training_step((images, torch.full((len(images),), -1)))
    except RuntimeError as error:
        if "is not attached to a `Trainer`" in str(error):
            return None
        raise


@torch.no_grad()
def _output(part: str, network: nn.Module, inputs: Tensor, expected: tuple[int, ...]) -> Tensor:
    """Return the output of a network in eval mode, if it is what was expected."""
    shape = tuple(inputs.shape)
    with eval_mode(network):
        output: Tensor = _run(f"pretrain.{part}: given an input of shape {shape}, it", lambda: network(inputs))
    if not isinstance(output, Tensor) or output.shape != expected:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise PipelineError(
            f"pretrain.{part}: an input of shape {shape} gives {found}; expected a tensor of shape {expected}"
        )
    if not output.isfinite().all():
        raise PipelineError(f"pretrain.{part}: its output has values that are no finite numbers, before any training")
    return output


def _run(what: str, function: Callable[[], T]) -> T:
    """Call code that may be the user's: whatever it raises is what they have to see."""
    try:
        return function()
    except Exception as error:
        raise PipelineError(f"{what} fails\n{plugins.own_traceback(error, __file__)}") from error
