"""python -m benchmarks [name ...]: every comparison, or those that are named, into runs/bench/bench.json and a table.

Rows of comparisons that are not run this time stay in the file as they are.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from benchmarks.sides import alternate
from pipeline.config import Experiment
from pipeline.store import disk

TOPICS = {
    "overhead": "the Trainer beside a bare loop of PyTorch",
    "recipe": "ours beside the usual Lightning recipe with torchvision and a DataLoader",
    "pythae_vae": "our VAE beside pythae's (pip install pythae)",
    "time_to_quality": "trainings of a VAE to a given ELBO: ours, pythae, Lightning + torchvision",
    "steps": "corruption and precision of the default pretraining",
    "heads": "embedding; heads that are fitted to convergence beside scikit-learn's",
    "compilation": "torch.compile beside none",
    "cuda_graphs": "steps that are replayed on a GPU beside steps that Python launches",
}


def main() -> None:
    """Measure, print a row at a time, and keep them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    listed = "; ".join(f"{name}: {what}" for name, what in TOPICS.items())
    parser.add_argument("names", nargs="*", choices=[*TOPICS, []], help=listed)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each side, after one to warm up")
    arguments = parser.parse_args()
    target = Path(Experiment().runs) / "bench" / "bench.json"
    rows: list[dict[str, Any]] = []
    for name in arguments.names or TOPICS:
        try:
            comparisons = list(importlib.import_module(f"benchmarks.{name}").comparisons())
        except ModuleNotFoundError as error:
            print(f"{name} is left out: {error}; pip install {error.name}")
            continue
        for comparison in comparisons:
            rows = keep(target, alternate(comparison, arguments.rounds))
    print(table(rows))
    print(target)


def keep(target: Path, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Put a row into the file, in the place of an earlier one of that name; all rows there."""
    rows = {old["what"]: old for old in disk.read_json(target, "delete it")} if target.is_file() else {}
    rows[row["what"]] = row
    disk.write_json(target, list(rows.values()))
    return list(rows.values())


def table(rows: list[dict[str, Any]]) -> str:
    """Return a table in Markdown: a line a comparison, with both sides, their ratio, its spread and its goal."""
    lines = ["| what is compared | ours | other | ratio (least to greatest) | goal |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        low, high = row["spread"]
        ratio = f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})"
        lines.append(f"| {row['what']} | {row['ours']:,.2f} | {row['other']:,.2f} | {ratio} | {row['goal'] or ''} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
