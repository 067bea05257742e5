"""The files of a trained cell: weights, learning curve, split, predictions and metrics."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import numpy.typing as npt

from pipeline.artefacts.metrics import Metrics
from pipeline.datasets.splits import LabelSplit
from pipeline.store import disk

if TYPE_CHECKING:
    from pipeline.datasets.image_data import Dataset, ImageData
    from pipeline.evaluation.errors import SplitErrors
    from pipeline.learning.classify import Trained

WEIGHTS, PREDICTIONS, METRICS = "weights.safetensors", "predictions.npz", "metrics.json"


class SeenLabels(TypedDict):
    """Images whose labels were seen: their places among the training images, and the SHA-256 of their pixels."""

    index: list[int]
    sha256: str


def save(folder: Path, trained: Trained, errors: dict[str, SplitErrors], metrics: Metrics, dataset: Dataset) -> None:
    """Write everything that is kept of a trained cell.

    Args:
        folder: The cell's folder.
        trained: The classifier, and how it was trained.
        errors: Its errors on the splits "train", "val" and "test".
        metrics: Its measures.
        dataset: The images that it was trained and tested on.
    """
    split = trained.split
    disk.write_tensors(folder / WEIGHTS, trained.model.state_dict())
    disk.write_csv(folder / "history.csv", trained.result.history)
    disk.write_json(folder / "split.json", describe_split(split, dataset.train))
    np.savez_compressed(
        folder / PREDICTIONS,
        train_index=split.train,
        val_index=split.val,
        train_pred=errors["train"].predictions.numpy(),
        val_pred=errors["val"].predictions.numpy(),
        test_pred=errors["test"].predictions.numpy(),
        test_label=dataset.test.labels.numpy(),
    )
    disk.write_json(folder / METRICS, metrics)


def read_mistakes(folder: Path) -> npt.NDArray[np.bool_]:
    """Return whether a trained cell, or a baseline, took each test image for a wrong class, shape (test images,)."""
    with np.load(folder / PREDICTIONS, allow_pickle=False) as stored:
        wrong: npt.NDArray[np.bool_] = stored["test_pred"] != stored["test_label"]
    return wrong


def describe_split(split: LabelSplit, images: ImageData) -> dict[str, SeenLabels]:
    """Which labels were seen to train on ("train") and to choose the epoch by ("val")."""
    return {
        name: {
            "index": index.tolist(),
            "sha256": hashlib.sha256(images.images[index].numpy().tobytes()).hexdigest(),
        }
        for name, index in (("train", split.train), ("val", split.val))
    }
