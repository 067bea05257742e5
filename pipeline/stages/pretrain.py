"""Stage pretrain: learn an encoder from images without labels, and embed every training image once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import runs
from pipeline.config import Experiment, as_dict
from pipeline.errors import PipelineError
from pipeline.stages import data

if TYPE_CHECKING:
    import torch

    from pipeline.models.classifier import Backbone

_REMEDY = "run `python -m pipeline pretrain` with the same settings (or `make pretrain`) first"


def run(config: Experiment) -> Path:
    """Pretrain unless it is done, and return the artefact's folder."""
    return runs.build(config.folder, "pretrain", inputs(config), lambda folder: _make(config, folder))


def inputs(config: Experiment) -> dict[str, Any]:
    """What the encoder is made from."""
    return {
        "stage": "pretrain",
        "data": data.card(config)["sha256"],
        "pretrain": as_dict(config.pretrain),
        "precision": config.runtime.precision,
    }


@dataclass(frozen=True)
class Pretrained:
    """What later stages read.

    Attributes:
        weights: Of the ``Backbone``: encoder and standardisation.
        embeddings: Standardised features of all training images, float32, shape (N, features).
    """

    weights: dict[str, torch.Tensor]
    embeddings: torch.Tensor


def describe(config: Experiment) -> str:
    """What the pretraining is called in tables."""
    return f"{'denoising ' * (config.pretrain.corruption is not None)}{config.pretrain.method}"


def check(config: Experiment) -> Path:
    """The finished artefact's folder; its manifest is read, its files are not.

    Raises:
        PipelineError: The stage has not run with these settings.
    """
    made_from = inputs(config)
    folder = runs.artefact_path(config.folder, "pretrain", made_from)
    if not runs.is_finished(folder, runs.fingerprint(made_from)):
        raise PipelineError(f"{folder} is missing; {_REMEDY}")
    return folder


def load(config: Experiment) -> Pretrained:
    """Read the finished artefact.

    Raises:
        PipelineError: The stage has not run, or a file of it was changed.
    """
    from safetensors.torch import load_file

    folder = check(config)
    runs.open_artefact(folder, _REMEDY)
    return Pretrained(load_file(folder / "backbone.safetensors"), load_file(folder / "embeddings.safetensors")["train"])


def new_backbone(config: Experiment, shape: tuple[int, int, int]) -> Backbone:
    """The experiment's encoder with random weights, and room for standardisation."""
    from pipeline.models.classifier import Backbone
    from pipeline.training import make_encoder

    return Backbone(make_encoder(config.pretrain.encoder, shape, config.pretrain.latent))


def divide(config: Experiment, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the training images held out of pretraining, and of those it sees.

    Raises:
        PipelineError: Nothing would be left to pretrain on.
    """
    import torch

    settings = config.pretrain
    if settings.holdout > images - 2:
        raise PipelineError(
            f"pretrain.holdout: {settings.holdout} of {images} training images leave nothing to pretrain on; lower it"
        )
    order = torch.randperm(images, generator=torch.Generator().manual_seed(settings.seed))
    return order[: settings.holdout], order[settings.holdout :]


def _make(config: Experiment, folder: Path) -> dict[str, Any]:
    import torch
    from safetensors.torch import save_file

    from pipeline.datasets.batches import InMemoryData
    from pipeline.evaluation.errors import CHUNK
    from pipeline.models.autoencoder import Autoencoder
    from pipeline.models.inputs import as_input
    from pipeline.training import (
        fit,
        make_decoder,
        make_distortion,
        resolve_precision,
        seed_everything,
        threads,
    )

    settings = config.pretrain
    train = data.load(config).train
    shape = train.shape
    held_out, index = divide(config, len(train))
    with threads(config.runtime.threads):
        seed_everything(settings.seed)
        backbone = new_backbone(config, shape)
        decoder = make_decoder(settings.decoder, settings.latent, shape)
        model = Autoencoder(
            backbone.encoder,
            decoder,
            make_distortion(settings.corruption),
            settings.loss,
            settings.learning_rate,
            settings.weight_decay,
        )

        @torch.no_grad()
        def measure() -> dict[str, float]:
            if not len(held_out):
                return {}
            model.eval()
            loss = float(model.clean_loss(train.images[held_out].to(model.device)))
            model.train()
            return {"holdout_loss": loss}

        batches = InMemoryData(train.images, train.labels, index, settings.batch_size, settings.seed)
        result = fit(model, batches, config.runtime, settings.epochs, measure, description="pretrain")
        model.eval()
        with torch.no_grad():
            chunks = torch.split(train.images, CHUNK)
            backbone.calibrate(torch.cat([model.embed(chunk) for chunk in chunks]))
            backbone.eval()
            embeddings = torch.cat([backbone(as_input(chunk)) for chunk in chunks])
    save_file(
        {name: value.contiguous() for name, value in backbone.state_dict().items()},
        folder / "backbone.safetensors",
    )
    save_file(
        {name: value.contiguous() for name, value in decoder.state_dict().items()},
        folder / "decoder.safetensors",
    )
    save_file({"train": embeddings}, folder / "embeddings.safetensors")
    runs.write_csv(folder / "history.csv", result.history)
    return {
        "images": len(index),
        "epochs": result.stopped_epoch,
        "precision": resolve_precision(config.runtime),
        **result.history[-1],
    }
