"""How images reach a network, and how its answers are computed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

BLOCK = 50  # images a forward pass where nothing is trained
CHUNK = 20 * BLOCK  # images in memory at a time


class Images(Protocol):
    """Images of shape (N, C, H, W): a tensor, or a view of a file that reads the images it is asked for."""

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...


def as_input(x: Tensor) -> Tensor:
    """Turn uint8 images into floats in [0, 1]; embeddings and images that are floats already pass unchanged."""
    return x.float().div(255) if x.dtype == torch.uint8 else x


def chunks(images: Images, size: int) -> Iterator[Tensor]:
    """Yield all images in order, ``size`` at a time, so that no more than these have to be in memory."""
    return (images[start : start + size] for start in range(0, len(images), size))


@torch.no_grad()
def infer(network: nn.Module, images: Images) -> Tensor:
    """Compute a network's outputs in float32; each image has the same bits whichever images come with it.

    Matrix products and convolutions add in an order that depends on the batch's size and on the weights' layout in
    memory. Therefore every forward pass has ``BLOCK`` images, the last one filled up with copies, and the weights lie
    as they do after training. That holds on one machine; another may add in another order.

    Args:
        network: In eval mode, on any device; (B, ...) to (B, features).
        images: uint8 images, floats in [0, 1] or embeddings, shape (N, ...) with N at least 1; a tensor, or in files.

    Returns:
        The outputs, on the CPU, shape (N, features).
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which torch's stubs leave out
    weights = itertools.chain(network.parameters(), network.buffers())
    device = next((weight.device for weight in weights), torch.device("cpu"))

    def outputs(block: Tensor) -> Tensor:
        features: Tensor = network(as_input(block.to(device)))
        return features.float().cpu()

    with torch.autocast(device.type, enabled=False):
        return torch.cat([in_blocks(outputs, chunk) for chunk in chunks(images, CHUNK)])


def in_blocks(compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function of batches to ``BLOCK`` rows at a time; the last block is filled up with copies of its last row.

    Args:
        compute: (BLOCK, ...) to (BLOCK, ...); each row of its result depends on the same row of its argument alone.
        x: Shape (N, ...) with N at least 1.
    """
    missing = -len(x) % BLOCK
    filled = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x
    return torch.cat([compute(block.contiguous()) for block in torch.split(filled, BLOCK)])[: len(x)]
