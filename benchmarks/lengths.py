"""python -m benchmarks.lengths [mnist | FILE.npz ...]: how long a small data set should be pretrained.

Of MNIST, or of each NumPy archive that is named (``images``, ``labels`` and, if related images must not be parted,
``groups``), at most 6,000 training images are pretrained on; errors are measured on at most 4,000 others of the
training images, so no test image has a say. For each length, stages `data`, `pretrain` and `compare` run as a user runs
them, with four draws of the labels. Prints a table in Markdown with mean errors in %, and what pretraining cost.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from benchmarks.published import Errors, read_errors
from benchmarks.sides import seconds
from benchmarks.subjects import mnist, run, training_images
from pipeline.modes import BUILT_IN

MNIST = "mnist"
IMAGES, UNSEEN, DRAWS = 6000, 4000, 4
SLOW = "self_train"
MODES = [name for name, mode in BUILT_IN.items() if mode.pretrained and name != SLOW]


def parted(source: str, folder: Path) -> tuple[Path, int]:
    """Write an archive whose training and test images are training images of a data set; return it, and their number.

    The number is that of the images that are pretrained on.
    """
    if source == MNIST:
        images, labels, groups = training_images().squeeze(1).numpy(), mnist().train.labels.numpy(), None
    else:
        with np.load(source) as stored:
            images, labels = stored["images"], stored["labels"]
            groups = stored.get("groups")
    groups = np.arange(len(images)) if groups is None else groups
    share = UNSEEN / max(len(images), IMAGES + UNSEEN)
    train, test = next(GroupShuffleSplit(1, test_size=share, random_state=0).split(images, groups=groups))
    train = np.random.default_rng(0).permutation(train)[:IMAGES]
    target = folder / f"{Path(source).stem}.npz"
    parts = {"images": images[train], "labels": labels[train], "test_images": images[test], "test_labels": labels[test]}
    np.savez(target, **parts)
    return target, len(train)


def measure(archive: Path, epochs: int, budgets: list[int], preset: str) -> tuple[float, Errors]:
    """Return seconds of pretraining, and the errors in % by mode and budget."""
    with tempfile.TemporaryDirectory() as runs:
        settings = ["--runs", runs, "--name", "lengths", "--runtime.progress", "false", "--runtime.threads", "1"]
        settings += ["--data.dataset", "numpy", "--data.args.path", str(archive), "--invariances.preset", preset]
        settings += ["--pretrain.epochs", str(epochs), "--grid.draws", str(DRAWS), "--grid.baselines", "false"]
        settings += ["--grid.modes", f"[{','.join(MODES)}]", "--grid.labels", str(budgets)]
        run(("data",), settings)
        took = seconds(lambda: run(("pretrain",), settings))
        run(("compare",), settings)
        [errors] = read_errors(Path(runs) / "lengths" / "results.csv").values()
    return took, errors


def main() -> None:
    """Measure every length on every data set, a row at a time."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lengths", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="*", default=[MNIST], help="data sets, mnist or NumPy archives")
    parser.add_argument("--epochs", type=int, nargs="+", default=[32, 100, 200], help="lengths of pretraining")
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 1000], help="labels")
    parser.add_argument("--preset", default="objects", help="invariances of the archives")
    arguments = parser.parse_args()
    columns = [f"`{mode}`, {labels}" for mode in MODES for labels in arguments.budgets]
    print(f"| data set | epochs | pretrain, s | {' | '.join(columns)} |")
    print(f"|---|---:|---:|{'---:|' * len(columns)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for source in arguments.sources:
            archive, count = parted(source, Path(folder))
            preset = "digits" if source == MNIST else arguments.preset
            for epochs in arguments.epochs:
                took, errors = measure(archive, epochs, arguments.budgets, preset)
                cells = [f"{errors[mode, labels].mean():.2f}" for mode in MODES for labels in arguments.budgets]
                print(f"| {archive.stem} ({count:,}) | {epochs} | {took:.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
