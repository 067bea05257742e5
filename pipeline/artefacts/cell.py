"""A cell: one training of one classifier, a pure function of (experiment, mode, labels, seed).

There is no other way to train: the command line, the grid, clusters and ``reproduce`` all make cells.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline import methods
from pipeline.artefacts import cell_files, cell_settings, choice, data_card, encoder, own_code
from pipeline.artefacts.cell_files import CellAnswers
from pipeline.artefacts.cell_inputs import CellInputs
from pipeline.artefacts.cell_latents import nearest_labelled, training_sample
from pipeline.artefacts.metrics import Metrics, SplitMetrics
from pipeline.config import Experiment, check_seed
from pipeline.datasets.splits import LabelSplit, union
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.learning.plan import Plan
from pipeline.store import disk, test_access
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import Inputs
from pipeline.training.precision import resolve_precision

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.image_data import ImageData
    from pipeline.evaluation.errors import SplitErrors
    from pipeline.learning.classify import Trained
    from pipeline.learning.examples import Examples

CELLS = "cells"  # the folder of all cells inside the experiment's folder


@dataclass(frozen=True)
class Cell:
    """One training of one classifier.

    Attributes:
        config: The experiment.
        mode: The name of the mode.
        labels: The label budget, including validation.
        seed: The number of the draw of the labelled subset; it also seeds the head's weights and the order of batches.
        track_unseen_error: Whether the history also holds the error on images that neither pretraining nor this draw
            has seen. These are training images that were held out of pretraining; nothing is chosen by their labels.

    Raises:
        PipelineError: If the seed is out of range.
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
        """The plan by which the classifier is trained."""
        config = self.config
        return Plan(self.mode, config.pretrain, config.train, config.invariances, config.runtime.alone, self.seed)

    @property
    def name(self) -> str:
        """The cell's place inside the experiment's folder, without the fingerprint."""
        mode = self.mode.replace(":", ".")  # the colon of an import path is not allowed in file names on Windows
        return f"{CELLS}/{mode}-{self.labels}-{self.seed}"

    @functools.cached_property
    def inputs(self) -> Inputs:
        """All that the cell is made from; settings that it does not use are left out, so that changing them is free."""
        mode, config = self.plan.definition, self.config
        card = data_card.load(config)
        made_from = {
            "stage": "train",
            "data": card["sha256"],
            "precision": resolve_precision(config.runtime),
            "mode": self.mode,
            "flags": cell_settings.flags(mode),
            "labels": self.labels,
            "seed": self.seed,
            **choice.inputs(config),
            **cell_settings.used(self.plan, card["train"]),
        }
        if mode.pretrained:
            made_from["pretrained"] = encoder.artefact(config).fingerprint
            made_from["code"] = own_code.of_mode(self.mode, mode)
        else:
            made_from["code"] = own_code.of_mode(self.mode, mode) | own_code.of_encoder(config.pretrain)
            made_from["encoder"] = methods.architecture(config.pretrain)
        if mode.trains_encoder:
            made_from["invariances"] = config.invariances.amounts()
        if self.track_unseen_error:
            made_from["track_unseen_error"] = {"holdout": config.pretrain.holdout, "seed": config.pretrain.seed}
        return made_from

    def artefact(self, shared: CellInputs | None = None) -> Artefact[Metrics]:
        """Return the artefact of the trained cell, made or not.

        Args:
            shared: The images and the encoder of the experiment, if one process makes several cells; None reads them
                when the cell is made.
        """
        return Artefact(
            self.config.folder,
            self.name,
            self.inputs,
            lambda folder: _make(self, shared or CellInputs(self.config), folder),
            f"run `{command('train', mode=self.mode, labels=self.labels, seed=self.seed)}` "
            "with the same settings first",
        )


def _make(cell: Cell, shared: CellInputs, folder: Path) -> Metrics:
    from pipeline.training.device import threads

    started = time.monotonic()
    with threads(1):
        trained = train_cell(cell, shared)
    return _measure_and_save(cell, shared, trained, time.monotonic() - started, folder)


def train_cell(cell: Cell, shared: CellInputs) -> Trained:
    """Train the cell's classifier on the files of earlier stages, without measuring or keeping it."""
    from pipeline.learning.classify import train_classifier

    mode = cell.plan.definition
    pretrained = shared.pretrained if mode.pretrained else None
    neighbours = shared.graph if mode.spreads_labels else None
    return train_classifier(cell.plan, _examples(cell, shared), pretrained, neighbours, cell.artefact().checkpoint)


def _examples(cell: Cell, shared: CellInputs) -> Examples:
    """Gather the images and labels that the cell learns from, and check that no image is in two parts."""
    from pipeline.datasets.leakage import check_disjoint
    from pipeline.learning.examples import Examples

    train, splits = shared.dataset.train, shared.splits(cell.labels, cell.seed)
    unseen_index = unseen(cell.config, train.labels, union(splits)) if cell.track_unseen_error else None
    for split in splits:
        parts = {"the labelled part": split.train, "the validation part": split.val}
        if unseen_index is not None:
            parts["the images of the unseen error"] = unseen_index
        check_disjoint(shared.dataset, parts)
    return Examples(train.images, train.labels, len(train.class_names), splits, unseen_index)


def unseen(config: Experiment, labels: torch.Tensor, split: LabelSplit) -> npt.NDArray[np.int64]:
    """Return the indices of labelled images that were held out of pretraining and are not in the draw.

    Args:
        config: The experiment.
        labels: The labels of all training images, shape (N,), -1 where there is none.
        split: The labels that the cell trains on and is selected by.

    Raises:
        PipelineError: If there are no such images.
    """
    held_out = encoder.split_holdout(config, len(labels))[0].numpy()
    index = np.setdiff1d(held_out[labels.numpy()[held_out] >= 0], np.concatenate([split.train, split.val]))
    if not len(index):
        raise PipelineError(
            f"pretrain.holdout: {config.pretrain.holdout} leaves no image that neither pretraining nor the "
            "classifier sees; raise it"
        )
    return index


def _measure_and_save(cell: Cell, shared: CellInputs, trained: Trained, seconds: float, folder: Path) -> Metrics:
    """Measure the classifier, whose training took the given seconds, and write its files."""
    from pipeline.evaluation.per_class import measure_classes
    from pipeline.training.device import threads

    started = time.monotonic()
    with threads(1):
        test_access.log(cell.config.folder, cell.name, cell.artefact().fingerprint, cell.inputs["data"])
        errors = _measure(cell, trained, shared)
        sample = training_sample(cell.plan.definition, trained, shared, cell.seed)
    seconds += time.monotonic() - started
    answers = _answers(trained, errors, shared)
    result, test = trained.result, shared.dataset.test
    unit = next(iter(result.row))
    metrics: Metrics = {
        "mode": cell.mode,
        "labels": cell.labels,
        "seed": cell.seed,
        "sampling": cell.config.grid.sampling,
        "missed_classes": _missed(trained.split, shared.dataset.train),
        "e_in": _split_metrics(errors["train"]),
        "e_val": _split_metrics(errors["val"]) if "val" in errors else None,
        "e_out": _split_metrics(errors["test"]),
        "classes": measure_classes(test.labels.numpy(), errors["test"].predictions.numpy(), len(test.class_names)),
        "confusion": errors["test"].confusion.tolist(),
        "temperature": trained.temperature,
        "calibration_error": {
            "before": answers.tested_before.calibration_error,
            "after": answers.tested.calibration_error,
        },
        "unit": unit,
        "kept": result.row[unit],
        "last": result.history[-1][unit],
        "stopped_early": result.stopped_early,
        "seconds": round(seconds, 3),
        "encoder_sha256": trained.digests,
    }
    if len(trained.trials) > 1:
        metrics["trials"] = [{"e_val": t.e_val, "loss_val": t.loss_val} for t in trained.trials]
        metrics["chosen"] = trained.chosen
    wrong = np.flatnonzero(~answers.tested.right)
    nearest = nearest_labelled(cell.plan.definition, trained, shared, wrong)
    disk.write_tensors(folder / cell_files.SAMPLE, sample.as_tensors())
    cell_files.save(folder, trained, errors, answers, nearest, metrics, shared.dataset)
    return metrics


def _measure(cell: Cell, trained: Trained, shared: CellInputs) -> dict[str, SplitErrors]:
    """Measure the selected model on the training part, the validation part and the test set, which is opened here once.

    All cells of a frozen encoder share the same embeddings of the test images, which are made once. On the validation
    images, the network that did not learn from them was measured when it was trained.
    """
    from pipeline.evaluation.errors import evaluate

    mode, model, split = cell.plan.definition, trained.model, trained.split
    train, test = shared.dataset.train, shared.dataset.test
    classes = len(train.class_names)
    if not mode.trains_encoder:
        tested = evaluate(model.head, shared.test_embeddings, test.labels, classes)
    else:
        tested = evaluate(model, test.images, test.labels, classes)
    errors = {
        "train": evaluate(model, train.images[split.train], train.labels[split.train], classes),
        "test": tested,
    }
    if trained.held_back is not None:
        errors["val"] = trained.held_back
    return errors


def _answers(trained: Trained, errors: dict[str, SplitErrors], shared: CellInputs) -> CellAnswers:
    """Return how sure and how right the classifier was, on labels that it did not learn from and on test images."""
    from pipeline.evaluation.calibration import Answers

    tested, test_labels = errors["test"].logits, shared.dataset.test.labels
    judged = Answers.none()
    if trained.held_back is not None:
        labels = shared.dataset.train.labels[trained.split.val]
        judged = Answers.of(trained.held_back.logits, labels, trained.temperature)
    return CellAnswers(
        judged=judged,
        tested_before=Answers.of(tested, test_labels),
        tested=Answers.of(tested, test_labels, trained.temperature),
    )


def _missed(split: LabelSplit, train: ImageData) -> list[int]:
    """Return the classes of which the draw has no label to train on."""
    present = train.labels.numpy()[split.train]
    missed: list[int] = np.setdiff1d(np.arange(len(train.class_names)), present).tolist()
    return missed


def _split_metrics(found: SplitErrors) -> SplitMetrics:
    return {"n": found.n, "errors": found.errors, "error": found.error, "loss": found.loss}
