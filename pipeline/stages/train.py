"""Stage train: one cell, a pure function of (experiment, mode, labels, seed). Compare calls the same function."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline import methods, runs
from pipeline.config import Experiment, FitConfig, as_dict, check_seed
from pipeline.datasets.splits import LabelSplit, label_split
from pipeline.errors import PipelineError
from pipeline.modes import MODES, find_mode
from pipeline.stages import data, pretrain
from pipeline.stages.materials import Materials
from pipeline.table import percent

CELLS = "cells"  # their folder inside the experiment's

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pipeline.datasets.base import Dataset, ImageData
    from pipeline.evaluation.errors import SplitErrors
    from pipeline.models.classifier import Backbone, Classifier
    from pipeline.training import FitResult


@dataclass(frozen=True)
class Cell:
    """One training of one classifier.

    Attributes:
        config: The experiment.
        mode: Key of ``MODES``.
        labels: Label budget, validation included.
        seed: Which draw of the labelled subset; also of the head's weights and the order of batches.
        watched: Whether history also tells, epoch by epoch, the error on images that neither pretraining nor this
            draw has seen: the training images held out of pretraining, whose labels nothing is chosen by.
    """

    config: Experiment
    mode: str
    labels: int
    seed: int
    watched: bool = False

    def __post_init__(self) -> None:
        check_seed("seed", self.seed)

    @property
    def settings(self) -> FitConfig:
        """How this mode trains."""
        settings: FitConfig = getattr(self.config.train, self.mode)
        return settings

    @property
    def head_widths(self) -> tuple[int, ...]:
        """Hidden layers of the head."""
        train = self.config.train
        return train.graph.head_widths if find_mode(self.mode).propagates else train.head_widths


def run(config: Experiment, mode: str, labels: int, seed: int) -> Path:
    """Train one cell unless it is done, print its errors, and return its folder.

    Raises:
        PipelineError: The mode is unknown, the budget is out of range, or an earlier stage has not run.
    """
    folder = train_cell(Cell(config, mode, labels, seed), Materials(config))
    metrics = runs.open_artefact(folder, "run it again")["outcome"]
    errors = ", ".join(
        f"{name} {percent(metrics[key]['error'])} % of {metrics[key]['n']}"
        for name, key in (("E_in", "e_in"), ("E_val", "e_val"), ("E_out", "e_out"))
    )
    print(
        f"{mode}, {labels} labels, draw {seed}: {errors}; epoch {metrics['best_epoch']} of {metrics['stopped_epoch']}"
    )
    return folder


def train_cell(cell: Cell, materials: Materials) -> Path:
    """Train one cell unless it is done, and return its folder; the only way a classifier is trained.

    Raises:
        PipelineError: The mode is unknown, the budget is out of range, or an earlier stage has not run.
    """
    config = cell.config
    return runs.build(config.folder, relative(cell), inputs(cell), lambda folder: _make(cell, materials, folder))


def relative(cell: Cell) -> str:
    """The cell's place inside the experiment's folder, without the fingerprint."""
    return f"{CELLS}/{cell.mode}-{cell.labels}-{cell.seed}"


def inputs(cell: Cell) -> dict[str, Any]:
    """What the cell is made from. What it does not use is left out, so that changing that does not retrain it."""
    mode, config = find_mode(cell.mode), cell.config
    common = as_dict(config.train)
    fits = {name: common.pop(name) for name in MODES}
    spreading = common.pop("graph")
    made_from: dict[str, Any] = {
        "stage": "train",
        "data": data.card(config)["sha256"],
        "precision": config.runtime.precision,
        "mode": cell.mode,
        "labels": cell.labels,
        "seed": cell.seed,
        "train": common,
        "fit": fits[cell.mode],
    }
    if cell.settings.head_first:
        made_from["head_fit"] = fits["frozen"]
    if mode.propagates:
        made_from["graph"] = spreading
    if mode.pretrained:
        made_from["pretrained"] = runs.fingerprint(pretrain.inputs(config))
    else:
        made_from["encoder"] = methods.architecture(config.pretrain)
    if cell.watched:
        made_from["watched"] = {"holdout": config.pretrain.holdout, "seed": config.pretrain.seed}
    return made_from


# --- making a cell --------------------------------------------------------------------------------------------


def _make(cell: Cell, materials: Materials, folder: Path) -> dict[str, Any]:
    from safetensors.torch import save_file

    from pipeline.training import seed_everything, threads

    started = time.monotonic()
    train = materials.dataset.train
    split = label_split(
        train.labels.numpy(), cell.labels, cell.config.train.val_fraction, cell.seed, len(train.class_names)
    )
    with threads(1):
        seed_everything(cell.seed)
        model, result, digests = _train(cell, materials, split)
        errors = _measure(model, materials.dataset, split)
    seconds = round(time.monotonic() - started, 3)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "weights.safetensors",
    )
    runs.write_csv(folder / "history.csv", result.history)
    runs.write_json(folder / "split.json", _describe(split, materials.dataset))
    np.savez_compressed(
        folder / "predictions.npz",
        train_index=split.train,
        val_index=split.val,
        train_pred=errors["train"].predictions.numpy(),
        val_pred=errors["val"].predictions.numpy(),
        test_pred=errors["test"].predictions.numpy(),
    )
    metrics = {
        "mode": cell.mode,
        "labels": cell.labels,
        "seed": cell.seed,
        "e_in": errors["train"].as_json(),
        "e_val": errors["val"].as_json(),
        "e_out": errors["test"].as_json(),
        "confusion": errors["test"].confusion.tolist(),
        "best_epoch": result.best_epoch,
        "stopped_epoch": result.stopped_epoch,
        "seconds": seconds,
        "encoder_sha256": digests,
    }
    runs.write_json(folder / "metrics.json", metrics)
    return metrics


def _train(cell: Cell, materials: Materials, split: LabelSplit) -> tuple[Classifier, FitResult, dict[str, str]]:
    """The trained classifier, what its last fit left, and the encoder's digests before and after."""
    from pipeline.models.classifier import make_head

    mode, train = find_mode(cell.mode), materials.dataset.train
    backbone = pretrain.new_backbone(cell.config, train.shape)
    head = make_head(backbone.out_features, len(train.class_names), cell.head_widths)
    if mode.pretrained:
        backbone.load_state_dict(materials.pretrained.weights)
    before = _digest(backbone)
    targets = _targets(cell, materials, split)
    if not mode.trains_encoder:
        result = _fit_head(cell, cell.settings, backbone, head, materials, split, targets)
    elif cell.settings.head_first:
        _fit_head(cell, cell.config.train.frozen, backbone, head, materials, split, targets)
    model = _classifier(cell, cell.settings, backbone, head, mode.trains_encoder)
    if mode.trains_encoder:
        result = _fit(cell, cell.settings, model, train.images, train, split, targets)
    digests = {"before": before, "after": _digest(backbone)}
    if (digests["before"] != digests["after"]) != mode.trains_encoder:
        raise PipelineError(
            f"{relative(cell)}: the encoder was {'not ' * mode.trains_encoder}changed by training, against its mode"
        )
    return model, result, digests


@dataclass(frozen=True)
class Targets:
    """What is learnt from.

    Attributes:
        labels: Classes, shape (N,), or weighed probabilities of them, shape (N, classes), of all training images.
        index: The images that are trained on.
        batch_size: Images a step.
    """

    labels: torch.Tensor
    index: torch.Tensor
    batch_size: int


def _targets(cell: Cell, materials: Materials, split: LabelSplit) -> Targets:
    """The labels of the draw; if they are to be spread first, soft labels of every image but the validation ones."""
    import torch

    train, settings = materials.dataset.train, cell.config.train
    if not find_mode(cell.mode).propagates:
        return Targets(train.labels, torch.from_numpy(split.train), settings.batch_size)
    from pipeline.models.propagation import soft_labels, spread

    known, classes = train.labels.numpy()[split.train], len(train.class_names)
    scores = spread(materials.graph, split.train, known, classes, settings.graph.alpha)
    pool = np.setdiff1d(np.arange(len(train)), split.val)
    return Targets(soft_labels(scores, split.train, known), torch.from_numpy(pool), settings.graph.batch_size)


def _fit_head(
    cell: Cell,
    settings: FitConfig,
    backbone: Backbone,
    head: nn.Module,
    materials: Materials,
    split: LabelSplit,
    targets: Targets,
) -> FitResult:
    """Fit the head on the frozen backbone: on embeddings computed once, or image by image if these are augmented."""
    from torch import nn

    train = materials.dataset.train
    if cell.config.train.augment is None:
        model = _classifier(cell, settings, nn.Identity(), head, train_backbone=False)
        return _fit(cell, settings, model, materials.pretrained.embeddings, train, split, targets)
    model = _classifier(cell, settings, backbone, head, train_backbone=False)
    return _fit(cell, settings, model, train.images, train, split, targets)


def _classifier(
    cell: Cell, settings: FitConfig, backbone: nn.Module, head: nn.Module, train_backbone: bool
) -> Classifier:
    from pipeline.models.classifier import Classifier
    from pipeline.training import make_distortion

    return Classifier(
        backbone,
        head,
        train_backbone,
        make_distortion(cell.config.train.augment),
        settings.encoder_lr,
        settings.head_lr,
        settings.weight_decay,
    )


def _fit(
    cell: Cell,
    settings: FitConfig,
    model: Classifier,
    x: torch.Tensor,
    train: ImageData,
    split: LabelSplit,
    targets: Targets,
) -> FitResult:
    """Train on the targets, stop on the validation part, keep E_in and E_val of every epoch."""
    import torch

    from pipeline.datasets.batches import InMemoryData
    from pipeline.evaluation.errors import evaluate
    from pipeline.training import fit

    parts = {"in": torch.from_numpy(split.train), "val": torch.from_numpy(split.val)}
    if cell.watched:
        parts["unseen"] = torch.from_numpy(unseen(cell.config, train.labels, split))

    def measure() -> dict[str, float]:
        row: dict[str, float] = {}
        for name, index in parts.items():
            errors = evaluate(model, x[index], train.labels[index], len(train.class_names))
            row |= {f"e_{name}": errors.error, f"loss_{name}": errors.loss}
        return row

    batches = InMemoryData(x, targets.labels, targets.index, targets.batch_size, cell.seed)
    return fit(
        model,
        batches,
        cell.config.runtime,
        settings.max_epochs,
        measure,
        monitor="loss_val",
        patience=settings.patience,
    )


def unseen(config: Experiment, labels: torch.Tensor, split: LabelSplit) -> npt.NDArray[np.int64]:
    """Indices of labelled images that were held out of pretraining and are not in the draw.

    Raises:
        PipelineError: There are none.
    """
    held_out = pretrain.divide(config, len(labels))[0].numpy()
    index = np.setdiff1d(held_out[labels.numpy()[held_out] >= 0], np.concatenate([split.train, split.val]))
    if not len(index):
        raise PipelineError(
            f"pretrain.holdout: {config.pretrain.holdout} leaves no image that neither pretraining nor the "
            "classifier sees; raise it"
        )
    return index


def _measure(model: Classifier, dataset: Dataset, split: LabelSplit) -> dict[str, SplitErrors]:
    """The selected model on each split, from the images: training, validation, and the test set, opened here once."""
    from pipeline.evaluation.errors import evaluate

    train, test = dataset.train, dataset.test
    classes = len(train.class_names)
    return {
        "train": evaluate(model, train.images[split.train], train.labels[split.train], classes),
        "val": evaluate(model, train.images[split.val], train.labels[split.val], classes),
        "test": evaluate(model, test.images, test.labels, classes),
    }


def _describe(split: LabelSplit, dataset: Dataset) -> dict[str, Any]:
    """Which labels were seen: indices into the training images, and the SHA-256 of the images they name."""
    images = dataset.train.images.numpy()
    return {
        name: {
            "index": index.tolist(),
            "sha256": hashlib.sha256(images[index].tobytes()).hexdigest(),
        }
        for name, index in (("train", split.train), ("val", split.val))
    }


def _digest(backbone: Backbone) -> str:
    """SHA-256 of every weight and every BatchNorm statistic of the encoder."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
