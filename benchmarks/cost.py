"""The cost of a grid: a model of the seconds of a cell, fitted to a results.csv and held against rows it has not seen.

    python -m benchmarks.cost docs/label_efficiency.csv

A cell takes a fixed time (reading, measuring on the test images) and a time for every image that it is trained on in
every epoch. Both are fitted, mode by mode, on all budgets but the largest, which is predicted.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.modes import find_mode


class Fit(NamedTuple):
    """Seconds of a cell of one mode: fixed + rate x labelled images trained on x epochs.

    Attributes:
        fixed: Seconds.
        rate: Seconds an image and epoch.
        predicted: Mean seconds of a cell at the largest budget, which the fit has not seen.
        measured: The same, as recorded.
    """

    fixed: float
    rate: float
    predicted: float
    measured: float


def fit(rows: list[dict[str, str]]) -> dict[str, Fit]:
    """The model of each mode that has epochs."""
    cells = defaultdict(list)
    for row in rows:
        if row["stopped_epoch"]:
            mode = find_mode(row["mode"])
            # these train on every image in every epoch, whatever the labels are
            images = 0 if mode.spreads_labels or mode.consistency else int(row["n_train"])
            cells[row["mode"]].append((int(row["labels"]), images * int(row["stopped_epoch"]), float(row["seconds"])))
    return {mode: _fit(np.array(measured)) for mode, measured in sorted(cells.items())}


def _fit(measured: npt.NDArray[np.float64]) -> Fit:
    labels, work, seconds = measured.T
    held_out = labels == labels.max()
    # seconds spread in proportion to themselves: relative errors are squared
    design = np.stack([np.ones_like(work), work], axis=1)[~held_out] / seconds[~held_out, None]
    fixed, rate = np.linalg.lstsq(design, np.ones(len(design)))[0]
    return Fit(fixed, rate, float(fixed + rate * work[held_out].mean()), float(seconds[held_out].mean()))


def table(rows: list[dict[str, str]]) -> str:
    """The fits as rows of Markdown."""
    lines = [
        "| mode | fixed, s | an image and epoch, ms | a cell at the largest budget: predicted | measured |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {mode} | {found.fixed:.1f} | {1000 * found.rate:.2f} | {found.predicted:.0f} s | {found.measured:.0f} s |"
        for mode, found in fit(rows).items()
    ]
    hours = sum(float(row["seconds"]) for row in rows) / 3600
    return "\n".join([*lines, "", f"{len(rows)} cells and baselines, {hours:.2f} core-hours."])


if __name__ == "__main__":
    with Path(sys.argv[1]).open(newline="") as file:
        print(table(list(csv.DictReader(file))))
