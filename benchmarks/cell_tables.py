"""One table of what the study ``methods`` or ``choose`` found on several data sets, and one file of all cells.

    python -m benchmarks.cell_tables runs/methods-*/methods/cells.csv --out docs/results.csv
    python -m benchmarks.cell_tables runs/choose-*/choose/cells.csv --out docs/choosing.csv --worst

A row is a data set, mode and budget; a column is an arm, which is a pretraining method or a way to draw labels. E_out
in %, mean over the seeds, the least in bold type; with --worst, the worst of the seeds stands in brackets.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.store import disk

Row = dict[str, str]

SHARED = ("dataset", "mode", "labels", "seed", "e_out")  # columns of every study's cells; another one names the arm


def read_cells(files: Sequence[Path]) -> list[Row]:
    """Read the cells of all files; one that is in several files, as of shards of one study, counts once."""
    found: dict[tuple[str, ...], Row] = {}
    for path in files:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found[tuple(value for name, value in row.items() if name != "e_out")] = row
    return list(found.values())


def table(rows: Sequence[Row], worst: bool = False) -> str:
    """Return the mean errors as Markdown, and maybe the worst ones in brackets."""
    column = next(name for name in rows[0] if name not in SHARED)
    errors: dict[tuple[str, str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        errors[row["dataset"], row["mode"], int(row["labels"])][row[column]].append(100 * float(row["e_out"]))
    arms = list(dict.fromkeys(row[column] for row in rows))
    lines = [
        f"| data set | labels | mode | {' | '.join(arms)} |",
        f"|---|---:|---|{'---:|' * len(arms)}",
    ]
    for dataset, mode, labels in sorted(errors, key=lambda key: (key[0], key[2], key[1])):
        found = errors[dataset, mode, labels]
        least = min(statistics.fmean(values) for values in found.values())
        cells = [_show(found[arm], least, worst) if arm in found else "" for arm in arms]
        lines.append(f"| {dataset} | {labels} | {mode} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _show(values: Sequence[float], least: float, worst: bool) -> str:
    mean = statistics.fmean(values)
    text = f"**{mean:.2f}**" if mean == least else f"{mean:.2f}"
    return f"{text} ({max(values):.2f})" if worst else text


def main() -> None:
    """Write the file and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cell_tables", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="cells.csv of each study")
    parser.add_argument("--out", type=Path, default=Path("docs/results.csv"), help="file of all cells")
    parser.add_argument("--worst", action="store_true", help="show the worst seed beside the mean")
    arguments = parser.parse_args()
    rows = read_cells(arguments.files)
    disk.write_csv(arguments.out, rows)
    print(table(rows, arguments.worst))


if __name__ == "__main__":
    main()
