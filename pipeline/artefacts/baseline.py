"""A classical baseline on one draw: the counterpart of a cell, with the same files as far as they apply."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artefacts import choice, data_card
from pipeline.artefacts.cell_files import METRICS, save_mistakes, save_predictions
from pipeline.artefacts.cell_inputs import CellInputs, pixels
from pipeline.artefacts.metrics import Metrics, SplitMetrics
from pipeline.config import Experiment
from pipeline.datasets.splits import LabelSplit, union
from pipeline.invocation import command
from pipeline.store import disk, test_access
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import Inputs

CHUNK = 10_000  # test images that are converted to floats at a time


@dataclass(frozen=True)
class Baseline:
    """One training of one classical classifier, on the same draw of labels as the cells of its budget and seed.

    Attributes:
        config: The experiment.
        mode: The baseline's name, a key of ``BASELINES``.
        labels: The label budget.
        seed: The number of the draw of the labelled subset.
    """

    config: Experiment
    mode: str
    labels: int
    seed: int

    @property
    def name(self) -> str:
        """The baseline's place inside the experiment's folder, without the fingerprint."""
        return f"baselines/{self.mode}-{self.labels}-{self.seed}"

    @functools.cached_property
    def inputs(self) -> Inputs:
        """All that the baseline is made from."""
        return {
            "stage": "baseline",
            "data": data_card.load(self.config)["sha256"],
            "mode": self.mode,
            "labels": self.labels,
            "seed": self.seed,
            **choice.inputs(self.config),
        }

    def artefact(self, shared: CellInputs | None = None) -> Artefact[Metrics]:
        """Return the artefact of the trained baseline, made or not.

        The images come from ``shared`` if one process makes several baselines; else they are read when they are needed.
        """
        return Artefact(
            self.config.folder,
            self.name,
            self.inputs,
            lambda folder: _make(self, shared or CellInputs(self.config), folder),
            f"run `{command('compare')}` again",
        )


def _make(baseline: Baseline, shared: CellInputs, folder: Path) -> Metrics:
    from pipeline.datasets.leakage import check_disjoint
    from pipeline.evaluation.baselines import predict
    from pipeline.evaluation.per_class import measure_classes
    from pipeline.models.inputs import chunks

    started = time.monotonic()
    train, test = shared.dataset.train, shared.dataset.test
    split = union(shared.splits(baseline.labels, baseline.seed))
    index = np.union1d(split.train, split.val)  # nothing is selected, so all labels are trained on
    check_disjoint(shared.dataset, {"the labelled part": index})
    labels = train.labels.numpy()[index]
    test_access.log(baseline.config.folder, baseline.name, baseline.artefact().fingerprint, baseline.inputs["data"])
    tested = map(pixels, chunks(test.images, CHUNK))
    predictions = predict(baseline.mode, shared.pca, pixels(train.images[index]), labels, tested)
    predicted = {"train": predictions.train, "test": predictions.test}
    save_predictions(folder, LabelSplit(index, np.empty(0, dtype=np.int64)), predicted, shared.dataset)
    save_mistakes(folder, predictions.test, test)
    metrics: Metrics = {
        "mode": baseline.mode,
        "labels": baseline.labels,
        "seed": baseline.seed,
        "e_in": _count(predictions.train, labels),
        "e_val": None,
        "e_out": _count(predictions.test, test.labels.numpy()),
        "classes": measure_classes(test.labels.numpy(), predictions.test, len(test.class_names)),
        "kept": None,
        "last": None,
        "seconds": round(time.monotonic() - started, 3),
    }
    disk.write_json(folder / METRICS, metrics)
    return metrics


def _count(predicted: np.ndarray[Any, Any], true: np.ndarray[Any, Any]) -> SplitMetrics:
    errors = int((predicted != true).sum())
    return {"n": len(true), "errors": errors, "error": errors / len(true)}
