"""Pretraining: from images without labels to an encoder, the model around it, and the images' embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.config import PretrainConfig, RuntimeConfig
from pipeline.datasets.batches import InMemoryData
from pipeline.errors import PipelineError
from pipeline.evaluation.errors import CHUNK
from pipeline.methods import find_method
from pipeline.models.classifier import Backbone
from pipeline.models.inputs import as_input
from pipeline.models.pretraining import Pretraining
from pipeline.training import FitResult, fit, seed_everything


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder.

    Attributes:
        backbone: The encoder and the standardisation of its features, in eval mode.
        model: The model around the same encoder, to reconstruct with, in eval mode.
        embeddings: Standardised features of all images, float32, shape (N, features).
        result: What the training left behind.
    """

    backbone: Backbone
    model: Pretraining
    embeddings: Tensor
    result: FitResult


def divide(settings: PretrainConfig, images: int) -> tuple[Tensor, Tensor]:
    """Indices of the training images held out of pretraining, and of those it sees.

    Raises:
        PipelineError: Nothing would be left to pretrain on.
    """
    if settings.holdout > images - 2:
        raise PipelineError(
            f"pretrain.holdout: {settings.holdout} of {images} training images leave nothing to pretrain on; lower it"
        )
    order = torch.randperm(images, generator=torch.Generator().manual_seed(settings.seed))
    return order[: settings.holdout], order[settings.holdout :]


def pretrain(
    settings: PretrainConfig,
    runtime: RuntimeConfig,
    images: Tensor,
    checkpoint: Path | None = None,
    tensorboard: Path | None = None,
) -> Encoder:
    """Train an encoder on the images that are not held out, and embed all of them.

    Seeds the global random generators with ``settings.seed``.

    Args:
        settings: How.
        runtime: Device and precision; its number of threads is the caller's to set.
        images: uint8 or floats in [0, 1], shape (N, C, H, W).
        checkpoint: File that the training is saved to and goes on from, see ``training.fit``; None for none.
        tensorboard: Folder for its curves; None for none.

    Raises:
        PipelineError: Nothing would be left to pretrain on, the training diverged, or the device is not there.
    """
    held_out, index = divide(settings, len(images))
    _, channels, height, width = images.shape
    shape, method = (channels, height, width), find_method(settings)
    seed_everything(settings.seed)
    backbone = method.make_backbone(settings, shape)
    model = method.make_model(settings, shape, backbone.encoder)
    batches = InMemoryData(images, torch.full((len(images),), -1), index, settings.batch_size, settings.seed)
    result = fit(
        model,
        batches,
        runtime,
        settings.epochs,
        lambda: _measure(model, images[held_out]),
        description="pretrain",
        checkpoint=checkpoint,
        tensorboard=tensorboard,
    )
    model.eval()
    embeddings = _standardise(backbone, model, images)
    if not embeddings.isfinite().all():  # the last steps of the last epoch can do that, which no loss has seen
        raise PipelineError("pretraining diverged: embeddings are not finite numbers; lower the learning rate")
    return Encoder(backbone, model, embeddings, result)


@torch.no_grad()
def _measure(model: Pretraining, held_out: Tensor) -> dict[str, float]:
    """What history gets of the held-out images, if there are any."""
    if not len(held_out):
        return {}
    model.eval()
    row = model.measure(held_out.to(model.device))
    model.train()
    return row


def _standardise(backbone: Backbone, model: Pretraining, images: Tensor) -> Tensor:
    """Measure the features of all images, and return them standardised."""
    with torch.no_grad():
        chunks = torch.split(images, CHUNK)
        backbone.calibrate(torch.cat([model.embed(chunk) for chunk in chunks]))
    return embed(backbone.eval(), images)


@torch.no_grad()
def embed(backbone: Backbone, images: Tensor) -> Tensor:
    """Standardised features, float32, shape (N, features), of images of shape (N, C, H, W); a chunk at a time.

    Args:
        backbone: In eval mode.
        images: uint8 or floats in [0, 1].
    """
    return torch.cat([backbone(as_input(chunk)) for chunk in torch.split(images, CHUNK)])
