"""python -m benchmarks.growth: how time and memory grow with images, labels and image size, with fitted exponents.

Each point is a process of its own, so that its peak of memory is its own. Writes runs/bench/growth.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.heads import cell_seconds
from benchmarks.sides import seconds
from benchmarks.subjects import DEFAULT, train, training_images
from pipeline import methods
from pipeline.config import Experiment, InvariancesConfig, RuntimeConfig
from pipeline.datasets.batches import InMemoryData
from pipeline.store import disk
from pipeline.training.recording import Rounds
from pipeline.training.trainer import fit

MiB = 2**20


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


SERIES: dict[str, tuple[Callable[[int], float], tuple[int, ...]]] = {
    "an epoch of the default pretraining, by images": (epoch_of, (6_000, 60_000, 600_000)),
    "a frozen cell, by labels": (cell_seconds, (100, 1_000, 10_000)),
    "an epoch over 6,000 images, by their side": (epoch_of_size, (16, 32, 64, 96)),
}


def measure(work: Callable[[int], float], size: int) -> tuple[float, float]:
    """Seconds, and the process's peak of memory in MiB, of one point in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, size).result()


def _measured(work: Callable[[int], float], size: int) -> tuple[float, float]:
    took = work(size)
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MiB


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
