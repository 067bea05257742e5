"""The comparison: what the grid says, as results.csv and comparison.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.artefacts import encoder
from pipeline.artefacts.cell import CELLS, Cell
from pipeline.artefacts.grid import Entry, entries
from pipeline.artefacts.results import (
    Comparison,
    IntervalRecord,
    PairedRow,
    Quantity,
    ResultRow,
    SummaryRow,
    interval_record,
    paired_figures,
)
from pipeline.config import Experiment
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.modes import MODES, find_mode, in_order
from pipeline.store import disk
from pipeline.store.fingerprints import fingerprint
from pipeline.store.records import Record

RESULTS, COMPARISON = "results.csv", "comparison.json"
QUANTITIES: tuple[Quantity, ...] = ("e_in", "e_out")
LEVEL = 0.95  # of all intervals


# --- reading it -----------------------------------------------------------------------------------------------


def load(config: Experiment) -> Comparison:
    """Read the finished comparison.

    Raises:
        PipelineError: If stage compare has not run with these settings.
    """
    path = config.folder / COMPARISON
    if path.exists():
        comparison, _ = read(config.folder)
        if comparison["fingerprint"] == _fingerprint(entries(config)):
            return comparison
    raise PipelineError(
        f"{path} is missing or belongs to other settings; run `{command('compare')}` with the same settings first"
    )


def find(config: Experiment) -> Comparison | None:
    """The finished comparison, if it was made with these settings and is whole; else None."""
    return _record(config.folder).find(_fingerprint(entries(config)))


def read(folder: Path) -> tuple[Comparison, list[dict[str, str]]]:
    """Read the comparison in an experiment's folder, whatever its settings were, and the rows of results.csv.

    Raises:
        PipelineError: If there is none, or one of the two files was changed.
    """
    return _record(folder).read(), disk.read_rows(folder / RESULTS)


def _record(folder: Path) -> Record[Comparison]:
    path = folder / COMPARISON
    missing, changed = f"run `{command('compare')}` for it first", f"delete {path} and run `{command('compare')}` again"
    return Record(path, changed if path.exists() else missing)


def find_summary(folder: Path, cell: str) -> SummaryRow | None:
    """What the comparison in an experiment's folder says of a cell's mode and budget; None if it does not hold it.

    Args:
        folder: The experiment's folder.
        cell: Name of the cell's folder.

    Raises:
        PipelineError: If the comparison was changed.
    """
    if not (folder / COMPARISON).exists():
        return None
    comparison, rows = read(folder)
    for row in rows:
        if row["cell"] == f"{CELLS}/{cell}":
            meant = (int(row["labels"]), row["mode"])
            return next(entry for entry in comparison["summary"] if (entry["labels"], entry["mode"]) == meant)
    return None


def _fingerprint(grid: Sequence[Entry]) -> str:
    """What a comparison of these entries is recognised by."""
    return fingerprint({"stage": "compare", "cells": [entry.inputs for entry in grid]})


# --- making it ------------------------------------------------------------------------------------------------


def write(config: Experiment) -> Comparison:
    """Compare the entries of the grid, which are all trained; write results.csv and comparison.json.

    Raises:
        PipelineError: If an entry is missing or was changed, or the folder cannot be written.
    """
    grid = entries(config)
    rows = [_row(config, entry) for entry in grid]
    comparison: Comparison = {
        "dataset": config.data.dataset,
        "pretraining": encoder.describe(config),
        "level": LEVEL,
        "draws": config.grid.draws,
        "summary": _summaries(rows),
        "paired": _paired(rows),
    }
    files = {RESULTS: disk.as_csv(rows)}
    return _record(config.folder).write(_fingerprint(grid), comparison, files)


def _row(config: Experiment, entry: Entry) -> ResultRow:
    cell = entry.artefact()
    metrics = cell.open()["outcome"]
    e_val = metrics["e_val"]
    pretrained = isinstance(entry, Cell) and find_mode(entry.mode).pretrained
    return {
        "dataset": config.data.dataset,
        "pretraining": encoder.describe(config) if pretrained else "none",
        "mode": entry.mode,
        "labels": entry.labels,
        "seed": entry.seed,
        "n_train": metrics["e_in"]["n"],
        "n_val": e_val["n"] if e_val else 0,
        "n_test": metrics["e_out"]["n"],
        "e_in": metrics["e_in"]["error"],
        "e_val": e_val["error"] if e_val else "",
        "e_out": metrics["e_out"]["error"],
        "best_epoch": metrics["best_epoch"],
        "stopped_epoch": metrics["stopped_epoch"],
        "seconds": metrics["seconds"],
        "cell": str(cell.folder.relative_to(config.folder)),
    }


def _summaries(rows: Sequence[ResultRow]) -> list[SummaryRow]:
    return [_summary(labels, mode, group) for (labels, mode), group in _grouped(rows).items()]


def _summary(labels: int, mode: str, group: Sequence[ResultRow]) -> SummaryRow:
    from pipeline.evaluation.statistics import clopper_pearson, hoeffding

    first = group[0]
    errors = round(first["e_out"] * first["n_test"])
    return {
        "labels": labels,
        "mode": mode,
        "draws": len(group),
        "n_train": first["n_train"],
        "n_val": first["n_val"],
        "e_in": _interval([row["e_in"] for row in group]),
        "e_out": _interval([row["e_out"] for row in group]),
        "gap": _interval([row["e_out"] - row["e_in"] for row in group]),
        "one_run": {
            "cell": first["cell"],
            "errors": errors,
            "n": first["n_test"],
            "clopper_pearson": clopper_pearson(errors, first["n_test"]),
            "hoeffding": hoeffding(errors, first["n_test"]),
        },
    }


def _interval(values: Sequence[float]) -> IntervalRecord:
    from pipeline.evaluation.statistics import mean_interval

    return interval_record(mean_interval(values, LEVEL))


def _paired(rows: Sequence[ResultRow]) -> list[PairedRow]:
    from pipeline.evaluation.statistics import paired_difference

    groups = _grouped(rows)
    differences: list[PairedRow] = []
    for labels in sorted({row["labels"] for row in rows}):
        for first, second in _pairs([mode for budget, mode in groups if budget == labels and mode in MODES]):
            for quantity in QUANTITIES:
                a, b = ([row[quantity] for row in groups[labels, mode]] for mode in (first, second))
                differences.append(
                    {
                        **paired_figures(paired_difference(a, b, LEVEL)),
                        "labels": labels,
                        "first": first,
                        "second": second,
                        "quantity": quantity,
                    }
                )
    return differences


def _pairs(modes: Iterable[str]) -> list[tuple[str, str]]:
    """Every two modes, in the order of the table of modes; scratch last.

    A difference reads best when what is tried comes before what it is tried against.
    """
    order = sorted(in_order(modes), key=lambda mode: mode == "scratch")
    return [(first, second) for place, second in enumerate(order) for first in order[:place]]


def _grouped(rows: Sequence[ResultRow]) -> dict[tuple[int, str], list[ResultRow]]:
    """Rows by budget and mode, each group in the order of its draws."""
    groups: dict[tuple[int, str], list[ResultRow]] = {}
    for row in rows:
        groups.setdefault((row["labels"], row["mode"]), []).append(row)
    return groups
