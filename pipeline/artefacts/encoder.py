"""The pretrained encoder, with the embedding of every training image."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import methods
from pipeline.artefacts import data_card, data_source, own_code
from pipeline.artefacts.changes import changes_since_last
from pipeline.config import Experiment, JsonObject
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.learning.plan import Pretrained
from pipeline.modes import find_mode
from pipeline.store import disk
from pipeline.store.artefact import Artefact, artefact_folder
from pipeline.store.fingerprints import Inputs
from pipeline.store.manifest import Manifest, open_artefact
from pipeline.training.precision import explain_precision, resolve_precision

if TYPE_CHECKING:
    import torch

    from pipeline.models.classifier import Backbone
    from pipeline.models.generation import LatentGaussian
    from pipeline.models.pretraining import Pretraining, Reconstructing

_NAME = "pretrain"
_REMEDY = f"run `{command('pretrain')}` with the same settings first"

Outcome = JsonObject  # numbers of images, epochs and threads, the architecture, the last row of history.csv, findings


def artefact(config: Experiment) -> Artefact[Outcome]:
    """Return the artefact of the experiment's encoder, as one process trains it."""
    return Artefact(config.folder, _NAME, inputs(config), lambda folder: _make(config, folder), _REMEDY)


def check(config: Experiment) -> Path:
    """Return the folder of the finished encoder.

    Raises:
        PipelineError: If stages that lead to it have not run; the message names all of them, in their order.
    """
    if data_source.is_missing(config):
        raise PipelineError(
            f"{config.folder} holds neither data nor an encoder of these settings; run `{command('data')}` and then "
            f"`{command('pretrain')}` with the same settings first"
        )
    return artefact(config).check()


def of_grid(config: Experiment) -> tuple[Experiment, ...]:
    """Return the experiment once for each encoder that its grid needs: for each seed, with and without invariances."""
    if config.ablation is None or not any(find_mode(mode).pretrained for mode in config.ablation.grid.modes):
        return config.by_encoder
    return (*config.by_encoder, *config.ablation.by_encoder)


def inputs(config: Experiment) -> Inputs:
    """Return all that the encoder is made from."""
    made_from: Inputs = {
        "stage": "pretrain",
        "images": data_card.load(config)["images_sha256"],
        "pretrain": methods.resolved(config.pretrain),
        "precision": resolve_precision(config.runtime),
        "code": own_code.of_pretraining(config.pretrain),
    }
    if methods.corrupts(config.pretrain, config.invariances):
        made_from["invariances"] = config.invariances.amounts()
    if config.runtime.compile:  # a compiled step draws other random numbers
        made_from["compile"] = True
    return made_from


def describe(config: Experiment) -> str:
    """Return the name of the pretraining in tables, such as "denoising autoencoder"."""
    method = methods.find_method(config.pretrain.method)
    denoises = method.decodes and methods.corrupts(config.pretrain, config.invariances)
    return f"denoising {method.summary}" if denoises else method.summary


# --- using it -------------------------------------------------------------------------------------------------


def load(config: Experiment) -> Pretrained:
    """Read the finished encoder.

    Raises:
        PipelineError: If stage pretrain has not run, or a file of the encoder was changed.
    """
    from safetensors.torch import load_file

    folder = _verified(config)
    weights, embeddings = load_file(folder / "backbone.safetensors"), load_file(folder / "embeddings.safetensors")
    return Pretrained(weights, embeddings["train"])


def restore(config: Experiment, shape: tuple[int, int, int]) -> tuple[Backbone, Pretraining]:
    """Read the finished backbone and the method's model around its encoder, both in eval mode.

    Raises:
        PipelineError: If stage pretrain has not run, or a file of the encoder was changed.
    """
    from safetensors.torch import load_file

    backbone = restore_backbone(config, shape)
    model = methods.new_model(config.pretrain, config.invariances, shape, backbone.encoder)
    for name, part in model.parts().items():
        part.load_state_dict(load_file(artefact(config).folder / f"{name}.safetensors"))
    return backbone, model.eval()


def restore_backbone(config: Experiment, shape: tuple[int, int, int]) -> Backbone:
    """Read the finished backbone alone, in eval mode; that imports no Lightning, which takes seconds.

    Raises:
        PipelineError: If stage pretrain has not run, or a file of the encoder was changed.
    """
    from safetensors.torch import load_file

    folder = _verified(config)
    backbone = methods.new_backbone(config.pretrain, shape)
    backbone.load_state_dict(load_file(folder / "backbone.safetensors"))
    return backbone.eval()


def restore_decoding(config: Experiment, shape: tuple[int, int, int]) -> tuple[Backbone, Reconstructing]:
    """Read the backbone and the model of a method that decodes, as ``restore`` does.

    Raises:
        PipelineError: If the method draws no images, stage pretrain has not run, or a file was changed.
    """
    from pipeline.models.pretraining import Reconstructing

    backbone, model = restore(config, shape)
    if not isinstance(model, Reconstructing):
        raise PipelineError(f"pretrain.method: {config.pretrain.method} has no decoder; expected one that draws images")
    return backbone, model


def _verified(config: Experiment) -> Path:
    """Check every file of the finished encoder against the manifest, and return the folder."""
    finished = artefact(config)
    finished.check()
    finished.open()
    return finished.folder


def find_manifest(experiment: Path, fingerprint: str) -> Manifest[Outcome]:
    """Find the encoder with this fingerprint, from the experiment's folder alone; return its manifest.

    Raises:
        PipelineError: If the folder does not hold it, or a file of it was changed.
    """
    return open_artefact(artefact_folder(experiment, _NAME, fingerprint), _REMEDY)


def split_holdout(config: Experiment, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of the training images that are held out of pretraining, and of those that it sees.

    Raises:
        PipelineError: If nothing would be left to pretrain on.
    """
    from pipeline.learning.pretrain import split_holdout

    return split_holdout(config.pretrain, images)


def latent_gaussian(config: Experiment, backbone: Backbone) -> LatentGaussian:
    """Return the distribution that latents are drawn from: the prior, or a Gaussian fitted to training embeddings."""
    from pipeline.models.generation import LatentGaussian

    if methods.find_method(config.pretrain.method).has_prior:
        return LatentGaussian.standard(backbone.out_features)
    mean, variance = backbone.norm.running_mean, backbone.norm.running_var  # the standardisation has measured them
    assert mean is not None
    assert variance is not None
    return LatentGaussian.independent(mean, variance.sqrt())


# --- making it ------------------------------------------------------------------------------------------------


def build(config: Experiment) -> Path:
    """Pretrain unless the encoder is finished, and return its folder.

    A training that was killed goes on after its last saved epoch.

    Raises:
        PipelineError: If stage data has not run, the training diverged, or the folder cannot be written.
    """
    alone = artefact(config)
    if changed := changes_since_last(alone):
        made = f"an earlier encoder was made before this changed ({changed})"
        print(f"pretrain: {made}; the encoder, and what depends on it, is made again")
    if config.runtime.processes > 1 and not alone.is_finished:
        return _build_together(config, alone)
    return alone.build()


def _build_together(config: Experiment, alone: Artefact[Outcome]) -> Path:
    """Pretrain in several processes: the first one makes the artefact, the others only take part in the training.

    The first tells them whether there is a training, for the artefact may be copied from another experiment.
    """
    from pipeline.training.distributed import join

    processes = join(config.runtime)
    if not processes.is_global_zero:
        if processes.broadcast(False):
            _share(config, alone.checkpoint)
        raise SystemExit(0)
    begun = False

    def make(folder: Path) -> Outcome:
        nonlocal begun
        begun = processes.broadcast(True)
        return {**_make(config, folder), "processes": processes.world_size}

    try:
        return replace(alone, make=make).build()
    finally:
        if not begun:
            processes.broadcast(False)


def _share(config: Experiment, checkpoint: Path) -> None:
    """Take part in the training of the first process, which writes and prints all results."""
    from pipeline.learning.pretrain import train
    from pipeline.training.device import threads

    with threads(config.runtime.threads):
        quiet = replace(config.runtime, progress=False)
        images = data_card.load_dataset(config).train.images
        train(config.pretrain, config.invariances, quiet, images, checkpoint)


def _make(config: Experiment, folder: Path) -> Outcome:
    from pipeline.datasets.leakage import check_disjoint
    from pipeline.learning.pretrain import pretrain
    from pipeline.store import tensor_file
    from pipeline.training.device import threads

    print(f"pretrain: precision {explain_precision(config.runtime)}")
    settings, dataset, place = config.pretrain, data_card.load_dataset(config), artefact(config)
    images = dataset.train.images
    if dataset.train.is_streamed:
        print(f"{config.data.title}: {dataset.whereabouts}")
    events = config.folder / "tensorboard" / place.folder.name if config.runtime.tensorboard else None
    held_out, seen = split_holdout(config, len(images))
    trains = methods.find_method(settings.method).trains
    if trains:
        print(f"pretrain: {len(seen)} images, and {len(held_out)} left out to measure it on")
    if not dataset.train.is_streamed:  # streamed images were compared with the test set when they were hashed
        check_disjoint(dataset, {"pretraining": seen.numpy()})
    embeddings = functools.partial(tensor_file.create, folder / "embeddings.safetensors", "train")
    with threads(config.runtime.threads) as used:
        encoder = pretrain(settings, config.invariances, config.runtime, images, place.checkpoint, events, embeddings)
        findings: dict[str, float] = {}
        examine = methods.find_method(settings.method).examine
        if examine is not None and len(held_out):
            findings = examine(methods.own_settings(settings), encoder.model, images[held_out], folder)
    for name, part in {"backbone": encoder.backbone, **encoder.model.parts()}.items():
        disk.write_tensors(folder / f"{name}.safetensors", part.state_dict())
    history = encoder.result.history
    if history:
        disk.write_csv(folder / "history.csv", history)
    return {
        "images": len(seen) if trains else 0,
        "epochs": len(history),
        "threads": used,
        "architecture": methods.architecture(settings),
        **(history[-1] if history else {}),
        **findings,
    }
