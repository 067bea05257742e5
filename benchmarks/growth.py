"""python -m benchmarks.growth: how time and memory grow with images, labels, image size, cells and processes.

Each point is a process of its own, so that its peak of memory is its own; of a grid, the peak is that of its largest
process. Writes runs/bench/growth.json, with fitted exponents.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import resource
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.heads import cell_seconds
from benchmarks.sides import seconds
from benchmarks.subjects import CONFIG, DEFAULT, run, train, training_images
from pipeline import methods
from pipeline.config import Experiment, InvariancesConfig, RuntimeConfig
from pipeline.datasets.batches import InMemoryData
from pipeline.store import disk
from pipeline.training.recording import Rounds
from pipeline.training.trainer import fit

MiB = 2**20
PROCESSES = tuple(2**n for n in range(7) if 2**n <= max(2, os.cpu_count() or 1))


def epoch_of(images: int) -> float:
    """Seconds of one epoch of the default pretraining, the training images being tiled or cut to this many."""
    copies = -(-images // len(training_images()))
    pixels = training_images().repeat(copies, 1, 1, 1)[:images]
    return seconds(lambda: train(DEFAULT, pixels))


def epoch_of_size(side: int) -> float:
    """Seconds of one epoch over 6,000 images of this side."""
    pixels = torch.randint(0, 256, (6000, 1, side, side), dtype=torch.uint8)
    shape = (1, side, side)
    model = methods.new_model(DEFAULT, InvariancesConfig(), shape, methods.new_backbone(DEFAULT, shape).encoder)
    data = InMemoryData(pixels, torch.full((6000,), -1), torch.arange(6000), DEFAULT.batch_size, 0)
    return seconds(lambda: fit(model, data, RuntimeConfig(precision="32", progress=False), Rounds(1), dict))


def grid_of(cells: int, processes: int = 0) -> float:
    """Seconds of stage `compare` with this many cells of `scratch`, each of another draw of 100 labels."""
    with tempfile.TemporaryDirectory() as runs:
        settings = ["--config", CONFIG, "--runs", runs, "--grid.modes", "[scratch]", "--grid.labels", "[100]"]
        settings += ["--grid.draws", str(cells), "--grid.jobs", str(processes), "--grid.ablation", "false"]
        settings += ["--grid.baselines", "false", "--runtime.progress", "false"]
        run(("data",), settings)
        return seconds(lambda: run(("compare",), settings))


SERIES: dict[str, tuple[Callable[[int], float], tuple[int, ...]]] = {
    "an epoch of the default pretraining, by images": (epoch_of, (6_000, 60_000, 600_000)),
    "a frozen cell, by labels": (cell_seconds, (100, 1_000, 10_000)),
    "an epoch over 6,000 images, by their side": (epoch_of_size, (16, 32, 64, 96)),
    "a grid on all processors, by cells": (grid_of, (2, 4, 8, 16)),
    "a grid of 8 cells, by processes": (functools.partial(grid_of, 8), PROCESSES),
}


def measure(work: Callable[[int], float], size: int) -> tuple[float, float]:
    """Seconds, and the process's peak of memory in MiB, of one point in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, size).result()


def _measured(work: Callable[[int], float], size: int) -> tuple[float, float]:
    took = work(size)
    peaks = [resource.getrusage(whose).ru_maxrss for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return took, max(peaks) * 1024 / MiB


def exponent(sizes: list[int], figures: list[float]) -> float:
    """Return the slope of log(figure) over log(size)."""
    return float(np.polyfit(np.log(sizes), np.log(figures), 1)[0])


def main() -> None:
    """Measure every point, print and keep the series."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    rows: list[dict[str, Any]] = []
    for name, (work, sizes) in SERIES.items():
        points = [(size, *measure(work, size)) for size in sizes]
        slope = exponent([p[0] for p in points], [p[1] for p in points])
        rows.append(
            {
                "what": name,
                "points": [{"size": n, "seconds": s, "peak_mib": m} for n, s, m in points],
                "exponent": slope,
            }
        )
        print(f"{name}: seconds grow as size to the {slope:.2f}")
        for size, took, peak in points:
            print(f"  {size:>9,}  {took:8.2f} s  {peak:7.0f} MiB")
    target = Path(Experiment().runs) / "bench" / "growth.json"
    disk.write_json(target, rows)
    print(target)


if __name__ == "__main__":
    main()
