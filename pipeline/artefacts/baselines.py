"""One classical baseline on one draw: the counterpart of a cell, with the same files where they make sense."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artefacts.cell_inputs import CellInputs, pixels
from pipeline.config import Experiment
from pipeline.datasets.splits import union
from pipeline.learning.plan import split_budget
from pipeline.stages import data
from pipeline.store import disk, runs, test_access

CHUNK = 10_000  # test images that are floats at a time


def run(config: Experiment, name: str, labels: int, seed: int, cell_inputs: CellInputs) -> Path:
    """Train one baseline unless it is done, and return its folder."""
    return runs.build(
        config.folder,
        relative(name, labels, seed),
        inputs(config, name, labels, seed),
        lambda folder: _make(config, name, labels, seed, cell_inputs, folder),
    )


def relative(name: str, labels: int, seed: int) -> str:
    """The baseline's place inside the experiment's folder, without the fingerprint."""
    return f"baselines/{name}-{labels}-{seed}"


def inputs(config: Experiment, name: str, labels: int, seed: int) -> dict[str, Any]:
    """What the baseline is made from."""
    return {
        "stage": "baseline",
        "data": data.card(config)["sha256"],
        "mode": name,
        "labels": labels,
        "seed": seed,
    }


def _make(
    config: Experiment, name: str, labels: int, seed: int, cell_inputs: CellInputs, folder: Path
) -> dict[str, Any]:
    from pipeline.datasets.leakage import check_disjoint
    from pipeline.evaluation.baselines import predict
    from pipeline.models.inputs import chunks

    started = time.monotonic()
    train, test = cell_inputs.dataset.train, cell_inputs.dataset.test
    split = union(split_budget(config.train, train.labels.numpy(), labels, seed, len(train.class_names)))
    index = np.union1d(split.train, split.val)  # no early stopping: all labels are trained on
    check_disjoint(cell_inputs.dataset, {"the labelled part": index})
    labels_in = train.labels.numpy()[index]
    made_from = inputs(config, name, labels, seed)
    test_access.take(config.folder, relative(name, labels, seed), runs.fingerprint(made_from), made_from["data"])
    tested = map(pixels, chunks(test.images, CHUNK))
    predictions = predict(name, cell_inputs.pca, pixels(train.images[index]), labels_in, tested)
    np.savez_compressed(
        folder / "predictions.npz",
        train_index=index,
        train_pred=predictions.train,
        val_index=np.empty(0, dtype=np.int64),
        val_pred=np.empty(0, dtype=np.int64),
        test_pred=predictions.test,
    )
    metrics = {
        "mode": name,
        "labels": labels,
        "seed": seed,
        "e_in": _count(predictions.train, labels_in),
        "e_val": None,
        "e_out": _count(predictions.test, test.labels.numpy()),
        "best_epoch": None,
        "stopped_epoch": None,
        "seconds": round(time.monotonic() - started, 3),
    }
    disk.write_json(folder / "metrics.json", metrics)
    return metrics


def _count(predicted: np.ndarray[Any, Any], true: np.ndarray[Any, Any]) -> dict[str, float | int]:
    errors = int((predicted != true).sum())
    return {"n": len(true), "errors": errors, "error": errors / len(true)}
