"""Data sets that torchvision downloads: one short function each, all through the same helper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.base import ImageData
from pipeline.errors import PipelineError


def _loader(name: str) -> Callable[..., tuple[ImageData, ImageData]]:
    def prepare(root: Path) -> None:
        for train in (True, False):
            _open(name, root, train, download=True)

    def load(root: Path) -> tuple[ImageData, ImageData]:
        return (
            _image_data(_open(name, root, train=True, download=False)),
            _image_data(_open(name, root, train=False, download=False)),
        )

    load.__doc__ = f"torchvision's {name}."
    load.prepare = prepare  # type: ignore[attr-defined]  # the seam described in base.py
    return load


def _open(name: str, root: Path, train: bool, download: bool) -> Any:
    import torchvision

    try:
        return getattr(torchvision.datasets, name)(root, train=train, download=download)
    except (OSError, RuntimeError) as error:
        if not download:
            raise PipelineError(f"{name} is not whole in {root} ({error}); run `make data`") from error
        raise PipelineError(
            f"{name} could not be downloaded to {root} ({error}); check the network, or copy torchvision's files "
            "for it there by hand"
        ) from error


def _image_data(raw: Any) -> ImageData:
    """From torchvision's arrays, (N, H, W) or (N, H, W, C), to the contract."""
    import torch

    images = torch.as_tensor(np.asarray(raw.data))
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
    return ImageData(images, torch.as_tensor(raw.targets).long(), tuple(raw.classes))


fashion_mnist = _loader("FashionMNIST")
kmnist = _loader("KMNIST")
cifar10 = _loader("CIFAR10")
