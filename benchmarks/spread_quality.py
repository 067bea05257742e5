"""python -m benchmarks.spread_quality: wall time from the command to labels that are spread well over MNIST.

For each length of pretraining, stages `data` and `pretrain` of configs/mnist.yaml run as a user runs them, start-up,
reading and embedding included; then the graph is made and labels spread over the training images, five stratified draws
of 100 and of 1000. The shortest length whose mean errors meet both goals is named, with its share of the longest one's
time. Writes runs/bench/spread_quality.json.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.neighbours import COUNT, errors, read, timed
from benchmarks.sides import seconds
from benchmarks.subjects import CONFIG, mnist, run
from pipeline.config import Experiment
from pipeline.models.neighbours import nearest_neighbours
from pipeline.store import disk

GOALS = {100: 1.7, 1000: 1.3}  # labels: error in %


@dataclass(frozen=True)
class Point:
    """The seconds that one pretraining took, and the errors on the images without labels, in %, by budget."""

    epochs: int
    seed: int
    pretraining: float
    neighbours: float
    errors: dict[int, float]


def measure(epochs: int, seed: int) -> Point:
    """Pretrain anew, find the neighbours, and spread labels."""
    with tempfile.TemporaryDirectory() as runs:
        settings = ["--config", CONFIG, "--runs", runs, "--runtime.progress", "false", "--grid.ablation", "false"]
        settings += ["--pretrain.epochs", str(epochs), "--pretrain.seed", str(seed)]
        pretraining = seconds(lambda: run(("data", "pretrain"), settings))
        [stored] = Path(runs).glob("*/pretrain-*/embeddings.safetensors")
        embeddings = torch.from_numpy(read(stored))
    (near, distances), neighbours, _ = timed(lambda: nearest_neighbours(embeddings, COUNT))
    labels = mnist().train.labels.numpy()
    found = {budget: float(np.mean(errors(near, distances, labels, budget))) for budget in GOALS}
    return Point(epochs, seed, pretraining, neighbours, found)


def summary(points: list[Point]) -> str:
    """Return a table in Markdown, means over the seeds, and a sentence on the shortest length that meets the goals."""
    table = [f"| epochs | pretrain, s | neighbours, s | {' | '.join(f'{n} labels, %' for n in GOALS)} |"]
    table.append(f"|---:|{'---:|' * (2 + len(GOALS))}")
    took: dict[int, float] = {}
    enough: list[int] = []
    for epochs in sorted({p.epochs for p in points}):
        seeds = [p for p in points if p.epochs == epochs]
        pretraining = float(np.mean([p.pretraining for p in seeds]))
        neighbours = float(np.mean([p.neighbours for p in seeds]))
        means = {budget: float(np.mean([p.errors[budget] for p in seeds])) for budget in GOALS}
        took[epochs] = pretraining + neighbours
        if all(means[budget] <= goal for budget, goal in GOALS.items()):
            enough.append(epochs)
        cells = [str(epochs), f"{pretraining:.0f}", f"{neighbours:.0f}", *(f"{error:.2f}" for error in means.values())]
        table.append(f"| {' | '.join(cells)} |")
    if not enough:
        return "\n".join([*table, "", "no length meets the goals"])
    goals = ", ".join(f"{n}: {goal} %" for n, goal in GOALS.items())
    share = took[enough[0]] / took[max(took)]
    verdict = f"{enough[0]} epochs meet the goals ({goals}) in {share:.2f} of the time of {max(took)}"
    return "\n".join([*table, "", verdict])


def main() -> None:
    """Measure every length with every seed, print the table, and keep the points."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.spread_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--epochs", type=int, nargs="+", default=[8, 12, 16, 40], help="lengths of pretraining")
    parser.add_argument("--seeds", type=int, default=1, help="pretrainings of each length")
    arguments = parser.parse_args()
    points = []
    for seed in range(arguments.seeds):
        for epochs in arguments.epochs:
            points.append(measure(epochs, seed))
            print(points[-1], flush=True)
    print(summary(points))
    target = Path(Experiment().runs) / "bench" / "spread_quality.json"
    disk.write_json(target, [asdict(p) for p in points])
    print(target)


if __name__ == "__main__":
    main()
