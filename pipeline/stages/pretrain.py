"""Stage pretrain: learn an encoder from images without labels, and embed every training image once."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import extras, methods
from pipeline.config import Experiment
from pipeline.errors import PipelineError
from pipeline.learning.plan import Pretrained
from pipeline.stages import data
from pipeline.store import disk, runs

if TYPE_CHECKING:
    import torch

    from pipeline.models.classifier import Backbone
    from pipeline.models.pretraining import Pretraining, Reconstructing

_REMEDY = "run `python -m pipeline pretrain` with the same settings (or `make pretrain`) first"


def run(config: Experiment) -> Path:
    """Pretrain unless it is done, and return the artefact's folder. A killed run goes on after its last whole epoch."""
    if config.runtime.tensorboard:
        extras.require("tensorboard", "runtime.tensorboard")
    made_from = inputs(config)
    folder = runs.artefact_path(config.folder, "pretrain", made_from)
    if config.runtime.processes > 1 and not runs.is_finished(folder, runs.fingerprint(made_from)):
        folder = _run_together(config)
    else:
        folder = runs.build(config.folder, "pretrain", made_from, lambda folder: _make(config, folder))
    disk.discard(runs.checkpoint_path(folder))  # not before the artefact is in its place
    return folder


def _run_together(config: Experiment) -> Path:
    """Pretrain in several processes: the first does the stage, the others share in the training and end.

    They are told whether there is one: the artefact may be taken over from another experiment.
    """
    from pipeline.training.distributed import join

    team = join(config.runtime)
    if not team.is_global_zero:
        if team.broadcast(False):
            _share(config)
        raise SystemExit(0)
    begun = False

    def make(folder: Path) -> dict[str, Any]:
        nonlocal begun
        begun = team.broadcast(True)
        return {**_make(config, folder), "processes": team.world_size}

    try:
        return runs.build(config.folder, "pretrain", inputs(config), make)
    finally:
        if not begun:
            team.broadcast(False)


def _share(config: Experiment) -> None:
    """Train beside the first process, which keeps and says what comes of it."""
    from pipeline.learning.pretrain import train
    from pipeline.training.trainer import threads

    place = runs.artefact_path(config.folder, "pretrain", inputs(config))
    with threads(config.runtime.threads):
        quiet = replace(config.runtime, progress=False)
        train(config.pretrain, quiet, data.load(config).train.images, runs.checkpoint_path(place))


def inputs(config: Experiment) -> dict[str, Any]:
    """What the encoder is made from."""
    made_from = {
        "stage": "pretrain",
        "data": data.card(config)["sha256"],
        "pretrain": methods.resolved(config.pretrain),
        "precision": config.runtime.precision,
    }
    return made_from | ({"compile": True} if config.runtime.compile else {})  # it draws other random numbers


def describe(config: Experiment) -> str:
    """What the pretraining is called in tables."""
    method = methods.find_method(config.pretrain.method)
    denoises = method.decodes and method.distorts and config.pretrain.corruption is not None
    return f"denoising {method.summary}" if denoises else method.summary


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


def _verified(config: Experiment) -> Path:
    """The finished artefact's folder, after every file in it was checked against the manifest."""
    folder = check(config)
    runs.open_artefact(folder, _REMEDY)
    return folder


def load(config: Experiment) -> Pretrained:
    """Read the finished artefact.

    Raises:
        PipelineError: The stage has not run, or a file of it was changed.
    """
    from safetensors.torch import load_file

    folder = _verified(config)
    weights, embeddings = load_file(folder / "backbone.safetensors"), load_file(folder / "embeddings.safetensors")
    return Pretrained(weights, embeddings["train"])


def find_architecture(experiment: Path, mark: str) -> dict[str, Any]:
    """What the backbone with this fingerprint is built from (see ``methods``), from the experiment's folder alone.

    Raises:
        PipelineError: The folder does not hold it, or a file of it was changed.
    """
    found: dict[str, Any] = find_manifest(experiment, mark)["outcome"]["architecture"]
    return found


def find_manifest(experiment: Path, mark: str) -> dict[str, Any]:
    """The manifest of the artefact with this fingerprint, from the experiment's folder alone.

    Raises:
        PipelineError: The folder does not hold it, or a file of it was changed.
    """
    return runs.open_artefact(runs.marked_path(experiment, "pretrain", mark), _REMEDY)


def new_backbone(config: Experiment, shape: tuple[int, int, int]) -> Backbone:
    """The experiment's encoder with random weights, and room for standardisation."""
    return methods.new_backbone(config.pretrain, shape)


def restore(config: Experiment, shape: tuple[int, int, int]) -> tuple[Backbone, Pretraining]:
    """The finished backbone and the model around its encoder, in eval mode, to reconstruct or generate with.

    Raises:
        PipelineError: The stage has not run, or a file of it was changed.
    """
    from safetensors.torch import load_file

    folder = _verified(config)
    backbone = new_backbone(config, shape)
    model = methods.new_model(config.pretrain, shape, backbone.encoder)
    for name, part in {"backbone": backbone, **model.parts()}.items():
        part.load_state_dict(load_file(folder / f"{name}.safetensors"))
    return backbone.eval(), model.eval()


def restore_decoding(config: Experiment, shape: tuple[int, int, int]) -> tuple[Backbone, Reconstructing]:
    """The same, of a method that decodes.

    Raises:
        PipelineError: The method draws no images, the stage has not run, or a file of it was changed.
    """
    from pipeline.models.pretraining import Reconstructing

    backbone, model = restore(config, shape)
    if not isinstance(model, Reconstructing):
        raise PipelineError(f"pretrain.method: {config.pretrain.method} has no decoder; expected one that draws images")
    return backbone, model


def split_holdout(config: Experiment, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the training images held out of pretraining, and of those it sees.

    Raises:
        PipelineError: Nothing would be left to pretrain on.
    """
    from pipeline.learning.pretrain import split_holdout

    return split_holdout(config.pretrain, images)


def _make(config: Experiment, folder: Path) -> dict[str, Any]:
    from pipeline.datasets.leakage import check_disjoint
    from pipeline.learning.pretrain import pretrain
    from pipeline.store import tensor_file
    from pipeline.training.trainer import explain_precision, threads

    precision, reason = explain_precision(config.runtime)
    print(f"pretrain: precision {precision}, {reason}")
    settings, dataset = config.pretrain, data.load(config)
    images = dataset.train.images
    if dataset.train.is_streamed:
        print(f"{config.data.dataset}: {dataset.whereabouts}")
    place = runs.artefact_path(config.folder, "pretrain", inputs(config))
    events = config.folder / "tensorboard" / place.name if config.runtime.tensorboard else None
    held_out, seen = split_holdout(config, len(images))
    if not dataset.train.is_streamed:  # those were held against the test set when they were hashed
        check_disjoint(dataset, {"pretraining": seen.numpy()})
    embeddings = functools.partial(tensor_file.create, folder / "embeddings.safetensors", "train")
    with threads(config.runtime.threads) as used:
        encoder = pretrain(settings, config.runtime, images, runs.checkpoint_path(place), events, embeddings)
        findings: dict[str, float] = {}
        examine = methods.find_method(settings.method).examine
        if examine is not None and len(held_out):
            findings = examine(methods.own_settings(settings), encoder.model, images[held_out], folder)
    for name, part in {"backbone": encoder.backbone, **encoder.model.parts()}.items():
        disk.write_tensors(folder / f"{name}.safetensors", part.state_dict())
    disk.write_csv(folder / "history.csv", encoder.result.history)
    return {
        "images": len(seen),
        "epochs": encoder.result.stopped_epoch,
        "precision": precision,
        "threads": used,
        "architecture": methods.architecture(settings),
        **encoder.result.history[-1],
        **findings,
    }
