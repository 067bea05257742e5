"""Reads the files that earlier stages wrote into plain values, from which the report is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

from pipeline.artefacts.cell_files import read_tested
from pipeline.artefacts.metrics import CalibrationMetrics, Metrics
from pipeline.artefacts.results import Comparison, SummaryRow
from pipeline.config import Experiment, JsonObject
from pipeline.datasets.facts import Facts
from pipeline.invocation import command
from pipeline.modes import BASELINES
from pipeline.store import disk, test_access
from pipeline.store.manifest import Manifest, open_artefact
from pipeline.store.test_access import AccessCounts
from pipeline.studies.verdict import Verdict

if TYPE_CHECKING:
    from pipeline.datasets.image_data import Dataset

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MeasuredCell:
    """A finished cell: how it learnt, and what it took the test images for.

    Attributes:
        labels: Label budget.
        mode: Name of the mode.
        seed: The number of the draw of the labels.
        encoder: Seed of the pretraining that it started from; None where it started from none.
        folder: The cell's folder, relative to the experiment's.
        unit: The unit of ``places``: "step", or "l2" for a head that was fitted to convergence.
        places: The step or the strength of the penalty at each measurement.
        kept: Number of the measurement that was kept, from 0.
        stopped_early: Whether training ended before its time.
        e_in: Error on the training labels at each measurement, between 0 and 1.
        e_val: Error on the validation labels at each measurement; empty where no label was left for validation.
        predictions: The class that each test image was taken for, shape (test images,).
        temperature: The number that logits are divided by before they become probabilities.
        calibration_error: The error of its probabilities on the test images, "before" and "after" that.
        chosen: The number of the settings that it kept, from 0; None where there was nothing to choose among.
    """

    labels: int
    mode: str
    seed: int
    encoder: int | None
    folder: str
    unit: str
    places: tuple[float, ...]
    kept: int
    stopped_early: bool
    e_in: tuple[float, ...]
    e_val: tuple[float, ...]
    predictions: Counts
    temperature: float
    calibration_error: CalibrationMetrics
    chosen: int | None


@dataclass(frozen=True)
class Evidence:
    """Everything that earlier stages left and the report speaks of.

    Attributes:
        config: The experiment.
        dataset: The images.
        card: The facts that stage data found.
        comparison: The comparison that stage compare wrote.
        rows: results.csv, one row a cell or baseline; every value is the text that stands there.
        cells: All cells of modes, in the order of results.csv; the classical baselines are in ``rows`` alone.
        manifest: Manifest of the grid's first cell.
        pretrained: Manifest of the first pretrained encoder; None where no mode of the grid starts from one.
        losses: The columns of pretraining's history.csv; empty where there was no pretraining.
        verdicts: Verdicts of the studies made of the same images, each with its folder.
        test_access: How often the test set was opened, and by which cells more than once.
    """

    config: Experiment
    dataset: Dataset
    card: Facts
    comparison: Comparison
    rows: list[dict[str, str]]
    cells: list[MeasuredCell]
    manifest: Manifest[Metrics]
    pretrained: Manifest[JsonObject] | None
    losses: dict[str, list[float]]
    verdicts: Sequence[tuple[Path, Verdict]]
    test_access: AccessCounts

    @property
    def truth(self) -> Counts:
        """The class of each test image, shape (test images,)."""
        labels: Counts = self.dataset.test.labels.numpy()
        return labels

    @property
    def cross_validates(self) -> bool:
        """Whether a cross-validation chose the epochs."""
        return self.config.train.validation == "kfold"

    @property
    def validates(self) -> bool:
        """Whether labels of each budget were left out to choose by."""
        return self.config.train.validation != "none"

    @property
    def firsts(self) -> list[MeasuredCell]:
        """The first draw of each mode at each budget, with the first encoder."""
        return [cell for cell in self.cells if cell.seed == self.cells[0].seed and cell.encoder in (None, self.encoder)]

    @property
    def encoder(self) -> int:
        """Seed of the first encoder's pretraining."""
        return self.config.pretrain.seed

    def draws(self, labels: int, mode: str) -> list[MeasuredCell]:
        """Return all cells of a mode at a budget, by draw and encoder."""
        return [cell for cell in self.cells if (cell.labels, cell.mode) == (labels, mode)]

    def errors(self, labels: int, mode: str) -> npt.NDArray[np.bool_]:
        """Whether a mode's cells took each test image for a wrong class, shape (draws, encoders, test images)."""
        wrong = np.stack([cell.predictions != self.truth for cell in self.draws(labels, mode)])
        return wrong.reshape(self.config.grid.draws, -1, wrong.shape[1])

    def summary(self, labels: int, mode: str) -> SummaryRow:
        """Return the comparison's row on a mode at a budget."""
        return next(row for row in self.comparison["summary"] if (row["labels"], row["mode"]) == (labels, mode))

    def confusion(self, labels: int, mode: str) -> Counts:
        """Return counts over all draws, shape (classes, classes): true class by row, predicted class by column."""
        classes = np.arange(len(self.card["classes"]))
        draws = [confusion_matrix(self.truth, cell.predictions, labels=classes) for cell in self.draws(labels, mode)]
        counts: Counts = np.sum(draws, axis=0)
        return counts


def read(
    config: Experiment,
    dataset: Dataset,
    card: Facts,
    comparison: Comparison,
    pretrained: Path | None,
    verdicts: Sequence[tuple[Path, Verdict]],
) -> Evidence:
    """Read what lies in an experiment's folder; the arguments are those of ``Evidence`` that were read already.

    The pretrained encoder is given by its folder, if the grid uses one.

    Raises:
        PipelineError: If a file is missing or is not the one that its stage wrote.
    """
    rows = disk.read_rows(config.folder / "results.csv")
    of_modes = [row for row in rows if row["mode"] not in BASELINES]
    manifests = [_manifest(config.folder / row["cell"], "compare") for row in of_modes]
    outcomes = [manifest["outcome"] for manifest in manifests]
    return Evidence(
        config=config,
        dataset=dataset,
        card=card,
        comparison=comparison,
        rows=rows,
        cells=[_cell(config.folder, row, outcome) for row, outcome in zip(of_modes, outcomes, strict=True)],
        manifest=manifests[0],
        pretrained=_manifest(pretrained, "pretrain") if pretrained else None,
        losses=_losses(pretrained),
        verdicts=verdicts,
        test_access=test_access.count(config.folder, card["sha256"]),
    )


def _losses(pretrained: Path | None) -> dict[str, list[float]]:
    """Read the columns of the encoder's history.csv, which it has if anything was trained."""
    if pretrained is None or not (pretrained / "history.csv").exists():
        return {}
    return disk.read_columns(pretrained / "history.csv")


def _manifest(folder: Path, stage: str) -> Manifest[Any]:
    """Return the manifest, after every file of the artefact was checked against it."""
    return open_artefact(folder, f"run `{command(stage)}` again")


def _cell(folder: Path, row: dict[str, str], outcome: Metrics) -> MeasuredCell:
    history, unit = disk.read_columns(folder / row["cell"] / "history.csv"), row["unit"]
    predictions, _ = read_tested(folder / row["cell"])
    return MeasuredCell(
        labels=int(row["labels"]),
        mode=row["mode"],
        seed=int(row["seed"]),
        encoder=int(row["encoder"]) if row["encoder"] else None,
        folder=row["cell"],
        unit=unit,
        places=tuple(history[unit]),
        kept=history[unit].index(float(row["kept"])),
        stopped_early=outcome["stopped_early"],
        e_in=tuple(history["e_in"]),
        e_val=tuple(history.get("e_val", ())),
        predictions=predictions,
        temperature=outcome["temperature"],
        calibration_error=outcome["calibration_error"],
        chosen=outcome.get("chosen"),
    )
