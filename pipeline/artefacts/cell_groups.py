"""The cells of a grid in groups of one mode and budget, and what these say: the rows of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.artefacts import cell_files, encoder
from pipeline.artefacts.cell import Cell
from pipeline.artefacts.grid import Entry
from pipeline.artefacts.results import (
    QUANTITIES,
    BoughtBudget,
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
from pipeline.evaluation.bought import PLAIN, purchases
from pipeline.evaluation.per_class import balancing_weights
from pipeline.evaluation.statistics import clopper_pearson, hoeffding, mean_interval, paired_difference
from pipeline.modes import BASELINES, find_mode, in_order


@dataclass(frozen=True)
class Group:
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


def grouped(config: Experiment, grid: Sequence[Entry]) -> list[Group]:
    """Group the grid's entries by budget and mode, in the order of results.csv."""
    groups: dict[tuple[int, str], list[Entry]] = {}
    for entry in grid:
        groups.setdefault((entry.labels, entry.mode), []).append(entry)
    return [_group(config, own) for own in groups.values()]


def _group(config: Experiment, own: Sequence[Entry]) -> Group:
    rows = [_row(config, entry) for entry in own]
    encoders = len(rows) // config.grid.draws
    tested = [cell_files.read_tested(config.folder / row["cell"]) for row in rows]
    _, truth = tested[0]
    wrong = np.reshape([predicted != true for predicted, true in tested], (-1, encoders, len(truth)))
    e_in = np.reshape([row["e_in"] for row in rows], (-1, encoders, 1))
    return Group(rows, e_in, truth, wrong)


def _row(config: Experiment, entry: Entry) -> ResultRow:
    cell = entry.artefact()
    metrics = cell.open()["outcome"]
    e_val = metrics["e_val"]
    pretrained = isinstance(entry, Cell) and find_mode(entry.mode).pretrained
    return {
        "dataset": config.data.title,
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


def summary(group: Group) -> SummaryRow:
    """Return the errors of a group over all draws, and those of its first cell alone."""
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
    return interval_record(mean_interval(values))


def paired(groups: Sequence[Group], margin: float) -> list[PairedRow]:
    """Return the differences of every two modes at each budget; a share up to the margin counts as none."""
    found = {(group.labels, group.mode): group for group in groups if group.mode not in BASELINES}
    differences: list[PairedRow] = []
    for labels in sorted({budget for budget, _ in found}):
        for first, second in _pairs([mode for budget, mode in found if budget == labels]):
            for quantity in QUANTITIES:
                a, b = (found[labels, mode].errors(quantity) for mode in (first, second))
                differences.append(
                    {
                        **paired_figures(paired_difference(a, b, margin)),
                        "labels": labels,
                        "first": first,
                        "second": second,
                        "quantity": quantity,
                    }
                )
    return differences


def bought(groups: Sequence[Group], without: Sequence[Group]) -> list[BoughtBudget]:
    """Estimate what images without labels and the invariances gain, at each budget where the grid allows it."""
    found: list[BoughtBudget] = []
    for labels in sorted({group.labels for group in groups}):
        own = [group for group in groups if group.labels == labels]
        tables = {group.mode: group.wrong for group in own}
        tables |= {group.mode + PLAIN: group.wrong for group in without if group.labels == labels}
        during = [group.mode for group in own if group.mode not in BASELINES and find_mode(group.mode).spreads_labels]
        gains: list[GainRow] = [
            {
                "what": each.what,
                "without": each.without,
                "having": each.having,
                "gain": interval_record(each.gain.interval()),
            }
            for each in purchases(tables, during)
        ]
        plain = {group.mode: _interval(group.wrong) for group in without if group.labels == labels}
        if gains:
            found.append({"labels": labels, "gains": gains, "plain": plain})
    return found


def _pairs(modes: Iterable[str]) -> list[tuple[str, str]]:
    """Return every pair of modes, in the order of the table of modes, with scratch last.

    So a difference reads as a gain or loss against scratch.
    """
    order = sorted(in_order(modes), key=lambda mode: mode == "scratch")
    return [(first, second) for place, second in enumerate(order) for first in order[:place]]
