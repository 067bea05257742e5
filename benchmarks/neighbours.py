"""python -m benchmarks.neighbours: the graph of `propagate` by exact and by approximate search, and past 10^6 images.

First the embeddings of a finished `make`: seconds of both searches, recall, and the errors after spreading 100 and 1000
labels over either graph. Then more embeddings, each a point between one of those and one of its neighbours, plus noise
of a tenth of the standard deviation: seconds, processor seconds, peak of memory and recall, and what these points say
of 10^7, by a power law of the seconds and a line of the memory. Each size is a process of its own. Writes
runs/bench/neighbours.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from tqdm import tqdm

from benchmarks.growth import MiB, exponent
from benchmarks.subjects import mnist
from pipeline.config import Experiment, GraphConfig
from pipeline.errors import PipelineError
from pipeline.models.neighbours import Floats, Indices, approximate_neighbours, nearest_neighbours
from pipeline.models.propagation import similarity_graph, spread
from pipeline.store import disk

T = TypeVar("T")

COUNT, ALPHA = GraphConfig().neighbours, GraphConfig().alpha
CLASSES, DRAWS = 10, 5
BLOCK = 100_000  # embeddings that are made at a time
NOISE = 0.1  # standard deviations
FAR = 10_000_000


@dataclass(frozen=True)
class Point:
    """The measurements of one size: wall and processor seconds of the search, wall seconds of the rest."""

    images: int
    search: float
    search_processor: float
    graph: float
    spreading: float
    peak_mib: float
    recall: float


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """Do it; return what it gives, wall seconds and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - processor


def errors(indices: Indices, distances: Floats, labels: Indices, budget: int) -> list[float]:
    """Return the errors on the other images after spreading this many labels, in %, one a draw."""
    graph, found = similarity_graph(indices, distances), []
    for draw in range(DRAWS):
        random = np.random.default_rng(draw)
        each = [random.permutation(np.flatnonzero(labels == c))[: budget // CLASSES] for c in range(CLASSES)]
        known = np.concatenate(each)
        wrong = spread(graph, known, labels[known], CLASSES, ALPHA).argmax(1) != labels
        wrong[known] = False
        found.append(100 * float(wrong.sum()) / (len(labels) - len(known)))
    return found


def compare(embeddings: Floats) -> dict[str, object]:
    """Both searches on the embeddings of MNIST's training images."""
    labels = mnist().train.labels.numpy()
    (exact, distances), wall, processor = timed(lambda: nearest_neighbours(torch.from_numpy(embeddings), COUNT))
    found, wall_near, processor_near = timed(lambda: approximate_neighbours(embeddings, COUNT))
    near, near_distances, sampled = found
    shared = [len(np.intersect1d(a, b)) for a, b in zip(exact, near, strict=True)]
    row: dict[str, object] = {
        "images": len(embeddings),
        "exact": {"seconds": wall, "processor": processor},
        "approximate": {"seconds": wall_near, "processor": processor_near},
        "recall": float(np.mean(shared)) / COUNT,
        "recall_of_sample": sampled,
    }
    for budget in (100, 1000):
        both = errors(exact, distances, labels, budget), errors(near, near_distances, labels, budget)
        row[f"errors_{budget}"] = {"exact": both[0], "approximate": both[1]}
        print(f"  {budget} labels: error {np.mean(both[0]):.3f} % exact, {np.mean(both[1]):.3f} % approximate")
    print(f"  exact {wall:.1f} s ({processor:.1f} of a core), approximate {wall_near:.1f} s ({processor_near:.1f})")
    print(f"  recall {row['recall']:.4f}; in the sample that the search measures it on {sampled:.4f}")
    return row


def made(embeddings: Floats, size: int, path: Path) -> Floats:
    """Write this many embeddings between those given and their neighbours into a file, and map it."""
    near, random = approximate_neighbours(embeddings, COUNT)[0], np.random.default_rng(0)
    deviation = embeddings.std(0)
    mapped = np.memmap(path, np.float32, "w+", shape=(size, embeddings.shape[1]))
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        own = random.integers(0, len(embeddings), count)
        other = near[own, random.integers(0, COUNT, count)]
        share = random.random((count, 1), dtype=np.float32) / 2
        noise = NOISE * deviation * random.standard_normal((count, embeddings.shape[1]), dtype=np.float32)
        mapped[start : start + count] = embeddings[own] + share * (embeddings[other] - embeddings[own]) + noise
    mapped.flush()
    return mapped


def point(source: Path, size: int) -> Point:
    """Measure one size; run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        features = made(read(source), size, Path(folder) / "embeddings")
        (indices, distances, recall), wall, processor = timed(lambda: approximate_neighbours(features, COUNT))
        graph, graph_wall, _ = timed(lambda: similarity_graph(indices, distances))
    known = np.random.default_rng(0).permutation(size)[:100]
    labels = np.arange(100) % CLASSES
    _, spread_wall, _ = timed(lambda: spread(graph, known, labels, CLASSES, ALPHA))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MiB
    return Point(size, wall, processor, graph_wall, spread_wall, peak, recall)


def read(source: Path) -> Floats:
    """Read the embeddings that stage pretrain left."""
    found: Floats = load_file(source)["train"].numpy()
    return found


def extrapolated(points: list[Point]) -> dict[str, float]:
    """Return the seconds at 10^7 images by a power law, with its exponents, and the memory by a line."""
    points = sorted(points, key=lambda p: p.images)
    sizes = [p.images for p in points]
    each, constant = np.polyfit(sizes, [p.peak_mib for p in points], 1)
    far = {"peak_mib": float(each * FAR + constant)}
    for name in ("search", "search_processor", "graph", "spreading"):
        figures = [float(getattr(p, name)) for p in points]
        far[f"{name}_exponent"] = exponent(sizes, figures)
        far[name] = figures[-1] * (FAR / sizes[-1]) ** far[f"{name}_exponent"]
    return far


def main() -> None:
    """Compare both searches, measure every size, print and keep the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.neighbours",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--embeddings", type=Path, help="embeddings.safetensors; default: the newest of runs/mnist")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--compare", action=argparse.BooleanOptionalAction, default=True, help="exact and approximate")
    arguments = parser.parse_args()
    source = arguments.embeddings or _newest()
    load = os.getloadavg()[0]
    print(f"{torch.get_num_threads()} threads, load {load:.1f} at the start; {source}")
    compared = compare(read(source)) if arguments.compare else {}
    points = []
    for size in tqdm(arguments.sizes, unit="size", disable=None):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            points.append(pool.submit(point, source, size).result())
        print(f"  {points[-1]}")
    far = extrapolated(points) if len(points) > 1 else {}
    print(f"10^7 images: {', '.join(f'{name} {value:,.2f}' for name, value in far.items())}")
    target = Path(Experiment().runs) / "bench" / "neighbours.json"
    rows = {"load": load, "threads": torch.get_num_threads(), "compared": compared}
    disk.write_json(target, {**rows, "points": [asdict(p) for p in points], "ten_million": far})
    print(target)


def _newest() -> Path:
    """Return the embeddings of the main job's newest encoder, not of the one that knows no invariances."""
    found = sorted(Path(Experiment().runs).glob("mnist/pretrain-*/embeddings.safetensors"), key=os.path.getmtime)
    manifests = [disk.read_json(path.with_name("manifest.json"), "run `make pretrain` again") for path in found]
    augmented = [path for path, made in zip(found, manifests, strict=True) if "invariances" in made["inputs"]]
    if not augmented:
        raise PipelineError("there are no embeddings of MNIST; run `make pretrain` first, or name some by --embeddings")
    return augmented[-1]


if __name__ == "__main__":
    main()
