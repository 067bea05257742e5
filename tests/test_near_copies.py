"""Copies of training images in the test set that are no copies to the bit."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from pipeline.config import DataConfig
from pipeline.datasets.loading import load
from pipeline.datasets.near_copies import REMARKABLE, NearCopies, find_near_copies
from pipeline.datasets.readers import mnist
from tests.conftest import Run


def scenes(count: int) -> list[Image.Image]:
    """Pictures of 40 x 40 pixels cut out of the photographs of scikit-learn, without plain sky."""
    from sklearn.datasets import load_sample_images

    photos = [
        photo[y : y + 40, x : x + 40]
        for photo in load_sample_images().images
        for y in range(0, 400, 40)
        for x in range(0, 600, 40)
    ]
    return [Image.fromarray(photo) for photo in photos if photo.std() > 25][:count]


def recompressed(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=50)
    return Image.open(content).convert("RGB")


def resized(image: Image.Image) -> Image.Image:
    return image.resize((30, 30), Image.Resampling.BILINEAR).resize((40, 40), Image.Resampling.BILINEAR)


def darker(image: Image.Image) -> Image.Image:
    return image.point(lambda value: value * 0.7 + 10)


def mirrored(image: Image.Image) -> Image.Image:
    return ImageOps.mirror(resized(image))


CHANGES = [recompressed, resized, darker, mirrored]


def tensor(images: list[Image.Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_with_their_originals(change: Callable[[Image.Image], Image.Image]) -> None:
    photos = scenes(190)
    train, others = photos[:150], photos[150:]
    originals = list(range(0, 150, 10))
    found = find_near_copies(tensor(train), tensor(others + [change(train[n]) for n in originals]))
    right = {(len(others) + place, n) for place, n in enumerate(originals)}
    assert found.examined == 55
    assert len(right & set(found.pairs)) >= 14
    wrong = [test for test, _ in set(found.pairs) - right]
    assert len(wrong) <= 2  # pieces of one photograph are much alike


def test_an_image_with_twenty_copies_in_the_training_set_is_found() -> None:
    photos = scenes(190)
    copies = [photos[0].point(lambda value, n=n: value * (0.6 + n / 50)) for n in range(20)]
    assert find_near_copies(tensor(photos[1:] + copies), tensor([resized(photos[0])])).pairs != []


class Counted:
    """Images that count how often each of them is read."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images, self.shape, self.reads = images, images.shape, torch.zeros(len(images), dtype=torch.long)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any, /) -> torch.Tensor:
        self.reads[index] += 1
        return self.images[index]


def test_training_images_which_may_lie_in_files_are_read_once() -> None:
    photos = scenes(190)
    train = Counted(tensor(photos[:150]))
    assert (40, 0) in find_near_copies(train, tensor([*photos[150:], darker(photos[0])])).pairs
    assert (train.reads == 1).all()


@pytest.mark.parametrize("count", [10, 11, 20, 49, 50, 60])
def test_images_that_are_all_alike_are_no_copies_however_few_there_are(count: int) -> None:
    picture = tensor(scenes(1))[0].float()
    noise = 8 * torch.randn(count + 5, *picture.shape, generator=torch.Generator().manual_seed(0))
    alike = (picture + noise).clamp(0, 255).byte()
    train, test = alike[:count], alike[count:]
    assert find_near_copies(train, test).pairs == []
    assert find_near_copies(train, train).pairs == []
    darkened = (train[:1].float() * 0.7 + 10).byte()
    assert find_near_copies(train, darkened).pairs == [(0, 0)]


def test_one_of_a_set_is_a_copy_of_another_but_not_of_itself() -> None:
    photos = scenes(150)
    images = tensor([*photos, darker(photos[0])])
    pairs = find_near_copies(images, images).pairs
    assert {(0, 150), (150, 0)} <= set(pairs)
    assert all(one != other for one, other in pairs)


def test_handwritten_digits_are_no_copies_of_each_other(tmp_path: Path) -> None:
    mnist.prepare(tmp_path)
    train, test = mnist.load(tmp_path)
    found = find_near_copies(train.images[:20_000], test.images[:500])
    assert len(found.pairs) <= REMARKABLE * found.examined  # too few for a remark
    digits = load(DataConfig("digits"))
    assert find_near_copies(digits.train.images, digits.test.images) == NearCopies(0, [])


def test_check_dataset_shows_pairs(tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = scenes(190)
    for n, photo in enumerate(photos):
        folder = tmp_path / "p" / "train" / ("day", "night")[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        photo.save(folder / f"{n}.png")
    for n, photo in enumerate(photos[:40]):
        folder = tmp_path / "p" / "test" / ("day", "night")[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        photo.save(folder / f"{n}.jpg", quality=60)
    runs = tmp_path / "runs"
    settings = ("--data.dataset=folder", f"--data.args.path={tmp_path / 'p'}", f"--runs={runs}")
    assert tiny("check-dataset", *settings) == 0
    [folder] = runs.glob("tiny/check-dataset-*")
    card = json.loads((folder / "card.json").read_text())
    assert card["near_copies"] >= 36
    assert (
        f"remark: {card['near_copies']} of 40 test images examined are nearly a training image"
        in capsys.readouterr().out
    )
    with Image.open(folder / "near_copies.png") as sheet:
        assert sheet.size == (2 * 82 + 2, 20 * 82 + 2)
