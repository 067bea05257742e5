"""Changes that leave a class as it is: what each amount does, and what makes no difference."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pipeline.config import PRESETS, DataConfig, InvariancesConfig
from pipeline.datasets.invariances import Augmentation, augmentation
from pipeline.datasets.loading import load
from pipeline.errors import PipelineError
from tests.conftest import Run

AMOUNTS = [field.name for field in dataclasses.fields(InvariancesConfig) if field.name != "preset"]


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    images: torch.Tensor = load(DataConfig("digits")).train.images[:64]
    return images.float() / 255


@pytest.fixture
def largest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every uniform random number is the largest."""
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.ones(*size))


def colourful(count: int = 40) -> torch.Tensor:
    return torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(0))


# --- amounts and strengths ------------------------------------------------------------------------------------


def test_the_augmentation_has_every_amount_of_the_settings() -> None:
    augment = Augmentation(**dict.fromkeys(AMOUNTS, 0.5))
    assert all(getattr(augment, name) == 0.5 for name in AMOUNTS)


def test_an_amount_overrides_the_preset_and_a_strength_scales_all_but_the_chance_of_a_mirror_image() -> None:
    settings = InvariancesConfig("objects", rotation=0.0, noise=0.2)
    whole, half = settings.amounts(), settings.amounts(0.5)
    assert "rotation" not in whole
    assert (whole["noise"], half["noise"]) == (0.2, 0.1)
    assert whole["flip"] == half["flip"] == 0.5
    assert half["scale"] == whole["scale"] / 2
    assert settings.amounts(0) == {}
    assert isinstance(augmentation(settings, 0), nn.Identity)


def test_digits_are_not_mirrored_and_not_recoloured() -> None:
    assert PRESETS["none"] == {}
    assert PRESETS["digits"].keys() & {"flip", "hue", "saturation"} == set()
    assert PRESETS["objects"]["flip"] == 0.5


@pytest.mark.parametrize(
    ("name", "value"), [("rotation", -1.0), ("flip", 1.5), ("shift", 2.0), ("noise", float("nan"))]
)
def test_amounts_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(PipelineError, match=rf"invariances\.{name}: {value} is not allowed"):
        InvariancesConfig(**{name: value})  # type: ignore[arg-type]


# --- what each amount does ------------------------------------------------------------------------------------


def test_no_amount_leaves_the_image_as_it_is(digits: torch.Tensor) -> None:
    assert torch.equal(Augmentation()(digits), digits)


@pytest.mark.parametrize(
    "amount", [{"rotation": 20.0}, {"scale": 0.3}, {"shear": 0.3}, {"shift": 0.1}, {"elastic": 0.05}]
)
def test_each_amount_of_movement_moves_every_image_its_own_way(digits: torch.Tensor, amount: dict[str, float]) -> None:
    torch.manual_seed(0)
    same = digits[:1].expand(16, -1, -1, -1)
    moved = Augmentation(**amount)(same)
    assert moved.shape == same.shape
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert len({image.numpy().tobytes() for image in moved}) == 16
    # what moves is not destroyed: the ink stays, roughly
    assert (moved.sum((1, 2, 3)) / same.sum((1, 2, 3))).median() == pytest.approx(1, abs=0.25)


def test_a_quarter_turn_is_a_rotation(largest: None) -> None:
    image = torch.arange(81.0).view(1, 1, 9, 9) / 81
    turned = Augmentation(rotation=90.0)(image)
    quarter = [torch.rot90(image, k, (2, 3)) for k in (1, 3)]
    assert min((turned - q).abs().max().item() for q in quarter) < 1e-4


def test_a_shift_is_by_its_share_of_the_side(largest: None) -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4, 4] = 1
    assert Augmentation(shift=0.25)(image)[0, 0, 2, 2] == pytest.approx(1, abs=1e-5)


def test_a_mirror_image_is_one_left_to_right() -> None:
    torch.manual_seed(0)
    images = colourful()
    changed = Augmentation(flip=0.5)(images)
    kept, mirrored = ((changed - other).abs().amax((1, 2, 3)) < 1e-4 for other in (images, images.flip(3)))
    assert (kept ^ mirrored).all()
    assert 10 < mirrored.sum() < 30


def test_elastic_displacements_are_smooth_and_as_large_as_they_say() -> None:
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    field, straight = Augmentation(elastic=0.04)._field(images), Augmentation(rotation=1e-9)._field(images)
    displacement = (field - straight) / 2  # in sides
    assert displacement.std() == pytest.approx(0.04 * 0.75, rel=0.15)  # less between the control points
    assert displacement.diff(dim=1).abs().mean() < displacement.abs().mean() / 4


def test_brightness_and_contrast_are_those_of_the_whole_image(largest: None) -> None:
    images = colourful() / 4 + 0.25
    torch.testing.assert_close(Augmentation(brightness=0.5)(images), images * 1.5)
    mean = images.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(Augmentation(contrast=0.5)(images), (images - mean) * 1.5 + mean)


def test_a_third_of_the_colour_circle_swaps_the_channels(largest: None) -> None:
    images = colourful()
    turned = Augmentation(hue=1 / 3)(images)
    assert min((turned - images.roll(k, 1)).abs().max() for k in (1, 2)) < 1e-5
    torch.testing.assert_close(Augmentation(saturation=0.5)(images / 4).mean(1), images.mean(1) / 4)


def test_erasing_fills_a_square_in_half_of_the_images_with_their_colour() -> None:
    torch.manual_seed(0)
    images = torch.rand(300, 3, 16, 16)
    changed = (Augmentation(erase=0.5)(images) != images).all(1)
    counts = changed.sum((1, 2))
    assert 100 < (counts > 0).sum() < 160  # half, less those whose square is smaller than a pixel
    assert counts.max() <= 64
    assert changed.any(0).all()  # no place is spared


def test_noise_stays_in_range(digits: torch.Tensor) -> None:
    noisy = Augmentation(noise=0.5)(digits)
    assert noisy.min() == 0
    assert noisy.max() == 1


# --- what must not matter -------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["digits", "objects"])
def test_a_grey_image_is_changed_like_the_same_image_in_three_channels(preset: str, digits: torch.Tensor) -> None:
    augment = augmentation(InvariancesConfig(preset, erase=0.5, noise=0.1), 1.0, 0.25)  # type: ignore[arg-type]
    torch.manual_seed(3)
    grey = augment(digits)
    torch.manual_seed(3)
    colour = augment(digits.expand(-1, 3, -1, -1))
    torch.testing.assert_close(colour, grey.expand(-1, 3, -1, -1), rtol=0, atol=1e-6)
    assert (grey != digits).any()


def test_the_share_of_clean_images() -> None:
    torch.manual_seed(0)
    batch = torch.rand(40, 1, 4, 4) / 2
    for share in (0.0, 0.3, 1.0):
        augment = Augmentation(noise=0.2, clean_fraction=share)
        changed = torch.stack([(augment(batch) != batch).flatten(1).any(1) for _ in range(200)]).float()
        assert (changed.sum(1) == round(40 * (1 - share))).all()
        assert changed.mean(0).numpy() == pytest.approx(1 - share, abs=0.15)  # no place in the batch is spared


def test_other_shapes_than_the_last_batch(digits: torch.Tensor) -> None:
    augment = Augmentation(rotation=10.0, elastic=0.02, saturation=0.5)
    for shape in ((2, 1, 8, 8), (3, 3, 9, 12), (1, 2, 12, 9), (2, 1, 8, 8)):
        assert augment(torch.rand(shape)).shape == shape


# --- the command line -----------------------------------------------------------------------------------------


def test_check_dataset_shows_copies_of_six_images_that_count_as_the_same_class(runs: Path, tiny: Run) -> None:
    assert tiny("check-dataset") == 0
    assert tiny("check-dataset", "--invariances.preset=none") == 0
    differences = []
    for folder in sorted((runs / "tiny").glob("check-dataset-*/"), key=lambda path: path.stat().st_mtime):
        with Image.open(folder / "augmented.png") as sheet:
            pixels = np.asarray(sheet.convert("L"), dtype=float)
        assert pixels.shape == (6 * 58 + 2, 9 * 58 + 2)  # 8 pixels enlarged seven times, and the lines between
        tiles = pixels[2:, 2:].reshape(6, 58, 9, 58)[:, :56, :, :56]
        differences.append(np.abs(tiles[:, :, 1:] - tiles[:, :, :1]).mean((1, 3)))
    changed, unchanged = differences
    assert (changed > 1).all()
    assert not unchanged.any()
