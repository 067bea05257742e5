"""The files of a trained cell: weights, learning curve, split, predictions and metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from pipeline.artefacts.metrics import Metrics
from pipeline.datasets.splits import LabelSplit
from pipeline.store import disk

if TYPE_CHECKING:
    from pipeline.datasets.image_data import Dataset, ImageData
    from pipeline.evaluation.calibration import Answers
    from pipeline.evaluation.errors import SplitErrors
    from pipeline.learning.classify import Trained

WEIGHTS, PREDICTIONS, METRICS = "weights.safetensors", "predictions.npz", "metrics.json"
MISTAKES, SAMPLE = "mistakes.csv", "training_sample.safetensors"


Classes = npt.NDArray[np.int64]


class SeenLabels(TypedDict):
    """Images whose labels were seen.

    Attributes:
        index: Their places among the training images.
        name: The name of each image's file, or its row in the source.
        sha256: The digest of their pixels.
    """

    index: list[int]
    name: list[str]
    sha256: str


@dataclass(frozen=True)
class CellAnswers:
    """How sure a cell's classifier was of labelled images, and whether it was right.

    Attributes:
        judged: The labels of its budget that it did not learn from, as ``Trained.held_back`` has them; maybe none.
        tested_before: The test images, as if there were no temperature.
        tested: The test images.
    """

    judged: Answers
    tested_before: Answers
    tested: Answers


def save(
    folder: Path,
    trained: Trained,
    errors: dict[str, SplitErrors],
    answers: CellAnswers,
    nearest: Classes,
    metrics: Metrics,
    dataset: Dataset,
) -> None:
    """Write everything that is kept of a trained cell, into its folder.

    The errors are those on the splits "train" and "test", and on "val" where labels were left for validation. For each
    test image that was taken for a wrong class, ``nearest`` holds the place of the training image that is nearest.
    """
    split = trained.split
    disk.write_tensors(folder / WEIGHTS, trained.model.state_dict())
    disk.write_csv(folder / "history.csv", trained.result.history)
    disk.write_json(folder / "split.json", describe_split(split, dataset.train))
    predicted = {name: found.predictions.numpy() for name, found in errors.items()}
    sureness = {
        "val_probability": answers.judged.probability,
        "val_right": answers.judged.right,
        "test_probability_before": answers.tested_before.probability,
        "test_probability": answers.tested.probability,
    }
    save_predictions(folder, split, predicted, dataset, sureness)
    train = dataset.train
    further = {
        "probability": answers.tested.probability[~answers.tested.right].tolist(),
        "nearest_labelled": source_names(train, nearest),
        "nearest_class": [train.class_names[train.labels[place]] for place in nearest.tolist()],
    }
    save_mistakes(folder, predicted["test"], dataset.test, further)
    disk.write_json(folder / METRICS, metrics)


def save_predictions(
    folder: Path,
    split: LabelSplit,
    predicted: Mapping[str, Classes],
    dataset: Dataset,
    sureness: Mapping[str, npt.NDArray[Any]] | None = None,
) -> None:
    """Write the predicted classes of the images "train" and "test", and of "val" where there are any.

    A cell has further arrays, ``sureness``, by their names in predictions.npz; a baseline has none.
    """
    test = dataset.test
    arrays: Any = {
        "train_index": split.train,
        "val_index": split.val,
        "train_pred": predicted["train"],
        "val_pred": predicted.get("val", np.empty(0, dtype=np.int64)),
        "test_pred": predicted["test"],
        "test_label": test.labels.numpy(),
        "test_name": np.array(source_names(test, range(len(test))), dtype=np.str_),
        **(sureness or {}),
    }
    np.savez_compressed(folder / PREDICTIONS, **arrays)


def save_mistakes(
    folder: Path, predicted: Classes, test: ImageData, further: Mapping[str, Sequence[object]] | None = None
) -> None:
    """Write which files or rows of the test set were taken for a wrong class, into the folder of a cell or a baseline.

    A cell has further columns by their names, a value for each mistake; a baseline has none.
    """
    labels, further = test.labels.numpy(), further or {}
    wrong = np.flatnonzero(predicted != labels)
    mistakes: list[Mapping[str, object]] = [
        {
            "index": index,
            "name": name,
            "class": test.class_names[labels[index]],
            "predicted": test.class_names[predicted[index]],
            **{column: values[number] for column, values in further.items()},
        }
        for number, (index, name) in enumerate(zip(wrong.tolist(), source_names(test, wrong), strict=True))
    ]
    disk.write_csv(folder / MISTAKES, mistakes, ("index", "name", "class", "predicted", *further))


def source_names(images: ImageData, places: Iterable[int]) -> list[str]:
    """Return where the images at some places come from: names of files, or rows in the source; else the places."""
    names = images.names or range(len(images))
    return [str(names[place]).encode("utf-8", "backslashreplace").decode() for place in places]  # any bytes are a name


def read_tested(folder: Path) -> tuple[Classes, Classes]:
    """Return the class that a cell or a baseline took each test image for, and its true one, each (test images,)."""
    with np.load(folder / PREDICTIONS, allow_pickle=False) as stored:
        return stored["test_pred"].astype(np.int64), stored["test_label"].astype(np.int64)


def read_answers(folder: Path) -> CellAnswers:
    """Read how sure a trained cell was of its answers, and whether they were right."""
    from pipeline.evaluation.calibration import Answers

    with np.load(folder / PREDICTIONS, allow_pickle=False) as stored:
        right = stored["test_pred"] == stored["test_label"]
        return CellAnswers(
            judged=Answers(stored["val_probability"], stored["val_right"]),
            tested_before=Answers(stored["test_probability_before"], right),
            tested=Answers(stored["test_probability"], right),
        )


def describe_split(split: LabelSplit, images: ImageData) -> dict[str, SeenLabels]:
    """Return which labels were trained on ("train"), and which ones chose the measurement to keep ("val")."""
    return {
        name: {
            "index": index.tolist(),
            "name": source_names(images, index),
            "sha256": hashlib.sha256(images.images[index].numpy().tobytes()).hexdigest(),
        }
        for name, index in (("train", split.train), ("val", split.val))
    }
