"""Pretraining on images that are larger than the memory it may take: how much memory, how fast.

    python -m benchmarks.larger_than_memory --gigabytes 20 --seconds 600

Makes a file of random images, runs the stages data and pretrain on it from there, each in a process of its own under a
limit of its private memory (RLIMIT_DATA), and prints what Linux recorded of memory and bytes read. Pretraining is ended
after so many seconds, if it is not done before. The folder is deleted. The networks are small and nothing is corrupted:
what is measured is how images come to the training.
"""

from __future__ import annotations

import argparse
import json
import math
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

# a process of its own: import what is needed, say what that takes, then see what the stage takes beyond it
STAGE = """
import resource, sys
from pathlib import Path
import pipeline.learning.pretrain, pipeline.datasets.arrays, sklearn.model_selection, safetensors.torch
from pipeline.cli import main

used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
limit = used + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print("ready", flush=True)
sys.exit(main(sys.argv[2:]))
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


def recorded(process: int) -> dict[str, int]:
    """Bytes that are resident, and have been at the most, how much of that is private, and bytes read so far."""
    lines = Path(f"/proc/{process}/status").read_text() + Path(f"/proc/{process}/io").read_text()
    found = dict(line.split(":", 1) for line in lines.splitlines())
    kilobytes = {"resident": "VmRSS", "peak": "VmHWM", "private": "RssAnon"}
    return {name: int(found[key].split()[0]) * 1024 for name, key in kilobytes.items()} | {"read": int(found["rchar"])}


def run(stage: str, folder: Path, limit: int, seconds: float) -> dict[str, float]:
    """One stage, ended after so many seconds: what it took beyond what the imports had taken."""
    arguments = [
        stage,
        "--data.dataset=numpy",
        f"--data.args.path={folder}",
        f"--data.root={folder}",
        f"--runs={folder / 'runs'}",
        "--data.streaming=always",
        "--grid.labels=[100]",
        "--pretrain.epochs=1",
        "--pretrain.latent=32",
        "--pretrain.corruption=0",
        f"--pretrain.encoder={NETWORK}",
        f"--pretrain.decoder={NETWORK}",
    ]
    command = [sys.executable, "-c", STAGE, str(limit), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before, started = recorded(process.pid), time.monotonic()
        last, private = before, before["private"]
        while process.poll() is None and time.monotonic() - started < seconds:
            time.sleep(0.2)
            try:
                last = recorded(process.pid)
            except (KeyError, FileNotFoundError):  # it is just ending
                break
            private = max(private, last["private"])
        took = time.monotonic() - started
        if ended := process.poll() is None and took >= seconds:
            process.terminate()
        said = process.stdout.read()
    if process.returncode and not ended:
        raise SystemExit(f"{stage} failed: {said}")
    print(said, end="")
    return {
        "seconds": round(took, 1),
        "finished": not ended,
        "resident_peak_mib": (last["peak"] - before["resident"]) >> 20,
        "private_peak_mib": (private - before["private"]) >> 20,
        "gigabytes_read": round((last["read"] - before["read"]) / 1e9, 2),
    }


def main() -> None:
    """Make the images, measure both stages, print, clean up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--limit", type=float, default=2, help="GiB of private memory that a stage may take")
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which pretraining is ended")
    parser.add_argument("--folder", type=Path, default=Path("runs/larger_than_memory"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    try:
        started = time.monotonic()
        found = {"images": make(options.folder, options.gigabytes), "write_seconds": round(time.monotonic() - started)}
        print(json.dumps(found), flush=True)
        limits = {"data": math.inf, "pretrain": options.seconds}
        for stage, seconds in limits.items():
            measured = run(stage, options.folder, int(options.limit * 2**30), seconds)
            print(json.dumps({stage: measured}), flush=True)
    finally:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
