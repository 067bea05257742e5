"""The cost of a grid: a model of the seconds of a cell, fitted to a results.csv and tested on rows it has not seen.

    python -m benchmarks.cost docs/label_efficiency.csv

A cell takes a fixed time (reading, measuring, predicting the test images) and a time for every step of its training.
Both are fitted, mode by mode, on all budgets but the largest, which is predicted. Modes whose trainings have as many
steps at every budget, and heads that are fitted to convergence, have a mean time only.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.modes import BASELINES


class Fit(NamedTuple):
    """Seconds of a cell of one mode: fixed + rate x steps.

    Attributes:
        fixed: Seconds.
        rate: Seconds a step; 0 where the number of steps is the same at every budget, or there are none.
        predicted: Mean seconds of a cell at the largest budget, which the fit has not seen.
        measured: The same, as recorded.
    """

    fixed: float
    rate: float
    predicted: float
    measured: float


def fit(rows: list[dict[str, str]]) -> dict[str, Fit]:
    """Fit the model of each mode of a results.csv, without the classical baselines.

    Raises:
        SystemExit: If there are not two label budgets, the larger of which can be predicted.
    """
    if len({row["labels"] for row in rows}) < 2:
        raise SystemExit("labels: there is one budget only; expected two or more, of which the largest is predicted")
    cells = defaultdict(list)
    for row in rows:
        if row["mode"] not in BASELINES:
            steps = float(row["last"]) if row["unit"] == "step" else 0.0
            cells[row["mode"]].append((int(row["labels"]), steps, float(row["seconds"])))
    return {mode: _fit(np.array(measured)) for mode, measured in sorted(cells.items())}


def _fit(measured: npt.NDArray[np.float64]) -> Fit:
    labels, steps, seconds = measured.T
    held_out = labels == labels.max()
    # seconds spread in proportion to themselves: relative errors are squared
    columns = [np.ones_like(steps)] if np.ptp(steps) == 0 else [np.ones_like(steps), steps]
    design = np.stack(columns, axis=1)[~held_out] / seconds[~held_out, None]
    fixed, rate = [*np.linalg.lstsq(design, np.ones(len(design)))[0], 0.0][:2]
    return Fit(fixed, rate, float(fixed + rate * steps[held_out].mean()), float(seconds[held_out].mean()))


def table(rows: list[dict[str, str]]) -> str:
    """Write the fits as rows of Markdown."""
    lines = [
        "| mode | fixed, s | a step, ms | a cell at the largest budget: predicted | measured |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {mode} | {found.fixed:.1f} | {1000 * found.rate:.1f} | {found.predicted:.1f} s | {found.measured:.1f} s |"
        for mode, found in fit(rows).items()
    ]
    hours = sum(float(row["seconds"]) for row in rows) / 3600
    return "\n".join([*lines, "", f"{len(rows)} cells, {hours:.2f} hours of one process."])


if __name__ == "__main__":
    with Path(sys.argv[1]).open(newline="") as file:
        print(table(list(csv.DictReader(file))))
