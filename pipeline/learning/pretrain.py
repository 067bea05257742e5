"""Pretraining: from images without labels to an encoder, the model around it, and the images' embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from pipeline import methods
from pipeline.config import InvariancesConfig, PretrainConfig, RuntimeConfig
from pipeline.datasets.batches import Batches, InMemoryData
from pipeline.errors import PipelineError
from pipeline.learning.checks import check_encoder, check_method
from pipeline.models.batch_statistics import eval_mode, reestimate, reestimated
from pipeline.models.classifier import Backbone
from pipeline.models.inputs import CHUNK, Images, chunks, infer
from pipeline.models.pretraining import Pretraining
from pipeline.training.foreign import load_weights
from pipeline.training.recording import FitResult, Rounds
from pipeline.training.trainer import Saving, Showing, fit, seed_everything

# clean training images that BatchNorm's statistics are taken from, at most. On MNIST 500 do: reconstruction and linear
# heads are the same as with 20,000, to 0.1 nats and 0.05 points of error
FOR_A_MEASUREMENT = 1024
FOR_GOOD = 10_000


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder.

    Attributes:
        backbone: The encoder and the standardisation of its features, in eval mode.
        model: The model around the same encoder, to reconstruct with, in eval mode.
        embeddings: Standardised features of all images, float32, shape (N, features).
        result: The history of the training.
    """

    backbone: Backbone
    model: Pretraining
    embeddings: Tensor
    result: FitResult


def split_holdout(settings: PretrainConfig, images: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the training images that are held out of pretraining, and of those that it sees.

    Raises:
        PipelineError: If nothing would be left to pretrain on.
    """
    count = holdout_size(settings, images)
    if count > images - 2:
        raise PipelineError(
            f"pretrain.holdout: {count} of {images} training images leave nothing to pretrain on; lower it"
        )
    order = torch.randperm(images, generator=torch.Generator().manual_seed(settings.seed))
    return order[:count], order[count:]


def holdout_size(settings: PretrainConfig, images: int) -> int:
    """Return how many of the training images are held out of pretraining.

    Examples:
        >>> [holdout_size(PretrainConfig(), images) for images in (60, 240, 1437, 10_000, 60_000)]
        [12, 32, 32, 200, 1000]
        >>> holdout_size(PretrainConfig(holdout=7), images=60)
        7
    """
    if settings.holdout is not None:
        return settings.holdout
    return min(max(round(0.02 * images), 32), 1000, images // 5)


def pretrain(
    settings: PretrainConfig,
    invariances: InvariancesConfig,
    runtime: RuntimeConfig,
    images: Images,
    checkpoint: Path | None = None,
    tensorboard: Path | None = None,
    allocate: Callable[[int, int], Tensor] = torch.empty,
) -> Encoder:
    """Train an encoder on the images that are not held out, and embed all of them.

    Seeds the global random generators with ``settings.seed``.

    Args:
        settings: The section pretrain.
        invariances: The changes that leave an image's class as it is.
        runtime: Device and precision; its number of threads is the caller's to set.
        images: uint8 or floats in [0, 1], shape (N, C, H, W); a tensor, or in files.
        checkpoint: A file that the training is saved to, and goes on from if it exists; None for none.
        tensorboard: The folder for TensorBoard's curves; None for none.
        allocate: Makes the tensor that the embeddings are written into, float32 of a given shape (N, features).

    Raises:
        PipelineError: If nothing would be left to pretrain on, the training diverged, the device is missing, or another
            process was lost.
    """
    backbone, model, result = train(settings, invariances, runtime, images, checkpoint, tensorboard)
    embeddings = allocate(len(images), backbone.out_features)
    _embed_all(backbone, images, embeddings)
    if not all(part.isfinite().all() for part in torch.split(embeddings, CHUNK)):
        # the last steps of the last epoch can do that, which no loss has seen
        raise PipelineError("pretraining diverged: embeddings are not finite numbers; lower the learning rate")
    return Encoder(backbone.eval(), model, embeddings, result)


def train(
    settings: PretrainConfig,
    invariances: InvariancesConfig,
    runtime: RuntimeConfig,
    images: Images,
    checkpoint: Path | None = None,
    tensorboard: Path | None = None,
) -> tuple[Backbone, Pretraining, FitResult]:
    """Train an encoder, without embedding the images; several processes can do so together.

    The arguments are those of ``pretrain``. Whenever the model is measured, and at the end, BatchNorm has the
    statistics of clean images.

    Returns:
        The backbone, in eval mode if the method trains nothing, the model in eval mode, and the result of the training.
    """
    held_out, index = split_holdout(settings, len(images))
    _, channels, height, width = images.shape
    shape = (channels, height, width)
    seed_everything(settings.seed)
    backbone = methods.new_backbone(settings, shape)
    model = methods.new_model(settings, invariances, shape, backbone.encoder)
    load_weights(backbone)
    if not methods.find_method(settings.method).trains:
        check_encoder(backbone, images)
        return backbone, model.eval(), FitResult([], 0, 0)
    check_method(settings.method, backbone, model, images)
    batches = InMemoryData(images, torch.full((len(images),), -1), index, settings.batch_size, settings.seed)
    unseen = images[held_out]

    def clean_batches(count: int) -> Iterator[Tensor]:
        unlabelled = torch.full((1,), -1).expand(len(images))
        for pixels, _ in Batches(images, unlabelled, index[:count], settings.batch_size, settings.seed, lambda: 0):
            yield pixels.to(model.device)

    def measure() -> dict[str, float]:
        last = model.current_epoch == settings.epochs - 1  # the last row of history is of the model that is kept
        with isolate_rng():
            seed_everything(settings.seed)
            with reestimated(model, model.clean_pass, clean_batches(FOR_GOOD if last else FOR_A_MEASUREMENT)):
                return _measure(model, unseen)

    result = fit(
        model,
        batches,
        runtime,
        Rounds(settings.epochs),
        measure if len(unseen) else dict,
        Saving(checkpoint),
        Showing(f"pretrain {methods.title(settings, invariances)}", tensorboard),
    )
    seed_everything(settings.seed)
    reestimate(model, model.clean_pass, clean_batches(FOR_GOOD))
    return backbone, model.eval(), result


@torch.no_grad()
def _measure(model: Pretraining, held_out: Tensor) -> dict[str, float]:
    """Measure the model on images held out of pretraining; the result is added to a row of history."""
    with eval_mode(model):
        return model.measure(held_out.to(model.device))


@torch.no_grad()
def _embed_all(backbone: Backbone, images: Images, embeddings: Tensor) -> None:
    """Write the features of all images into ``embeddings``, and standardise them in place."""
    parts = torch.split(embeddings, CHUNK)
    for part, chunk in zip(parts, chunks(images, CHUNK), strict=True):
        part.copy_(infer(backbone.encoder, chunk))
    backbone.calibrate(embeddings)
    backbone.eval()
    for part in parts:
        part.copy_(backbone.norm(part))
