"""torchvision's data sets, from tiny files in their real formats."""

from __future__ import annotations

import bz2
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from scipy.io import savemat

from pipeline.config import DataConfig
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.loading import load
from pipeline.errors import PipelineError
from tests.test_data import idx

GENERATOR = np.random.default_rng(0)
SIZES = {"train": 30, "test": 12}


def pixels(part: str, *shape: int) -> np.ndarray:
    return np.random.default_rng(len(part)).integers(0, 256, (SIZES[part], *shape), dtype=np.uint8)


def write_mnist_like(root: Path, folder: str) -> None:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for part, prefix in (("train", "train"), ("test", "t10k")):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(pixels(part, 28, 28)))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(SIZES[part]) % 10))


def write_emnist(root: Path, patch: pytest.MonkeyPatch) -> None:
    raw = root / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in SIZES.items():  # mirrored, and labelled from 1, as the real ones are
        (raw / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(idx(pixels(part, 28, 28).transpose(0, 2, 1)))
        (raw / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(n) % 26 + 1))


def write_usps(root: Path, patch: pytest.MonkeyPatch) -> None:
    for part, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        lines = [
            f"{n % 10 + 1} " + " ".join(f"{i + 1}:{(value + 0.5) / 255 * 2 - 1:.6f}" for i, value in enumerate(image))
            for n, image in enumerate(np.minimum(pixels(part, 256), 254).tolist())
        ]
        (root / name).write_bytes(bz2.compress("\n".join(lines).encode() + b"\n"))


def write_svhn(root: Path, patch: pytest.MonkeyPatch) -> None:
    table = {}
    for part, n in SIZES.items():
        file = root / f"{part}_32x32.mat"
        labels = np.arange(n) % 10
        labels[labels == 0] = 10  # the zero, in the real files
        savemat(file, {"X": pixels(part, 32, 32, 3).transpose(1, 2, 3, 0), "y": labels[:, None].astype(np.uint8)})
        table[part] = ["", file.name, md5(file)]
    patch.setattr(torchvision.datasets.SVHN, "split_list", table)


def write_cifar(root: Path, patch: pytest.MonkeyPatch) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()

    def write(name: str, content: dict[str, Any]) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, md5(folder / name)]

    for part, n in SIZES.items():
        rows = pixels(part, 32, 32, 3).transpose(0, 3, 1, 2).reshape(n, -1)
        entry = write(f"{part}_batch", {"data": rows, "labels": (np.arange(n) % 10).tolist()})
        patch.setattr(torchvision.datasets.CIFAR10, f"{part}_list", [entry])
    name, digest = write("batches.meta", {"label_names": list("abcdefghij")})
    patch.setattr(torchvision.datasets.CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": digest})


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


WRITERS: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], None], tuple[int, ...], int]] = {
    "fashion_mnist": (lambda root, _: write_mnist_like(root, "FashionMNIST"), (28, 28), 10),
    "kmnist": (lambda root, _: write_mnist_like(root, "KMNIST"), (28, 28), 10),
    "emnist_letters": (write_emnist, (28, 28), 26),
    "usps": (write_usps, (16, 16), 10),
    "svhn": (write_svhn, (32, 32, 3), 10),
    "cifar10": (write_cifar, (32, 32, 3), 10),
}


@pytest.mark.parametrize("name", WRITERS)
def test_named_sets_are_read_from_their_real_file_format(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, shape, classes = WRITERS[name]
    write(tmp_path, monkeypatch)
    dataset = load(DataConfig(name, str(tmp_path)))
    for part, data in (("train", dataset.train), ("test", dataset.test)):
        expected = pixels(part, *shape) if name != "usps" else np.minimum(pixels(part, 256), 254).reshape(-1, 16, 16)
        channels_first = expected[:, None] if len(shape) == 2 else expected.transpose(0, 3, 1, 2)
        assert np.array_equal(data.images.numpy(), channels_first)
        seen = torch.arange(SIZES[part]) % classes
        names = dataset.train.class_names
        assert [names[label] for label in data.labels] == [sorted(names, key=names.index)[c] for c in seen]
    if name == "emnist_letters":
        assert dataset.train.class_names == tuple("abcdefghijklmnopqrstuvwxyz")


def reader(root: Path, **args: Any) -> Dataset:
    return load(DataConfig("torchvision", str(root), args))


def test_any_class_is_had_by_its_name_and_arguments(tmp_path: Path) -> None:
    folder = tmp_path / "stl10_binary"  # STL-10: pictures without a label, 96 x 96, columns first
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        images = {"train": 20, "test": 12, "unlabeled": 15}
        written = {}
        for part, n in images.items():
            data = GENERATOR.integers(0, 256, (n, 3, 96, 96), dtype=np.uint8)
            (folder / f"{part}_X.bin").write_bytes(data.tobytes())
            (folder / f"{part}_y.bin").write_bytes((np.arange(n) % 4 + 1).astype(np.uint8).tobytes())
            written[part] = data.transpose(0, 1, 3, 2)
        (folder / "class_names.txt").write_text("airplane\nbird\ncar\ncat\n")
        patch.setattr(torchvision.datasets.STL10, "_check_integrity", lambda _: True)
        patch.setattr(torchvision.datasets.stl10, "check_integrity", lambda *_: True)
        dataset = reader(tmp_path, name="STL10", split="train+unlabeled")
        small = reader(tmp_path, name="STL10", size=24)
        assert reader(tmp_path, name="STL10", size=96).sha256 == reader(tmp_path, name="STL10").sha256
    assert dataset.train.class_names == ("airplane", "bird", "car", "cat")
    assert dataset.train.labels.tolist() == [*(np.arange(20) % 4), *[-1] * 15]
    assert np.array_equal(dataset.train.images[20:].numpy(), written["unlabeled"])
    assert np.array_equal(dataset.test.images.numpy(), written["test"])
    assert (len(small.train), small.train.shape) == (20, (3, 24, 24))


def test_a_class_without_a_test_set_has_one_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.concatenate([GENERATOR.integers(0, 2, (50, 256)), np.eye(10)[np.arange(50) % 10]], axis=1)
    np.savetxt(tmp_path / "semeion.data", rows, "%d")
    monkeypatch.setattr(torchvision.datasets.SEMEION, "md5_checksum", md5(tmp_path / "semeion.data"))
    dataset = reader(tmp_path, name="SEMEION")
    assert (len(dataset.train), len(dataset.test)) == (40, 10)
    assert dataset.train.shape == (1, 16, 16)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"name": "Nope"}, "torchvision.datasets has no class 'Nope'; see https"),
        ({"name": "KMNIST", "bogus": 1}, "torchvision's KMNIST was called with {'bogus': 1, 'train': True}"),
        ({"name": "SVHN"}, "SVHN is not complete in .* run `python -m pipeline data`"),
        ({"name": "FakeData", "image_size": [3, 12, 12], "size": "big"}, "data.args.size: 'big' is not allowed"),
        ({}, "missing a required argument: 'name'"),
    ],
)
def test_what_torchvision_cannot_give_is_said_in_words(args: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=message):
        reader(tmp_path, **args)


def test_emnist_by_its_class_is_upright_and_without_the_class_that_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_emnist(tmp_path, monkeypatch)
    named = load(DataConfig("emnist_letters", str(tmp_path)))
    by_class = reader(tmp_path, name="EMNIST", split="letters")
    assert by_class.sha256 == named.sha256
    assert "N/A" not in by_class.train.class_names
    assert by_class.train.notes[1] == "EMNIST has no image of N/A, which is no class here"
    resized = reader(tmp_path, name="EMNIST", split="letters", size=[28, 14]).train
    narrow = named.train.images.reshape(-1, 1, 28, 14, 2).float().mean(4)
    assert (resized.images - narrow).abs().mean() < (resized.images - narrow.flip(0)).abs().mean() / 3
