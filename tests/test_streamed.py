"""Images that stay in files: the same data, the same batches, the same weights, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.config import DataConfig
from pipeline.datasets import batches, streamed
from pipeline.datasets.batches import Batches
from pipeline.datasets.checksums import content_hashes
from pipeline.datasets.image_data import Dataset
from pipeline.datasets.loading import load
from pipeline.datasets.streamed import Rows, Streamed
from pipeline.errors import PipelineError
from pipeline.store import disk, memory, tensor_file
from tests.conftest import Run

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (90, 9, 8), dtype=np.uint8)
COLOUR = GENERATOR.integers(0, 256, (90, 9, 8, 3), dtype=np.uint8)
LABELS = np.arange(90) % 3


def save(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def read(path: Path, streaming: str, dataset: str = "numpy", **args: Any) -> Dataset:
    root = str(path.parent / "raw")
    return load(DataConfig(dataset, root, {"path": str(path), **args}, streaming))  # type: ignore[arg-type]


def kept(path: Path) -> list[Path]:
    return sorted((path.parent / "raw" / "streamed").glob("*.npy"))


def same(first: Dataset, second: Dataset) -> bool:
    return (first.sha256, len(first.copies.in_test)) == (second.sha256, len(second.copies.in_test)) and all(
        torch.equal(a.images[:], b.images[:]) and torch.equal(a.labels, b.labels)
        for a, b in ((first.train, second.train), (first.test, second.test))
    )


# --- rows in files --------------------------------------------------------------------------------------------


@settings(deadline=None)  # files are read
@given(
    parts=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    indices=st.lists(st.lists(st.integers(0, 10**6), max_size=12), min_size=1, max_size=3),
    bounds=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_streamed_images_are_indexed_as_the_tensor_would_be(
    tmp_path_factory: pytest.TempPathFactory, parts: list[int], indices: list[list[int]], bounds: tuple[int, int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.npy"
    np.save(path, GREY[: sum(parts), None])
    whole = np.load(path, mmap_mode="r")
    ends = np.cumsum(parts).tolist()
    rows = [Rows.of(whole[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    images, expected = Streamed([piece for piece in rows if piece is not None]), torch.from_numpy(np.array(whole))
    for index in indices:  # subsets of subsets
        chosen = (
            torch.tensor([n % len(images) for n in index], dtype=torch.int64) if len(images) else torch.zeros(0).long()
        )
        assert torch.equal(images[chosen], expected[chosen])
        assert torch.equal(images[slice(*bounds)], expected[slice(*bounds)])
        images, expected = images.subset(chosen), expected[chosen]
        assert images.shape == expected.shape


def test_a_file_that_changes_or_ends_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path, x=GREY) / "x.npy"
    rows = Rows.of(np.load(path, mmap_mode="r"))
    assert rows is not None
    assert np.array_equal(rows[3:5], GREY[3:5])
    os.truncate(path, 1000)
    with pytest.raises(PipelineError, match=r"x.npy was changed while it was in use"):
        rows[3:5]
    path.unlink()
    with pytest.raises(PipelineError, match=r"x.npy cannot be read .* restore the file"):
        rows[3:5]


@pytest.mark.parametrize("wanted", [slice(3, 5), slice(80, 85)], ids=["what is left", "what is gone"])
def test_a_file_that_changes_in_the_midst_of_a_read_is_noticed(
    wanted: slice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, x=GREY) / "x.npy"
    rows = Rows.of(np.load(path, mmap_mode="r"))
    assert rows is not None
    fill = streamed._fill

    def cut_then_filled(file: Any, view: memoryview) -> bool:
        os.truncate(path, 1000)
        return fill(file, view)

    monkeypatch.setattr(streamed, "_fill", cut_then_filled)
    with pytest.raises(PipelineError, match=r"x.npy was changed while it was in use"):
        rows[wanted]


def test_batches_are_the_same_and_come_in_the_same_order(tmp_path: Path) -> None:
    rows = Rows.of(np.load(save(tmp_path, x=GREY[:, None]) / "x.npy", mmap_mode="r"))
    assert rows is not None
    index = torch.arange(3, 88)
    given: list[Any] = [torch.from_numpy(GREY[:, None]), Streamed([rows])]
    memory, files = (Batches(images, torch.arange(90), index, 4, 7, lambda: 2) for images in given)
    pairs = list(zip(memory, files, strict=True))
    assert len(pairs) == 22
    for (x, labels), (y, same_labels) in pairs:
        assert torch.equal(x, y)
        assert torch.equal(labels, same_labels)


def test_what_a_reader_ahead_finds_wrong_is_raised(tmp_path: Path) -> None:
    path = save(tmp_path, x=GREY[:, None]) / "x.npy"
    rows = Rows.of(np.load(path, mmap_mode="r"))
    assert rows is not None
    loader = iter(Batches(Streamed([rows]), torch.arange(90), torch.arange(90), 2, 0, lambda: 0))
    next(loader)
    os.truncate(path, 1000)
    with pytest.raises(PipelineError, match="was changed while it was in use"):
        list(loader)


# --- the same data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["plain", "rows", "channels first", "channels last", "floats", "pool and test"])
def test_a_streamed_data_set_is_the_one_in_memory(layout: str, tmp_path: Path) -> None:
    layouts: dict[str, dict[str, np.ndarray]] = {
        "plain": {"images": GREY},
        "rows": {"images": GENERATOR.integers(0, 256, (90, 64), dtype=np.uint8)},
        "channels first": {"images": COLOUR.transpose(0, 3, 1, 2).copy()},
        "channels last": {"images": COLOUR},
        "floats": {"images": GREY.astype(np.float32) / 255},
        "pool and test": {
            "images": GREY,
            "unlabelled": GENERATOR.integers(0, 256, (40, 9, 8), dtype=np.uint8),
            "test_images": np.concatenate([GREY[:4], 255 - GREY[:20]]),  # four of them are training images, too
            "test_labels": np.arange(24) % 3,
        },
    }
    path = save(tmp_path / "x", labels=LABELS, **layouts[layout])
    memory, files = read(path, "never"), read(path, "always")
    assert isinstance(files.train.images, Streamed)
    assert isinstance(memory.train.images, torch.Tensor)
    assert same(memory, files)
    assert len(memory.copies.in_test) == (4 if layout == "pool and test" else 0)
    assert len(kept(path)) == (layout in ("channels last", "floats"))  # bytes are read from where they lie


def test_pictures_are_decoded_into_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pictures"
    for number, label in enumerate(LABELS):
        (path / "train" / str(label)).mkdir(parents=True, exist_ok=True)
        (path / "test" / str(label)).mkdir(parents=True, exist_ok=True)
        colour = number % 2
        folder = path / ("test" if number > 70 else "train") / str(label)
        Image.fromarray(COLOUR[number] if colour else GREY[number]).save(folder / f"{number}.png")
    monkeypatch.setattr("pipeline.datasets.stacking.CHUNK", 1000)  # so that there are several pieces
    files = read(path, "always", "folder", size=10)
    [made] = kept(path)
    before = made.stat().st_mtime_ns
    assert same(files, read(path, "never", "folder", size=10))
    assert same(files, read(path, "always", "folder", size=10))
    assert made.stat().st_mtime_ns == before
    Image.fromarray(COLOUR[0]).save(path / "train" / "0" / "new.png")
    assert read(path, "always", "folder", size=10).sha256 != files.sha256


USERS = """
import numpy as np

def mapped(root):
    images = np.load(root / "images.npy", mmap_mode="r")
    return (images[:60], np.arange(60) % 3), (images[60:], np.arange(30) % 3)

def turned(root):
    return np.load(root / "images.npy", mmap_mode="r")[::-1], np.arange(90) % 3
"""


def test_memory_mapped_arrays_of_a_users_function_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_maps.py").write_text(USERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    save(tmp_path, images=GREY)
    memory, files = (load(DataConfig("their_maps:mapped", str(tmp_path), {}, s)) for s in ("never", "always"))
    assert isinstance(files.test.images, Streamed)
    assert same(memory, files)
    assert np.array_equal(files.test.images[:][:, 0], GREY[60:])
    with pytest.raises(PipelineError, match=r"data.streaming: their_maps:turned has its images in memory already"):
        load(DataConfig("their_maps:turned", str(tmp_path), {}, "always"))


def test_images_are_hashed_once_and_again_when_a_file_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "x", images=GREY, labels=LABELS)
    first = read(path, "always")
    hashed: list[int] = []

    def counting(images: Any, *args: Any) -> Any:
        hashed.append(len(images))
        return content_hashes(images, *args)

    monkeypatch.setattr("pipeline.datasets.checksums.content_hashes", counting)
    assert same(first, read(path, "always"))
    assert hashed == []
    save(path, labels=(LABELS + 1) % 3)
    assert read(path, "always").sha256 != first.sha256
    times = path.joinpath("images.npy").stat()
    with path.joinpath("images.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([255 - int(GREY[-1, -1, -1])]))
    os.utime(path / "images.npy", ns=(times.st_atime_ns, times.st_mtime_ns))  # a flipped byte behind an old date
    save(path, labels=LABELS)
    assert read(path, "always").sha256 != first.sha256
    assert len(hashed) == 4


def test_what_is_streamed_is_decided_by_size_against_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "x", images=GREY, labels=LABELS)
    monkeypatch.setattr(streamed, "available_memory", lambda: 2 * GREY.size)
    assert isinstance(read(path, "auto").train.images, torch.Tensor)
    monkeypatch.setattr(streamed, "available_memory", lambda: 2 * GREY.size - 2)
    assert isinstance(read(path, "auto").train.images, Streamed)
    assert isinstance(read(path, "never").train.images, torch.Tensor)
    monkeypatch.undo()
    assert 2**28 < memory.available_memory() <= memory.physical_memory() < 2**50


def test_a_disk_without_room_is_noticed_before_anything_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "x", images=COLOUR, labels=LABELS)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda root: usage)
    with pytest.raises(PipelineError, match=r"data.root: .* has 0.0 MB free, the converted images take 0.0 MB; name a"):
        read(path, "always")
    assert kept(path) == []


# --- the same weights -----------------------------------------------------------------------------------------


def outcome(runs: Path) -> dict[str, str]:
    """SHA-256 of all that was learnt, by file."""
    names = ("*.safetensors", "predictions.npz", "split.json", "history.csv")
    files = sorted(file for name in names for file in runs.rglob(name))
    return {f"{file.parent.name}/{file.name}": disk.sha256_file(file) for file in files}


def test_every_stage_learns_the_same_from_files_to_the_bit(
    tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "x", images=GREY, labels=LABELS)
    monkeypatch.setattr(batches, "HELD", 90 * 72 // 4)  # labelled images fit into that, the others do not
    found = {}
    for streaming in ("never", "always"):
        runs = tmp_path / streaming
        settings = (
            "--data.dataset=numpy",
            f"--data.args.path={path}",
            f"--data.streaming={streaming}",
            f"--runs={runs}",
            "--pretrain.epochs=2",
            "--pretrain.holdout=10",
            "--pretrain.batch_size=8",
            "--grid.modes=[finetune,propagate]",
            "--train.length=2",
            "--train.unlabelled_steps=4",
            "--train.evaluations=2",
            "--grid.labels=[15]",
            "--grid.draws=1",
        )
        for stage in ("data", "check-dataset", "pretrain", "compare"):
            assert tiny(stage, *settings) == 0
        said = capsys.readouterr().out
        assert ("streamed from disk (0.0 MB of images" in said) == (streaming == "always")
        found[streaming] = outcome(runs)
    assert found["never"] == found["always"]
    assert len(found["never"]) >= 10


# --- bounded memory -------------------------------------------------------------------------------------------

MEASURE = """
import sys
from pathlib import Path
from pipeline.cli import main

def peak():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) // 1024

import pipeline.learning.pretrain, pipeline.datasets.arrays, sklearn.model_selection
before = peak()
status = main(sys.argv[1:])
print("grown by", peak() - before, "MB")
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc tells the peak of memory")
def test_memory_stays_bounded_while_a_gigabyte_is_pretrained_on(tmp_path: Path) -> None:
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (2**18, 64, 64))
    images[:, ::8, 0] = GENERATOR.integers(0, 256, (2**18, 8), dtype=np.uint8)
    images.flush()
    np.save(tmp_path / "labels.npy", np.where(np.arange(2**18) < 100, np.arange(2**18) % 2, -1))
    common = ["--data.dataset=numpy", f"--data.args.path={tmp_path}", f"--data.root={tmp_path}", f"--runs={tmp_path}"]
    network = "{name: mlp, widths: [8]}"
    small = [
        "--pretrain.epochs=1",
        "--grid.labels=[40]",
        f"--pretrain.encoder={network}",
        f"--pretrain.decoder={network}",
    ]
    for stage in ("data", "pretrain"):
        arguments = [stage, *common, *small, "--pretrain.corruption=0", "--pretrain.latent=8"]
        command = [sys.executable, "-c", MEASURE, *arguments, "--data.streaming=always"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert int(said.split("grown by ")[1].split()[0]) < 500, (stage, said)


def test_a_tensor_file_is_what_safetensors_reads(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensor = tensor_file.create(tmp_path / "x.safetensors", "train", 7, 3)
    expected = torch.randn(7, 3)
    tensor.copy_(expected)
    assert torch.equal(load_file(tmp_path / "x.safetensors")["train"], expected)
