"""What the report is written from: the files of earlier stages, read into plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.modes import MODES
from pipeline.store import disk, runs, test_access
from pipeline.store.test_access import Looks

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """One cell: how it learnt, and what it said of the test images.

    Attributes:
        labels: Label budget.
        mode: Key of ``MODES``.
        seed: Which draw of the labels.
        cell: The cell's folder, relative to the experiment's.
        best_epoch: The epoch whose weights were kept.
        stopped_epoch: The last epoch trained.
        e_in: Error on the training labels after epoch 1, 2, ...
        e_val: Error on the validation labels after the same epochs.
        predictions: Class of each test image.
        chosen: Which of the settings that it tried, from 0; None where there was nothing to choose.
    """

    labels: int
    mode: str
    seed: int
    cell: str
    best_epoch: int
    stopped_epoch: int
    e_in: tuple[float, ...]
    e_val: tuple[float, ...]
    predictions: Counts
    chosen: int | None


@dataclass(frozen=True)
class Evidence:
    """Everything that earlier stages wrote and the report speaks of.

    Attributes:
        settings: The resolved experiment, as plain JSON types.
        card: What stage data found.
        comparison: What stage compare found.
        rows: results.csv, one row a run; every value as the text that stands there.
        cells: Every run of a mode, in the order of results.csv; those of the classical baselines are in ``rows`` alone.
        truth: Class of each test image.
        cell: Manifest of the grid's first cell.
        pretrained: Manifest of the pretrained encoder; None where no mode of the grid starts from one.
        losses: The pretraining's history.csv by column; empty where there is none.
        verdicts: Of the studies made of the same images, each with its folder.
        looks: Who looked at the test set.
    """

    settings: dict[str, Any]
    card: dict[str, Any]
    comparison: dict[str, Any]
    rows: list[dict[str, str]]
    cells: list[Run]
    truth: Counts
    cell: dict[str, Any]
    pretrained: dict[str, Any] | None
    losses: dict[str, list[float]]
    verdicts: list[tuple[Path, dict[str, Any]]]
    looks: Looks

    @property
    def cross_validates(self) -> bool:
        """Whether the epochs were chosen by a cross-validation."""
        return bool(self.settings["train"]["validation"] == "kfold")

    @property
    def firsts(self) -> list[Run]:
        """The first draw of each mode at each budget."""
        return [cell for cell in self.cells if cell.seed == self.cells[0].seed]

    def summary(self, labels: int, mode: str) -> dict[str, Any]:
        """What the comparison says of a mode at a budget."""
        found: list[dict[str, Any]] = self.comparison["summary"]
        return next(row for row in found if (row["labels"], row["mode"]) == (labels, mode))

    def confusion(self, labels: int, mode: str) -> Counts:
        """Counts over all draws, shape (classes, classes): true class by row, predicted by column."""
        classes = len(self.card["classes"])
        counts = np.zeros((classes, classes), dtype=np.int64)
        for cell in self.cells:
            if (cell.labels, cell.mode) == (labels, mode):
                np.add.at(counts, (self.truth, cell.predictions), 1)
        return counts


def read(
    folder: Path,
    settings: dict[str, Any],
    card: dict[str, Any],
    comparison: dict[str, Any],
    truth: Counts,
    pretrained: Path | None,
    verdicts: Sequence[Path],
) -> Evidence:
    """Read what lies in an experiment's folder.

    Args:
        folder: The experiment's folder, with results.csv in it.
        settings: The resolved experiment.
        card: What stage data found.
        comparison: What stage compare found.
        truth: Class of each test image.
        pretrained: Folder of the pretrained encoder, if the grid uses one.
        verdicts: verdict.json of each study to be told of.

    Raises:
        PipelineError: A file is missing or is not the one that its stage wrote.
    """
    rows = disk.read_rows(folder / "results.csv")
    of_modes = [row for row in rows if row["mode"] in MODES]
    manifests = [_manifest(folder / row["cell"], "compare") for row in of_modes]
    return Evidence(
        settings=settings,
        card=card,
        comparison=comparison,
        rows=rows,
        cells=[_run(folder, row, manifest["outcome"]) for row, manifest in zip(of_modes, manifests, strict=True)],
        truth=truth,
        cell=manifests[0],
        pretrained=_manifest(pretrained, "pretrain") if pretrained else None,
        losses=disk.read_columns(pretrained / "history.csv") if pretrained else {},
        verdicts=[(path.parent, _verdict(path)) for path in verdicts],
        looks=test_access.read(folder, card["sha256"]),
    )


def _verdict(path: Path) -> dict[str, Any]:
    """A study's verdict, after the files that it vouches for were checked."""
    return runs.read_record(path, "run `make study` again")


def _manifest(folder: Path, stage: str) -> dict[str, Any]:
    """The manifest, after every file of the artefact was checked against it."""
    return runs.open_artefact(folder, f"run `make {stage}` again")


def _run(folder: Path, row: dict[str, str], outcome: dict[str, Any]) -> Run:
    history = disk.read_columns(folder / row["cell"] / "history.csv")
    with np.load(folder / row["cell"] / "predictions.npz", allow_pickle=False) as stored:
        predictions = stored["test_pred"].astype(np.int64)
    return Run(
        labels=int(row["labels"]),
        mode=row["mode"],
        seed=int(row["seed"]),
        cell=row["cell"],
        best_epoch=int(row["best_epoch"]),
        stopped_epoch=int(row["stopped_epoch"]),
        e_in=tuple(history["e_in"]),
        e_val=tuple(history["e_val"]),
        predictions=predictions,
        chosen=outcome.get("chosen"),
    )
