"""One table of what the study ``methods`` found on several data sets, and one file of all cells.

    python -m benchmarks.method_tables runs/methods-*/methods/cells.csv --out docs/results.csv

A row is a data set, mode and budget; a column is a method; E_out in %, mean over the seeds, the least in bold type.
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


def read_cells(files: Sequence[Path]) -> list[Row]:
    """Read the cells of all files; one that is in several files, as of shards of one study, counts once."""
    found: dict[tuple[str, ...], Row] = {}
    for path in files:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found[tuple(value for name, value in row.items() if name != "e_out")] = row
    return list(found.values())


def table(rows: Sequence[Row]) -> str:
    """The mean errors as Markdown."""
    errors: dict[tuple[str, str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        errors[row["dataset"], row["mode"], int(row["labels"])][row["method"]].append(float(row["e_out"]))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = [
        f"| data set | labels | mode | {' | '.join(methods)} |",
        f"|---|---:|---|{'---:|' * len(methods)}",
    ]
    for dataset, mode, labels in sorted(errors, key=lambda key: (key[0], key[2], key[1])):
        means = {method: 100 * statistics.fmean(found) for method, found in errors[dataset, mode, labels].items()}
        least = min(means.values())
        cells = [_show(means[method], least) if method in means else "" for method in methods]
        lines.append(f"| {dataset} | {labels} | {mode} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _show(mean: float, least: float) -> str:
    return f"**{mean:.2f}**" if mean == least else f"{mean:.2f}"


def main() -> None:
    """Write the file and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.method_tables", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="cells.csv of each study")
    parser.add_argument("--out", type=Path, default=Path("docs/results.csv"), help="file of all cells")
    arguments = parser.parse_args()
    rows = read_cells(arguments.files)
    disk.write_csv(arguments.out, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
