"""What stage predict says of new images that are not of the training's kind, by the classifier's files alone."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.artefacts import classifier
from pipeline.cli import main
from pipeline.config import DataConfig
from pipeline.datasets.loading import load
from pipeline.errors import PipelineError
from pipeline.evaluation.novelty import Space, TrainingSample, looks
from pipeline.stages.predict import UNLIKE
from tests.conftest import Run

pytestmark = pytest.mark.compared

Pixels = npt.NDArray[np.uint8]
REMARK = "images are unlike those of the training"


def cell(runs: Path, mode: str) -> Path:
    [found] = (runs / "tiny" / "cells").glob(f"{mode}-100-0-*")
    return found


def digits() -> Pixels:
    """The test images, (360, 1, 8, 8)."""
    images: Pixels = load(DataConfig("digits")).test.images.numpy()
    return images


def noise(images: Pixels) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)


def inverted(images: Pixels) -> Pixels:
    return 255 - images


def lying(images: Pixels) -> Pixels:
    return np.rot90(images, axes=(2, 3)).copy()


def shuffled(images: Pixels) -> Pixels:
    order = np.random.default_rng(0).permutation(64)
    return images.reshape(-1, 64)[:, order].reshape(images.shape)


def dim(images: Pixels) -> Pixels:
    return images // 3


def marked(folder: Path, images: Pixels, place: Path) -> npt.NDArray[np.bool_]:
    """Classify images through the command line, and return which of them it marks."""
    np.save(place / "new.npy", images)
    assert main(["predict", f"--cell={folder}", f"--images={place / 'new.npy'}", f"--out={place / 'out.csv'}"]) == 0
    with (place / "out.csv").open() as file:
        return np.array([{"yes": True, "no": False}[row[UNLIKE]] for row in csv.DictReader(file)])


@pytest.mark.parametrize("mode", ["frozen", "finetune", "scratch"])
def test_about_one_in_a_hundred_of_the_trainings_kind_is_marked_and_nearly_all_others(
    mode: str, compared_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, images = cell(compared_runs, mode), digits()
    own = marked(folder, images, tmp_path)
    assert own.mean() < 0.03
    said = capsys.readouterr().out
    assert f"unlike the training images: {own.sum()} of 360 (column unlike_training); one in a hundred is usual" in said
    assert REMARK not in said
    for change in (noise, inverted, lying, shuffled, dim):
        others = marked(folder, change(images), tmp_path)
        assert others.mean() > 0.95, change.__name__
        assert f"remark: {others.sum()} of 360 {REMARK}" in capsys.readouterr().out


def test_images_are_marked_each_by_itself(compared_runs: Path, tmp_path: Path) -> None:
    images = digits()[:20]
    together = marked(cell(compared_runs, "frozen"), np.concatenate([images, noise(images)]), tmp_path)
    assert not together[:20].any()
    assert together[20:].all()


def test_an_export_marks_the_same_images_without_the_training_data(
    runs: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = np.concatenate([digits()[:50], lying(digits()[:50])])
    expected = marked(cell(runs, "finetune"), mixed, tmp_path)
    away = tmp_path / "away"
    assert tiny("export", f"--cell={cell(runs, 'finetune')}", "--onnx=false", f"--out={away}") == 0
    shutil.rmtree(runs)
    np.testing.assert_array_equal(marked(away, mixed, tmp_path), expected)
    assert (away / "training_sample.safetensors").stat().st_size < 100_000


def test_a_competitions_table_has_no_such_column_and_the_remark_stands(
    compared_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "new.npy", noise(digits()[:9]))
    (tmp_path / "sample.csv").write_text("ImageId,Label\n" + "".join(f"{number},0\n" for number in range(1, 10)))
    arguments = (f"--images={tmp_path / 'new.npy'}", f"--submission={tmp_path / 'sample.csv'}")
    assert main(["predict", f"--cell={cell(compared_runs, 'frozen')}", *arguments, f"--out={tmp_path / 'o.csv'}"]) == 0
    said = capsys.readouterr().out
    assert "unlike the training images: 9 of 9; one in a hundred is usual" in said
    assert f"9 of 9 {REMARK}" in said
    assert (tmp_path / "o.csv").read_text().startswith("ImageId,Label\n")


# --- the measure itself ---------------------------------------------------------------------------------------


def sample(known: int, further: int, seed: int = 0) -> TrainingSample:
    latents = np.random.default_rng(seed).normal(size=(known + further, 5)).astype(np.float32)
    return TrainingSample.of(latents, looks(torch.rand(known + further, 1, 8, 8)), known)


@pytest.mark.parametrize("further", [1, 2, 30, 400])
def test_images_that_come_as_the_training_did_are_remarked_on_in_hardly_any_set(further: int) -> None:
    torch.manual_seed(0)
    remarked = 0
    for seed in range(200):
        found = sample(50, further, seed)
        latents = np.random.default_rng(1000 + seed).normal(size=(100, 5)).astype(np.float32)
        unlike = found.unlike(latents, looks(torch.rand(100, 1, 8, 8)))
        remarked += found.is_notable(int(unlike.sum()), 100)
    assert remarked <= 2  # of 200; by chance, 0.2


def test_a_single_image_is_no_ground_for_a_remark_and_a_few_are() -> None:
    found = sample(500, 1000)
    assert not found.is_notable(1, 1)
    assert found.is_notable(3, 3)
    assert not found.is_notable(40, 1000)
    assert found.is_notable(60, 1000)


def test_a_limit_is_exceeded_by_its_share_of_the_further_images() -> None:
    further = np.arange(1000, dtype=np.float32)[:, None]
    space = Space.of(np.zeros((1, 1), np.float32), further)
    assert (space.distances(further) > space.limit).sum() == 4
    assert Space.of(np.zeros((1, 1), np.float32), further[:3]).limit == 2


def test_looks_are_mean_contrast_and_what_neighbours_differ_by() -> None:
    stripes = torch.zeros(1, 1, 8, 8)
    stripes[..., ::2] = 1  # columns
    np.testing.assert_allclose(looks(stripes), [[0.5, 0.5, 0, 1]])
    np.testing.assert_allclose(looks((255 * stripes).to(torch.uint8)), [[0.5, 0.5, 0, 1]])


Spoil = Callable[[Path], None]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def without_looks(path: Path) -> None:
    save_file({name: value for name, value in load_file(path).items() if name != "looks"}, path)


def empty(path: Path) -> None:
    save_file({name: value[:0] for name, value in load_file(path).items()}, path)


def of_another_encoder(path: Path) -> None:
    tensors = load_file(path)
    save_file(tensors | {"latents": tensors["latents"][:, 1:].contiguous()}, path)


def infinite(path: Path) -> None:
    tensors = load_file(path)
    save_file(tensors | {"looks": tensors["looks"] / 0}, path)


@pytest.mark.parametrize("spoil", [Path.unlink, cut_short, without_looks, empty, of_another_encoder, infinite])
def test_a_sample_that_is_none_is_refused_in_words(spoil: Spoil, runs: Path) -> None:
    folder = cell(runs, "frozen")
    spoil(folder / "training_sample.safetensors")
    with pytest.raises(PipelineError, match=r"training_sample.safetensors cannot be read .*make the classifier again"):
        classifier.restore_sample(folder, 16)
