"""Stage train: one cell, a pure function of (experiment, mode, labels, seed). Compare calls the same function."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline import methods
from pipeline.artefacts import graph
from pipeline.artefacts.cell_inputs import CellInputs
from pipeline.config import Experiment, as_dict, check_seed
from pipeline.datasets.splits import LabelSplit, union
from pipeline.errors import PipelineError
from pipeline.learning.plan import Plan, split_budget
from pipeline.modes import FitConfig, Mode
from pipeline.report.formats import percent
from pipeline.stages import data, pretrain
from pipeline.store import disk, runs, test_access

CELLS = "cells"  # their folder inside the experiment's

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.image_data import Dataset
    from pipeline.evaluation.errors import SplitErrors
    from pipeline.learning.classify import Trained
    from pipeline.learning.fitting import Examples


@dataclass(frozen=True)
class Cell:
    """One training of one classifier.

    Attributes:
        config: The experiment.
        mode: Name of the mode.
        labels: Label budget, validation included.
        seed: Which draw of the labelled subset; also of the head's weights and the order of batches.
        track_unseen_error: Whether history also has, epoch by epoch, the error on images that neither pretraining nor
            this draw has seen: the training images held out of pretraining, whose labels nothing is chosen by.
    """

    config: Experiment
    mode: str
    labels: int
    seed: int
    track_unseen_error: bool = False

    def __post_init__(self) -> None:
        check_seed("seed", self.seed)

    @property
    def plan(self) -> Plan:
        """How the classifier is trained."""
        config = self.config
        return Plan(self.mode, config.pretrain, config.train, config.runtime.alone, self.seed)


def run(config: Experiment, mode: str, labels: int, seed: int) -> Path:
    """Train one cell unless it is done, print its errors, and return its folder.

    Raises:
        PipelineError: The mode is unknown, the budget is out of range, or an earlier stage has not run.
    """
    folder = train_cell(Cell(config, mode, labels, seed), CellInputs(config))
    metrics = runs.open_artefact(folder, "run it again")["outcome"]
    errors = ", ".join(
        f"{name} {percent(metrics[key]['error'])} % of {metrics[key]['n']}"
        for name, key in (("E_in", "e_in"), ("E_val", "e_val"), ("E_out", "e_out"))
    )
    epochs = f"epoch {metrics['best_epoch']} of {metrics['stopped_epoch']}"
    if "trials" in metrics:
        epochs += f", with settings {metrics['chosen'] + 1} of {len(metrics['trials'])}"
    print(f"{mode}, {labels} labels, draw {seed}: {errors}; {epochs}")
    return folder


def train_cell(cell: Cell, cell_inputs: CellInputs) -> Path:
    """Train one cell unless it is done, and return its folder; ``train_cells_together`` does the same for many.

    Raises:
        PipelineError: The mode is unknown, the budget is out of range, or an earlier stage has not run.
    """
    experiment, made_from = cell.config.folder, inputs(cell)
    checkpoint = runs.checkpoint_path(runs.artefact_path(experiment, relative(cell), made_from))
    folder = runs.build(
        experiment, relative(cell), made_from, lambda folder: _make(cell, cell_inputs, folder, checkpoint)
    )
    disk.discard(checkpoint)
    return folder


def train_cells_together(cells: Sequence[Cell], cell_inputs: CellInputs) -> None:
    """Train cells whose plans are ``stackable`` and that differ in their draws alone, as one computation.

    Each becomes what ``train_cell`` would make of it, to the bit. Where that cannot be had, or one of them fails, none
    is made: they are left to ``train_cell``.
    """
    from pipeline.learning.stacked_heads import train_stacked
    from pipeline.training.trainer import threads

    started, trained = time.monotonic(), None
    with threads(1), contextlib.suppress(PipelineError):
        examples = [_examples(cell, cell_inputs) for cell in cells]
        trained = train_stacked([cell.plan for cell in cells], examples, cell_inputs.pretrained)
    seconds = (time.monotonic() - started) / len(cells)
    if trained is None:
        return
    for cell, own in zip(cells, trained, strict=True):
        make = functools.partial(_measure_and_save, cell, cell_inputs, own, seconds)
        runs.build(cell.config.folder, relative(cell), inputs(cell), make)


def relative(cell: Cell) -> str:
    """The cell's place inside the experiment's folder, without the fingerprint."""
    mode = cell.mode.replace(":", ".")  # an import path, of which Windows takes no colon in a file's name
    return f"{CELLS}/{mode}-{cell.labels}-{cell.seed}"


def inputs(cell: Cell) -> dict[str, Any]:
    """What the cell is made from. What it does not use is left out, so that changing that does not retrain it."""
    config, plan = cell.config, cell.plan
    mode = plan.definition
    made_from: dict[str, Any] = {
        "stage": "train",
        "data": data.card(config)["sha256"],
        "precision": config.runtime.precision,
        "mode": cell.mode,
        "flags": _flags(mode),
        "labels": cell.labels,
        "seed": cell.seed,
        **_used(plan),
    }
    if tried := plan.candidates[1:]:
        made_from["trials"] = [_used(candidate) for candidate in tried]
    if mode.pretrained:
        made_from["pretrained"] = runs.fingerprint(pretrain.inputs(config))
    else:
        made_from["encoder"] = methods.architecture(config.pretrain)
    if cell.track_unseen_error:
        made_from["track_unseen_error"] = {"holdout": config.pretrain.holdout, "seed": config.pretrain.seed}
    return made_from


def _flags(mode: Mode) -> dict[str, Any]:
    """What the mode is, without its settings and what is only read by people."""
    return {name: value for name, value in asdict(mode).items() if name not in ("summary", "fit", "head_like")}


def _used(plan: Plan) -> dict[str, Any]:
    """The settings of training that matter."""
    mode, settings = plan.definition, as_dict(plan.train)
    used = {"train": _common(plan), "fit": _fit(plan, mode.fit)}
    if plan.head_settings is not None and mode.trains_encoder:
        used["head_fit"] = _fit(plan, plan.head_settings)
    if mode.spreads_labels:
        used["graph"] = graph.used(settings["graph"])
    if mode.consistency:
        used["consistency"] = settings["consistency"]
    return used


def _common(plan: Plan) -> dict[str, Any]:
    """Of the settings that are the same for every mode those that matter."""
    common = as_dict(plan.train)
    for name in ("modes", "graph", "consistency", "trials"):
        del common[name]
    for name in ("val_fraction",) if plan.train.validation == "kfold" else ("folds",):
        del common[name]
    if not plan.augments:
        common |= {"augment": None, "clean_fraction": 0}
    return common


def _fit(plan: Plan, settings: FitConfig) -> dict[str, Any]:
    """The settings of a fit; whether it augments the images matters only where there is an augmentation."""
    used = as_dict(settings)
    return used if plan.augments else used | {"augment": True}


# --- making a cell --------------------------------------------------------------------------------------------


def _make(cell: Cell, cell_inputs: CellInputs, folder: Path, checkpoint: Path) -> dict[str, Any]:
    from pipeline.training.trainer import threads

    started = time.monotonic()
    with threads(1):
        trained = _train(cell, cell_inputs, checkpoint)
    return _measure_and_save(cell, cell_inputs, trained, time.monotonic() - started, folder)


def _measure_and_save(
    cell: Cell, cell_inputs: CellInputs, trained: Trained, seconds: float, folder: Path
) -> dict[str, Any]:
    """Measure the classifier, whose training took so many seconds, and write what there is of it."""
    from pipeline.training.trainer import threads

    started, made_from, split = time.monotonic(), inputs(cell), trained.split
    with threads(1):
        test_access.take(cell.config.folder, relative(cell), runs.fingerprint(made_from), made_from["data"])
        errors = _measure(cell, trained, cell_inputs, split)
    seconds = round(seconds + time.monotonic() - started, 3)
    disk.write_tensors(folder / "weights.safetensors", trained.model.state_dict())
    disk.write_csv(folder / "history.csv", trained.result.history)
    disk.write_json(folder / "split.json", _describe(split, cell_inputs.dataset))
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
        "best_epoch": trained.result.best_epoch,
        "stopped_epoch": trained.result.stopped_epoch,
        "max_epochs": trained.result.max_epochs,
        "reached_max_epochs": trained.result.stopped_epoch >= trained.result.max_epochs,
        "seconds": seconds,
        "encoder_sha256": trained.digests,
    }
    if len(trained.trials) > 1:
        metrics |= {"trials": [asdict(trial) for trial in trained.trials], "chosen": trained.chosen}
    disk.write_json(folder / "metrics.json", metrics)
    return metrics


def _train(cell: Cell, cell_inputs: CellInputs, checkpoint: Path) -> Trained:
    """The trained classifier, from what earlier stages left."""
    from pipeline.learning.classify import train_classifier

    mode = cell.plan.definition
    pretrained = cell_inputs.pretrained if mode.pretrained else None
    neighbours = cell_inputs.graph if mode.spreads_labels else None
    return train_classifier(cell.plan, _examples(cell, cell_inputs), pretrained, neighbours, checkpoint)


def _splits(cell: Cell, cell_inputs: CellInputs) -> list[LabelSplit]:
    """How the cell spends its labels."""
    train = cell_inputs.dataset.train
    return split_budget(cell.config.train, train.labels.numpy(), cell.labels, cell.seed, len(train.class_names))


def _examples(cell: Cell, cell_inputs: CellInputs) -> Examples:
    """What the cell learns from."""
    from pipeline.datasets.leakage import check_disjoint
    from pipeline.learning.fitting import Examples

    train, splits = cell_inputs.dataset.train, _splits(cell, cell_inputs)
    unseen_index = unseen(cell.config, train.labels, union(splits)) if cell.track_unseen_error else None
    for split in splits:
        parts = {"the labelled part": split.train, "the validation part": split.val}
        check_disjoint(
            cell_inputs.dataset,
            parts if unseen_index is None else {**parts, "the images that only history shows": unseen_index},
        )
    return Examples(train.images, train.labels, len(train.class_names), splits, unseen_index)


def unseen(config: Experiment, labels: torch.Tensor, split: LabelSplit) -> npt.NDArray[np.int64]:
    """Indices of labelled images that were held out of pretraining and are not in the draw.

    Raises:
        PipelineError: There are none.
    """
    held_out = pretrain.split_holdout(config, len(labels))[0].numpy()
    index = np.setdiff1d(held_out[labels.numpy()[held_out] >= 0], np.concatenate([split.train, split.val]))
    if not len(index):
        raise PipelineError(
            f"pretrain.holdout: {config.pretrain.holdout} leaves no image that neither pretraining nor the "
            "classifier sees; raise it"
        )
    return index


def _measure(cell: Cell, trained: Trained, cell_inputs: CellInputs, split: LabelSplit) -> dict[str, SplitErrors]:
    """The selected model on each split: training, validation, and the test set, opened here once.

    Through a frozen encoder, every cell would make the same embeddings of the test images: they are made once. In a
    cross-validation the selected model has seen every validation label, so the folds' models are asked there.
    """
    from pipeline.evaluation.errors import evaluate

    mode, model, train, test = cell.plan.definition, trained.model, cell_inputs.dataset.train, cell_inputs.dataset.test
    classes = len(train.class_names)
    if mode.pretrained and not mode.trains_encoder:
        tested = evaluate(model.head, cell_inputs.test_embeddings, test.labels, classes)
    else:
        tested = evaluate(model, test.images, test.labels, classes)
    return {
        "train": evaluate(model, train.images[split.train], train.labels[split.train], classes),
        "val": trained.out_of_fold or evaluate(model, train.images[split.val], train.labels[split.val], classes),
        "test": tested,
    }


def _describe(split: LabelSplit, dataset: Dataset) -> dict[str, Any]:
    """Which labels were seen: indices into the training images, and the SHA-256 of the images they name."""
    images = dataset.train.images
    return {
        name: {
            "index": index.tolist(),
            "sha256": hashlib.sha256(images[index].numpy().tobytes()).hexdigest(),
        }
        for name, index in (("train", split.train), ("val", split.val))
    }
