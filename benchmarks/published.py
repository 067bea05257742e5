"""The errors of a published results.csv, computed anew from its cells.

    python -m benchmarks.published docs/label_efficiency_cpu.csv

E_out in %, mean ± half of the 95 % interval, the worst cell in brackets; then the paired differences between modes. The
intervals count draws of the labels and, where there are several, seeds of pretraining. They do not count test images,
which need each cell's predictions; so they are a little narrower than those of a report.
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.crossed import Interval
from pipeline.evaluation.statistics import mean_interval, paired_difference
from pipeline.modes import BASELINES, in_order

Errors = dict[tuple[str, int], npt.NDArray[np.float64]]  # by mode and budget: % of draws x encoders x 1


def read_errors(path: Path) -> dict[str, Errors]:
    """Read E_out of every cell, by the data set and the way in which labels were drawn."""
    cells: dict[tuple[str, str, int], dict[tuple[int, str], float]] = defaultdict(dict)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["mode"] not in BASELINES:
                group = f"{row['dataset']}, {row['sampling']} draws"
                cells[group, row["mode"], int(row["labels"])][int(row["seed"]), row["encoder"]] = float(row["e_out"])
    found: dict[str, Errors] = defaultdict(dict)
    for (group, mode, labels), errors in cells.items():
        draws, encoders = (sorted(set(values)) for values in zip(*errors, strict=True))
        table = [[[100 * errors[draw, encoder]] for encoder in encoders] for draw in draws]
        found[group][mode, labels] = np.array(table)
    return dict(found)


def lines(errors: Errors) -> list[str]:
    """Return the errors and differences of one data set as rows of Markdown."""
    budgets = sorted({labels for _, labels in errors})
    modes = in_order({mode for mode, _ in errors})
    rows = [f"| | {' | '.join(map(str, budgets))} |", f"|---|{'---:|' * len(budgets)}"]
    for mode in modes:
        texts = [_error(errors[mode, labels]) if (mode, labels) in errors else "" for labels in budgets]
        rows.append(f"| `{mode}` | {' | '.join(texts)} |")
    for first, second in itertools.combinations(modes, 2):
        texts = [_difference(errors, first, second, labels) for labels in budgets]
        rows.append(f"| `{first}` minus `{second}` | {' | '.join(texts)} |")
    return rows


def _error(table: npt.NDArray[np.float64]) -> str:
    return f"{_show(mean_interval(table))} ({table.max():.2f})"


def _difference(errors: Errors, first: str, second: str, labels: int) -> str:
    if (first, labels) not in errors or (second, labels) not in errors:
        return ""
    one, other = errors[first, labels], errors[second, labels]
    if 1 not in (one.shape[1], other.shape[1]) and one.shape != other.shape:  # one of them lacks cells of an encoder
        one, other = one.mean(1, keepdims=True), other.mean(1, keepdims=True)
    return _show(paired_difference(one, other).difference)


def _show(found: Interval) -> str:
    half = "" if found.high is None else f" ± {found.high - found.mean:.2f}"
    return f"{found.mean:.2f}{half}"


def main(files: Sequence[str]) -> None:
    """Print the tables of each file."""
    for name in files:
        for group, errors in read_errors(Path(name)).items():
            print("\n".join([f"{name}: {group}", "", *lines(errors), ""]))


if __name__ == "__main__":
    main(sys.argv[1:])
