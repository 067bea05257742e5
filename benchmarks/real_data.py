"""Real data sets from package archives: ``python -m benchmarks.real_data fashion_mnist emoji`` fills ``data/``.

``fashion_mnist`` takes the original IDX files out of Debian's package dataset-fashion-mnist (read them with
``data.dataset: idx``); ``emoji`` makes one array of 32 x 32 colour pictures in nine classes out of npm's
emoji-datasource packages of four vendors (read it with ``data.dataset: numpy``). Both are fetched by the machine's own
``apt-get`` and ``npm``; nothing of it belongs into the repository.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

VENDORS = ("apple", "facebook", "google", "twitter")
VERSION = "16.0.0"
SIDE = 32
TEST_SHARE = 5  # one in so many emoji is a test image, in every vendor's drawing


def fashion_mnist(folder: Path) -> Path:
    """Put the four IDX files of Fashion-MNIST, gzipped, into ``folder/fashion_mnist``."""
    target = folder / "fashion_mnist"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["apt-get", "download", "-qq", "dataset-fashion-mnist"], cwd=scratch, check=True)
        [package] = Path(scratch).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, scratch], check=True)
        for file in Path(scratch).rglob("*-ubyte.gz"):
            (target / file.name).write_bytes(file.read_bytes())
    return target


def emoji(folder: Path) -> Path:
    """Write ``folder/emoji.npz``: every vendor's drawing of an emoji, its class the emoji's category.

    All drawings of one emoji are on the same side of the split, and a fifth of the emoji, drawn with a fixed seed, are
    the test set. Transparency is composited on white.
    """
    images, categories, names, vendors = [], [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        for vendor in VENDORS:
            for image, category, name in _drawings(Path(scratch), vendor):
                images.append(image)
                categories.append(category)
                names.append(name)
                vendors.append(vendor)
    unique, numbers = np.unique(names, return_inverse=True)
    held_out = np.random.default_rng(0).permutation(len(unique))[: len(unique) // TEST_SHARE]
    is_test = np.isin(numbers, held_out)
    pixels, labels = np.stack(images), np.array(categories)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "emoji.npz"
    np.savez_compressed(
        target,
        images=pixels[~is_test],
        labels=labels[~is_test],
        test_images=pixels[is_test],
        test_labels=labels[is_test],
        groups=np.array(names)[~is_test],
        vendors=np.array(vendors)[~is_test],
    )
    return target


def _drawings(scratch: Path, vendor: str) -> Iterator[tuple[npt.NDArray[np.uint8], str, str]]:
    """Pictures (H, W, 3), categories and names of one vendor's emoji."""
    package = f"emoji-datasource-{vendor}"
    subprocess.run(["npm", "pack", "--silent", f"{package}@{VERSION}"], cwd=scratch, check=True, capture_output=True)
    with tarfile.open(scratch / f"{package}-{VERSION}.tgz") as archive:
        archive.extractall(scratch / vendor, filter="data")
    root = scratch / vendor / "package"
    for entry in json.loads((root / "emoji.json").read_text(encoding="utf-8")):
        picture = root / "img" / vendor / "64" / entry["image"]
        if entry["category"] == "Component" or not picture.exists():
            continue
        drawn = Image.open(picture).convert("RGBA")
        white = Image.new("RGBA", drawn.size, "white")
        white.alpha_composite(drawn)
        small = white.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        yield np.asarray(small), entry["category"], entry["unified"]


MAKERS = {"fashion_mnist": fashion_mnist, "emoji": emoji}


def main() -> None:
    """Fetch the data sets that are named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_data", description=__doc__)
    parser.add_argument("names", nargs="+", choices=MAKERS)
    parser.add_argument("--folder", type=Path, default=Path("data"), help="where to put them")
    arguments = parser.parse_args()
    for name in arguments.names:
        print(f"{name}: {MAKERS[name](arguments.folder)}")


if __name__ == "__main__":
    main()
