"""Every remedy that a message about a user's files names, run as the message says it, through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.cli import main
from tests.test_predict import save_idx

GENERATOR = np.random.default_rng(0)
BYTES = GENERATOR.integers(0, 256, (40, 8, 8), dtype=np.uint8)
CLASSES = np.arange(40) % 2
Make = Callable[[Path], object]


def pictures(base: Path, *folders: str, size: tuple[int, int] = (8, 8), white: int = 255) -> None:
    kind = np.uint8 if white < 256 else np.uint16
    for folder in folders:
        (base / folder).mkdir(parents=True, exist_ok=True)
        for number in range(12):
            pixels = GENERATOR.integers(0, white + 1, size).astype(kind)
            Image.fromarray(pixels).save(base / folder / f"{number}.png")


def arrays(**contents: npt.ArrayLike) -> Make:
    found: dict[str, Any] = {name: np.asarray(value) for name, value in contents.items()}
    return lambda base: np.savez(base / "a.npz", **found)


def table(*columns: npt.ArrayLike, names: str = "") -> Make:
    text = np.column_stack([np.asarray(column).astype(str) for column in columns])
    lines = [names] * bool(names) + [",".join(row) for row in text]
    return lambda base: (base / "a.csv").write_text("\n".join(lines) + "\n")


def two_sizes(base: Path) -> None:
    pictures(base, "cat", size=(8, 8))
    pictures(base, "dog", size=(10, 12))


def broken(base: Path) -> None:
    pictures(base, "cat", "dog")
    (base / "cat" / "0.png").write_bytes(b"no picture")


def twelve_bits(base: Path) -> None:
    pictures(base, "cat", "dog", white=4095)


def nested(base: Path, *folders: str) -> None:
    pictures(base, *(f"{folder}/{name}" for folder in folders for name in ("cat", "dog")))


def folders(*parts: str, beside: tuple[str, ...] = ()) -> Make:
    def make(base: Path) -> None:
        nested(base, *parts)
        pictures(base, *beside)

    return make


def idx_files(*names: str) -> Make:
    def make(base: Path) -> None:
        for name in names:
            save_idx(base / f"{name}-images-idx3-ubyte", BYTES)
            save_idx(base / f"{name}-labels-idx1-ubyte", CLASSES)

    return make


DEPTHS = BYTES.reshape(40, 2, 4, 8)
ROWS = BYTES.reshape(40, 64)
DIM = BYTES % 17  # from 0 to 16
WIDE = BYTES.astype(np.int64) * 3  # up to 765

# reader, files, what the message says and the settings that it names
REMEDIES: list[tuple[str, Make, str, list[str]]] = [
    ("folder", two_sizes, "data.args.size, such as [8, 8]", ["size=[8,8]"]),
    ("folder", broken, "data.args.skip_broken true", ["skip_broken=true"]),
    ("folder", twelve_bits, "data.args.white, such as 4095, or 65535", ["white=4095"]),
    ("folder", twelve_bits, "data.args.white, such as 4095, or 65535", ["white=65535"]),
    ("folder", folders(beside=("test", "cat", "dog")), "(data.args.train: .)", ["train=."]),
    ("folder", folders(beside=("test", "cat", "dog")), "(data.args.unlabelled: test)", ["unlabelled=test"]),
    ("folder", folders("train", "test", "testing"), "name the right one with data.args.test", ["test=testing"]),
    ("folder", folders("test", "others"), "name the training folder with data.args.train", ["train=others"]),
    ("folder", folders("test", beside=("cat", "dog")), "(data.args.train: . if test is a class)", ["train=."]),
    ("folder", folders("train", beside=("cat",)), "(data.args.train: train)", ["train=train"]),
    ("folder", folders("train", beside=("cat",)), "(data.args.train: .)", ["train=."]),
    ("folder", folders(beside=("cat",)), "set data.args.unlabelled to cat", ["unlabelled=cat"]),
    ("numpy", arrays(images=DIM.astype(int), labels=CLASSES), "data.args.white 16", ["white=16"]),
    ("numpy", arrays(images=WIDE, labels=CLASSES), "say which value is white with data.args.white", ["white=765"]),
    (
        "numpy",
        arrays(images=BYTES, labels=CLASSES, test_images=DIM, test_labels=CLASSES),
        "say which value is white with data.args.white",
        ["white=255"],
    ),
    (
        "numpy",
        arrays(images=BYTES, labels=CLASSES, test_images=255.0 - BYTES, test_labels=CLASSES),
        "say which value is white in both with data.args.white",
        ["white=255"],
    ),
    ("numpy", arrays(x_train=BYTES, labels=CLASSES), "name the right one with data.args.images", ["images=x_train"]),
    ("numpy", arrays(images=BYTES, kind=CLASSES), "name the right one with data.args.labels", ["labels=kind"]),
    ("numpy", arrays(images=ROWS[:, :40], labels=CLASSES), "data.args.shape, [height, width]", ["shape=[5,8]"]),
    ("numpy", arrays(images=DEPTHS, labels=CLASSES), "data.args.shape [C, H, W]", ["shape=[2,4,8]"]),
    ("csv", table(CLASSES, ROWS[:, 1:], CLASSES), "name it (0 or 64)", ["label=0"]),
    ("csv", table(CLASSES, ROWS[:, 1:], CLASSES), "name it (0 or 64)", ["label=64"]),
    ("csv", table(ROWS[:, :40], CLASSES), "data.args.shape, [height, width]", ["shape=[5,8]"]),
    ("idx", idx_files("emnist-letters-train", "emnist-digits-train"), "name one of", ["train=emnist-letters-train"]),
    ("idx", idx_files("mine"), "data.args.train and data.args.test say", ["train=mine"]),
]


@pytest.mark.parametrize(("reader", "make", "said", "remedy"), REMEDIES, ids=[f"{r[0]} {r[3][0]}" for r in REMEDIES])
def test_the_remedy_that_a_message_names_works(
    reader: str, make: Make, said: str, remedy: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    make(source)
    found = next(source.iterdir()) if reader in ("numpy", "csv") else source
    given = ["data", f"--runs={tmp_path}", f"--data.dataset={reader}", f"--data.args.path={found}"]
    assert main(given) == 2
    assert said in capsys.readouterr().err
    assert main([*given, *(f"--data.args.{setting}" for setting in remedy)]) == 0
