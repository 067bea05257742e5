"""Pretraining on images that are larger than the memory it may take: how much memory, how fast.

    python -m benchmarks.larger_than_memory --gigabytes 20

Makes a memory-mapped set of random images in a folder, runs the stages data and pretrain on it from there, each in a
process of its own under a limit of its private memory (RLIMIT_DATA), prints the peaks that Linux recorded, and deletes
the folder. The networks are small and nothing is distorted: what is measured is how images come to the training.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

SHAPE = (3, 64, 64)
BLOCK = 2**26  # bytes that are written at a time
NETWORK = "{name: mlp, widths: [64], hidden: []}"

# a process of its own: import what is needed, then see what the stage takes beyond that
STAGE = """
import resource, sys, time
from pathlib import Path
import pipeline.learning.pretrain, pipeline.datasets.arrays, sklearn.model_selection, safetensors.torch
from pipeline.cli import main

def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024

limit, arguments = int(sys.argv[1]), sys.argv[2:]
before = status("VmRSS")
used = status("VmData")
resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))
Path("/proc/self/clear_refs").write_text("5")  # peaks count from here
started = time.monotonic()
code = main(arguments)
print("MEASURED", before, status("VmHWM"), status("RssAnon"), time.monotonic() - started)
sys.exit(code)
"""


def make(folder: Path, gigabytes: float) -> int:
    """Write images.npy and labels.npy, and return the number of images."""
    count = int(gigabytes * 1e9) // math.prod(SHAPE)
    block = max(1, BLOCK // math.prod(SHAPE))
    generator = np.random.default_rng(0)
    pattern = generator.integers(0, 256, (block, *SHAPE), dtype=np.uint8)
    with (folder / "images.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *SHAPE)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in tqdm(range(0, count, block), "writing", disable=None):
            pattern[:, :, 0, :8] = generator.integers(0, 256, (block, 3, 8), dtype=np.uint8)  # no two are the same
            file.write(pattern[: count - start].data)
    np.save(folder / "labels.npy", np.where(np.arange(count) < 1000, np.arange(count) % 10, -1))
    return count


def run(stage: str, folder: Path, limit: int, extra: list[str]) -> dict[str, float]:
    """One stage in a process of its own: seconds, and bytes of memory at its peak and before."""
    arguments = [
        stage,
        "--data.dataset=numpy",
        f"--data.args.path={folder}",
        f"--data.root={folder}",
        f"--runs={folder / 'runs'}",
        "--pretrain.epochs=1",
        "--pretrain.latent=32",
        "--pretrain.corruption=null",
        f"--pretrain.encoder={NETWORK}",
        f"--pretrain.decoder={NETWORK}",
        "--data.streaming=always",
        *extra,
    ]
    command = [sys.executable, "-c", STAGE, str(limit), *arguments]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(said, end="")
    [measured] = re.findall(r"^MEASURED (.*)$", said, re.MULTILINE)
    before, peak, anonymous, seconds = map(float, measured.split())
    return {"seconds": seconds, "resident_before": before, "resident_peak": peak, "private_at_the_end": anonymous}


def main() -> None:
    """Make the images, measure both stages, print, clean up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--limit", type=float, default=2, help="GiB of private memory that a stage may take")
    parser.add_argument("--folder", type=Path, default=Path("runs/larger_than_memory"))
    parser.add_argument("--batch_size", type=int, default=256)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    try:
        started = time.monotonic()
        count = make(options.folder, options.gigabytes)
        found = {"images": count, "write_seconds": time.monotonic() - started}
        extra, limit = [f"--pretrain.batch_size={options.batch_size}"], int(options.limit * 2**30)
        stages = {stage: run(stage, options.folder, limit, extra) for stage in ("data", "pretrain")}
        print(json.dumps(found | stages, indent=2))
    finally:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
