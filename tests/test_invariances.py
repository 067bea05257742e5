from __future__ import annotations

import pytest
import torch

from pipeline.config import DataConfig
from pipeline.datasets.invariances import RandomDistortion
from pipeline.datasets.loading import load


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    images: torch.Tensor = load(DataConfig("digits")).train.images[:64]
    return images.float() / 255


def test_no_strength_leaves_the_image_as_it_is(digits: torch.Tensor) -> None:
    assert torch.equal(RandomDistortion()(digits), digits)


@pytest.mark.parametrize(
    "strength", [{"rotation": 20.0}, {"scale": 0.3}, {"shear": 0.3}, {"translation": 0.1}, {"elastic": 0.05}]
)
def test_each_geometric_strength_moves_every_image_its_own_way(
    digits: torch.Tensor, strength: dict[str, float]
) -> None:
    torch.manual_seed(0)
    same = digits[:1].expand(16, -1, -1, -1)
    moved = RandomDistortion(**strength)(same)  # type: ignore[arg-type]
    assert moved.shape == same.shape
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert len({image.numpy().tobytes() for image in moved}) == 16
    # a distortion is no destruction: the ink stays, roughly
    assert (moved.sum((1, 2, 3)) / same.sum((1, 2, 3))).median() == pytest.approx(1, abs=0.25)


def test_a_quarter_turn_is_a_rotation() -> None:
    """The affine matrix against torch.rot90, with the angle pinned."""
    distortion = RandomDistortion(rotation=90.0)
    image = torch.rand(1, 1, 9, 9)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, **_: torch.ones(*size))  # the largest angle
        turned = distortion(image)
    quarter = [torch.rot90(image, k, (2, 3)) for k in (1, 3)]
    assert min((turned - q).abs().max().item() for q in quarter) < 1e-4


def test_translation_shifts_by_its_share_of_the_side() -> None:
    distortion = RandomDistortion(translation=0.25)
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4, 4] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, **_: torch.ones(*size))
        moved = distortion(image)
    assert moved[0, 0, 2, 2] == pytest.approx(1, abs=1e-5)


def test_erasing_blanks_a_square_and_noise_stays_in_range(digits: torch.Tensor) -> None:
    torch.manual_seed(0)
    white = torch.ones(200, 1, 16, 16)
    blank = (RandomDistortion(erase=0.25)(white) == 0).sum((1, 2, 3))
    assert blank.max() == 16  # a quarter of the side, squared, wherever it lies whole
    noisy = RandomDistortion(noise=0.5)(digits)
    assert noisy.min() == 0
    assert noisy.max() == 1
