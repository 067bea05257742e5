"""What the report is written from: the files of earlier stages, read into plain values."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import runs
from pipeline.errors import PipelineError
from pipeline.modes import MODES


@dataclass(frozen=True)
class Curve:
    """How one cell learnt.

    Attributes:
        labels: Label budget.
        mode: Key of ``MODES``.
        cell: The cell's folder, relative to the experiment's.
        best_epoch: The epoch whose weights were kept.
        stopped_epoch: The last epoch trained.
        e_in: Error on the training labels after epoch 1, 2, ...
        e_val: Error on the validation labels after the same epochs.
    """

    labels: int
    mode: str
    cell: str
    best_epoch: int
    stopped_epoch: int
    e_in: tuple[float, ...]
    e_val: tuple[float, ...]


@dataclass(frozen=True)
class Evidence:
    """Everything that earlier stages wrote and the report speaks of.

    Attributes:
        settings: The resolved experiment, as plain JSON types.
        card: What stage data found.
        comparison: What stage compare found.
        rows: results.csv, one row a run; every value as the text that stands there.
        curves: The first draw of each mode at each budget.
        cell: Manifest of the grid's first cell.
        pretrained: Manifest of the pretrained encoder; None where no mode of the grid starts from one.
        losses: The pretraining's history.csv by column; empty where there is none.
        verdicts: Of the studies made of the same images, each with its folder.
    """

    settings: dict[str, Any]
    card: dict[str, Any]
    comparison: dict[str, Any]
    rows: list[dict[str, str]]
    curves: list[Curve]
    cell: dict[str, Any]
    pretrained: dict[str, Any] | None
    losses: dict[str, list[float]]
    verdicts: list[tuple[Path, dict[str, Any]]]

    @property
    def cross_validates(self) -> bool:
        """Whether the epochs were chosen by a cross-validation."""
        return bool(self.settings["train"]["validation"] == "kfold")


def read(
    folder: Path,
    settings: dict[str, Any],
    card: dict[str, Any],
    comparison: dict[str, Any],
    pretrained: Path | None,
    verdicts: Sequence[Path],
) -> Evidence:
    """Read what lies in an experiment's folder.

    Args:
        folder: The experiment's folder, with results.csv in it.
        settings: The resolved experiment.
        card: What stage data found.
        comparison: What stage compare found.
        pretrained: Folder of the pretrained encoder, if the grid uses one.
        verdicts: verdict.json of each study to be told of.

    Raises:
        PipelineError: A file is missing or is not the one that its stage wrote.
    """
    rows = _rows(folder / "results.csv")
    firsts = [row for row in rows if row["mode"] in MODES and row["seed"] == rows[0]["seed"]]
    manifests = [_manifest(folder / row["cell"], "compare") for row in firsts]
    return Evidence(
        settings=settings,
        card=card,
        comparison=comparison,
        rows=rows,
        curves=[_curve(folder, row) for row in firsts],
        cell=manifests[0],
        pretrained=_manifest(pretrained, "pretrain") if pretrained else None,
        losses=runs.read_columns(pretrained / "history.csv") if pretrained else {},
        verdicts=[(path.parent, _verdict(path)) for path in verdicts],
    )


def _verdict(path: Path) -> dict[str, Any]:
    """A study's verdict, after the files that it vouches for were checked."""
    verdict: dict[str, Any] = runs.read_json(path, "run `make study` again")
    if not runs.vouches(path, verdict["fingerprint"]):
        raise PipelineError(f"{path.parent} holds other files than its verdict speaks of; run `make study` again")
    return verdict


def _manifest(folder: Path, stage: str) -> dict[str, Any]:
    """The manifest, after every file of the artefact was checked against it."""
    return runs.open_artefact(folder, f"run `make {stage}` again")


def _curve(folder: Path, row: dict[str, str]) -> Curve:
    history = runs.read_columns(folder / row["cell"] / "history.csv")
    return Curve(
        labels=int(row["labels"]),
        mode=row["mode"],
        cell=row["cell"],
        best_epoch=int(row["best_epoch"]),
        stopped_epoch=int(row["stopped_epoch"]),
        e_in=tuple(history["e_in"]),
        e_val=tuple(history["e_val"]),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise PipelineError(f"{path} cannot be read ({error}); run `make compare` again") from error
    if not rows:
        raise PipelineError(f"{path} holds no rows; delete it and run its stage again")
    return rows
