"""python -m benchmarks.batch_sizes: images a second of the default pretraining by batch size, on the device at hand.

Beside them, the share of what a large matrix product reaches here in the same precision: how much of the machine the
network uses. Writes runs/bench/batch_sizes.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.sides import seconds
from benchmarks.subjects import DEFAULT, new_model, training_images
from pipeline.config import Experiment, RuntimeConfig
from pipeline.datasets.batches import InMemoryData
from pipeline.store import disk
from pipeline.training.precision import resolve_precision
from pipeline.training.recording import Rounds
from pipeline.training.trainer import fit, make_trainer

SIZES = (64, 256, 1024, 4096, 16384)


def peak_flops(device: torch.device, dtype: torch.dtype, side: int = 4096) -> float:
    """Floating-point operations a second of a large matrix product, the best of five."""
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)

    def product() -> None:
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()

    product()
    return 2 * side**3 / min(seconds(product) for _ in range(5))


def step_flops() -> float:
    """Floating-point operations of a training step, forwards and backwards, an image."""
    model, images = new_model(DEFAULT), training_images()[:256]
    with FlopCounterMode(display=False) as counter:
        model.training_step((images, None)).backward()
    return int(counter.get_total_flops()) / len(images)


def images_a_second(batch_size: int, runtime: RuntimeConfig, epochs: int) -> float:
    """Of the default pretraining, once an epoch has warmed up."""
    images, ends = training_images(), []
    config = dataclasses.replace(DEFAULT, batch_size=batch_size, epochs=epochs + 1)
    data = InMemoryData(images, torch.full((len(images),), -1), torch.arange(len(images)), batch_size, 0)

    def note() -> dict[str, float]:
        ends.append(time.perf_counter())
        return {}

    model = new_model(config)
    fit(model, data, runtime, Rounds(epochs + 1), note)
    return epochs * len(images) / (ends[-1] - ends[0])


def main() -> None:
    """Measure every size, print and keep the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch_sizes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--epochs", type=int, default=1, help="measured, after one to warm up")
    parser.add_argument("--precision", choices=["auto", "32", "bf16"], default="auto")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    arguments = parser.parse_args()
    runtime = RuntimeConfig(precision=arguments.precision, progress=False, compile=arguments.compile)
    device = make_trainer(runtime, 1, []).strategy.root_device
    half = resolve_precision(runtime) == "bf16"
    peak, work = peak_flops(device, torch.bfloat16 if half else torch.float32), step_flops()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}, {resolve_precision(runtime)}: a matrix product reaches {peak / 1e9:,.0f} GFLOP/s;")
    print(f"a step of the default autoencoder takes {work / 1e6:.1f} MFLOP an image")
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        rate = images_a_second(size, runtime, arguments.epochs)
        rows.append({"batch_size": size, "images_per_second": rate, "share_of_peak": rate * work / peak})
        print(f"  batch {size:>6,}  {rate:>12,.0f} images/s  {100 * rate * work / peak:5.1f} % of it", flush=True)
    target = Path(Experiment().runs) / "bench" / "batch_sizes.json"
    disk.write_json(target, {"device": name, "precision": resolve_precision(runtime), "rows": rows})
    print(target)


if __name__ == "__main__":
    main()
