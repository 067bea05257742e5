"""BatchNorm's statistics, taken anew from the images that a network will be used on.

While a network is trained on distorted images, BatchNorm's running averages become those of distorted images and of
weights that have changed since. On clean images they are wrong. A plain average over clean batches, with the weights as
they are, puts that right ("PreciseBN": Wu and Johnson 2021, https://arxiv.org/abs/2105.07576).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@torch.no_grad()
def reestimate(network: nn.Module, forward: Callable[[Tensor], Any], batches: Iterable[Tensor]) -> None:
    """Replace BatchNorm's running mean and variance by their plain averages over batches.

    Everything else, dropout included, computes as in eval mode. Layers that are in eval mode already, because somebody
    froze them, and those that the forward pass does not reach keep their statistics.

    Args:
        network: Changed in place.
        forward: One pass through the network, given a batch; what it returns is not read.
        batches: Batches of two images or more, each of shape (B, C, H, W).
    """
    layers = _moving(network)
    before = [_read(layer) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
    with eval_mode(network), _computing(layers, _average):
        for batch in batches:
            forward(batch)
    for layer, statistics in zip(layers, before, strict=True):
        if layer.num_batches_tracked == 0:
            _write(layer, statistics)


@contextmanager
def reestimated(network: nn.Module, forward: Callable[[Tensor], Any], batches: Iterable[Tensor]) -> Iterator[None]:
    """Run a block with statistics taken anew; afterwards they are as before. Arguments as of ``reestimate``."""
    layers = _moving(network)
    before = [_read(layer) for layer in layers]
    reestimate(network, forward, batches)
    try:
        yield
    finally:
        for layer, statistics in zip(layers, before, strict=True):
            _write(layer, statistics)


@contextmanager
def by_batch(network: nn.Module) -> Iterator[None]:
    """Run a block in which BatchNorm takes mean and variance from the batch at hand, as in training, and keeps none."""
    with _computing([module for module in network.modules() if isinstance(module, _BatchNorm)], _normalise):
        yield


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


@contextmanager
def _computing(layers: list[_BatchNorm], compute: Callable[[_BatchNorm, Tensor], Tensor]) -> Iterator[None]:
    """Run a block in which layers compute something else."""
    for layer in layers:
        layer.forward = partial(compute, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _moving(network: nn.Module) -> list[_BatchNorm]:
    """Return the layers whose statistics follow the training."""
    found = (module for module in network.modules() if isinstance(module, _BatchNorm))
    return [layer for layer in found if layer.training and layer.running_mean is not None]


def _read(layer: _BatchNorm) -> list[Tensor]:
    return [getattr(layer, name).clone() for name in _STATISTICS]


@torch.no_grad()
def _write(layer: _BatchNorm, statistics: list[Tensor]) -> None:
    for name, value in zip(_STATISTICS, statistics, strict=True):
        getattr(layer, name).copy_(value)


def _normalise(layer: _BatchNorm, x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, layer.weight, layer.bias, True, 0.0, layer.eps)


def _average(layer: _BatchNorm, x: Tensor) -> Tensor:
    """BatchNorm by the batch's own statistics, which are taken into the average; in this process alone."""
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked += 1
    share = 1 / int(layer.num_batches_tracked)
    mean, variance = layer.running_mean, layer.running_var
    return F.batch_norm(x, mean, variance, layer.weight, layer.bias, True, share, layer.eps)
