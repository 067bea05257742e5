"""The comparison of the grid's cells: results.csv and comparison.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artefacts import cell_files, encoder
from pipeline.artefacts.cell import CELLS, Cell
from pipeline.artefacts.grid import Entry, ablated, entries
from pipeline.artefacts.results import (
    QUANTITIES,
    BoughtBudget,
    Comparison,
    GainRow,
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
from pipeline.store import disk, provenance
from pipeline.store.fingerprints import fingerprint
from pipeline.store.records import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RESULTS, ABLATION, COMPARISON = "results.csv", "ablation.csv", "comparison.json"
LEVEL = 0.95  # the level of all intervals


# --- reading it -----------------------------------------------------------------------------------------------


def load(config: Experiment) -> Comparison:
    """Read the finished comparison.

    Raises:
        PipelineError: If stage compare has not run with these settings.
    """
    path = config.folder / COMPARISON
    if path.exists():
        comparison, _ = read(config.folder)
        if comparison["fingerprint"] == _fingerprint(config, entries(config)):
            return comparison
    raise PipelineError(
        f"{path} is missing or belongs to other settings; run `{command('compare')}` with the same settings first"
    )


def find(config: Experiment) -> Comparison | None:
    """Return the finished comparison if it was made with these settings and no file was changed; else None."""
    return _record(config.folder).find(_fingerprint(config, entries(config)))


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
    """Return the summary of the mode and budget of the cell whose folder has this name.

    It is None if the experiment's folder holds no comparison, or the cell is not part of it.

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


def _fingerprint(config: Experiment, grid: Sequence[Entry]) -> str:
    """Return the fingerprint of a comparison; it takes moments, so any change of the source makes it again."""
    inputs = [entry.inputs for entry in (*grid, *ablated(config))]
    source = provenance.source_sha256()
    return fingerprint({"stage": "compare", "cells": inputs, "margin": config.grid.margin, "source": source})


# --- making it ------------------------------------------------------------------------------------------------


def write(config: Experiment) -> Comparison:
    """Compare the entries of the grid, which are all trained; write results.csv and comparison.json.

    Raises:
        PipelineError: If an entry is missing or was changed, or the folder cannot be written.
    """
    from pipeline.artefacts.arm_health import examine_arms
    from pipeline.evaluation.per_class import unevenness

    grid = entries(config)
    groups = _grouped(config, grid)
    without = _grouped(config, ablated(config))
    comparison: Comparison = {
        "dataset": config.data.dataset,
        "pretraining": encoder.describe(config),
        "level": LEVEL,
        "draws": config.grid.draws,
        "encoders": config.grid.encoders,
        "margin": config.grid.margin / 100,
        "unevenness": unevenness(groups[0].truth),
        "summary": [_summary(group) for group in groups],
        "paired": _paired(groups, config.grid.margin / 100),
        "flags": examine_arms(config.folder, [group.rows for group in groups]),
        "bought": _bought(groups, without),
    }
    files = {RESULTS: disk.as_csv([row for group in groups for row in group.rows])}
    if without:
        files[ABLATION] = disk.as_csv([row for group in without for row in group.rows])
    return _record(config.folder).write(_fingerprint(config, grid), comparison, files)


@dataclass(frozen=True)
class _Group:
    """All cells of a mode, or of a classical baseline, at a label budget.

    Attributes:
        rows: The cells' lines of results.csv, by draw and encoder.
        e_in: E_in of each cell, shape (draws, encoders, 1): every draw has training images of its own.
        truth: The class of each test image, shape (test images,).
        wrong: Whether each test image was taken for a wrong class, shape (draws, encoders, test images).
    """

    rows: list[ResultRow]
    e_in: npt.NDArray[np.float64]
    truth: npt.NDArray[np.int64]
    wrong: npt.NDArray[np.bool_]

    @property
    def labels(self) -> int:
        """The label budget."""
        return self.rows[0]["labels"]

    @property
    def mode(self) -> str:
        """The name of the mode or the baseline."""
        return self.rows[0]["mode"]

    def errors(self, quantity: Quantity) -> npt.NDArray[Any]:
        """Return the table of an error, shape (draws, encoders, images), or (draws, encoders, 1) for E_in."""
        return self.e_in if quantity == "e_in" else self.wrong


def _grouped(config: Experiment, grid: Sequence[Entry]) -> list[_Group]:
    """Group the grid's entries by budget and mode, in the order of results.csv."""
    groups: dict[tuple[int, str], list[Entry]] = {}
    for entry in grid:
        groups.setdefault((entry.labels, entry.mode), []).append(entry)
    return [_group(config, own) for own in groups.values()]


def _group(config: Experiment, own: Sequence[Entry]) -> _Group:
    import numpy as np

    rows = [_row(config, entry) for entry in own]
    encoders = len(rows) // config.grid.draws
    wrong = np.stack([cell_files.read_mistakes(config.folder / row["cell"]) for row in rows])
    e_in = np.array([row["e_in"] for row in rows])
    truth = cell_files.read_truth(config.folder / rows[0]["cell"])
    return _Group(
        rows, e_in.reshape(-1, encoders, 1), truth, wrong.reshape(config.grid.draws, encoders, wrong.shape[1])
    )


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
        "sampling": config.grid.sampling,
        "encoder": entry.config.pretrain.seed if pretrained else "",
        "n_train": metrics["e_in"]["n"],
        "n_val": e_val["n"] if e_val else 0,
        "n_test": metrics["e_out"]["n"],
        "e_in": metrics["e_in"]["error"],
        "e_val": e_val["error"] if e_val else "",
        "e_out": metrics["e_out"]["error"],
        "balanced_error": metrics["classes"]["balanced_error"],
        "macro_f1": metrics["classes"]["macro_f1"],
        "unit": metrics.get("unit", ""),
        "kept": metrics["kept"],
        "last": metrics["last"],
        "seconds": metrics["seconds"],
        "cell": str(cell.folder.relative_to(config.folder)),
    }


def _summary(group: _Group) -> SummaryRow:
    from pipeline.evaluation.per_class import balancing_weights
    from pipeline.evaluation.statistics import clopper_pearson, hoeffding

    first, draws = group.rows[0], len(group.e_in)
    errors = round(first["e_out"] * first["n_test"])
    return {
        "labels": group.labels,
        "mode": group.mode,
        "draws": draws,
        "encoders": len(group.rows) // draws,
        "n_train": first["n_train"],
        "n_val": first["n_val"],
        "e_in": _interval(group.e_in),
        "e_out": _interval(group.wrong),
        "gap": _interval(group.wrong - group.e_in),
        "balanced": _interval(group.wrong * balancing_weights(group.truth)),
        "one_run": {
            "cell": first["cell"],
            "errors": errors,
            "n": first["n_test"],
            "clopper_pearson": clopper_pearson(errors, first["n_test"]),
            "hoeffding": hoeffding(errors, first["n_test"]),
        },
    }


def _interval(values: npt.NDArray[Any]) -> IntervalRecord:
    from pipeline.evaluation.statistics import mean_interval

    return interval_record(mean_interval(values, LEVEL))


def _paired(groups: Sequence[_Group], margin: float) -> list[PairedRow]:
    from pipeline.evaluation.statistics import paired_difference

    found = {(group.labels, group.mode): group for group in groups if group.mode in MODES}
    differences: list[PairedRow] = []
    for labels in sorted({budget for budget, _ in found}):
        for first, second in _pairs([mode for budget, mode in found if budget == labels]):
            for quantity in QUANTITIES:
                a, b = (found[labels, mode].errors(quantity) for mode in (first, second))
                differences.append(
                    {
                        **paired_figures(paired_difference(a, b, LEVEL, margin)),
                        "labels": labels,
                        "first": first,
                        "second": second,
                        "quantity": quantity,
                    }
                )
    return differences


def _bought(groups: Sequence[_Group], without: Sequence[_Group]) -> list[BoughtBudget]:
    """Estimate what images without labels and the invariances gain, at each budget where the grid allows it."""
    from pipeline.evaluation.bought import PLAIN, purchases

    found: list[BoughtBudget] = []
    for labels in sorted({group.labels for group in groups}):
        tables = {group.mode: group.wrong for group in groups if group.labels == labels}
        tables |= {group.mode + PLAIN: group.wrong for group in without if group.labels == labels}
        gains: list[GainRow] = [
            {
                "what": each.what,
                "without": each.without,
                "having": each.having,
                "gain": interval_record(each.gain.interval(LEVEL)),
            }
            for each in purchases(tables, [mode for mode in tables if _uses_unlabelled(mode)])
        ]
        plain = {group.mode: _interval(group.wrong) for group in without if group.labels == labels}
        if gains:
            found.append({"labels": labels, "gains": gains, "plain": plain})
    return found


def _uses_unlabelled(mode: str) -> bool:
    """Whether a mode learns from images without labels while the classifier is trained."""
    return mode in MODES and (find_mode(mode).spreads_labels or find_mode(mode).consistency)


def _pairs(modes: Iterable[str]) -> list[tuple[str, str]]:
    """Return every pair of modes, in the order of the table of modes, with scratch last.

    So a difference reads as a gain or loss against scratch.
    """
    order = sorted(in_order(modes), key=lambda mode: mode == "scratch")
    return [(first, second) for place, second in enumerate(order) for first in order[:place]]
