"""Which value is white: the one rule, from the numbers to the intensities that networks see."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.scale import BYTES, Scale, Values, find_range, find_scale, find_scale_like
from pipeline.errors import PipelineError

X, Y = load_digits(return_X_y=True)
DIGITS = X[:60].reshape(-1, 8, 8)  # 0 to 16, which is white
LABELS = Y[:60]
EXPECTED = np.rint(DIGITS * 255 / 16).astype(np.uint8)


def read(images: Any, white: float | None = None) -> ImageData:
    data = from_arrays(images, LABELS, white=white)
    assert isinstance(data, ImageData)
    return data


def pixels(images: Any, white: float | None = None) -> np.ndarray:
    found: np.ndarray = read(images, white).images.numpy()[:, 0]
    return found


def floats(*extra: float) -> np.ndarray:
    """Digits from 0 to 1, the first pixels of which are these."""
    images = (DIGITS / 16).astype(np.float32)
    images[0, 0, : len(extra)] = extra
    return np.asarray(images)


@pytest.mark.parametrize(
    ("images", "white", "text"),
    [
        (EXPECTED, None, "pixels 0 to 255, taken as 0 to 1 by white: 255"),
        (EXPECTED.astype(np.int64), None, "pixels 0 to 255, taken as 0 to 1 by white: 255"),
        (EXPECTED.astype(np.float32), None, "pixels 0 to 255, taken as 0 to 1 by white: 255"),
        (floats(), None, "pixels 0 to 1, taken as 0 to 1 by white: 1"),
        (DIGITS, 16, "pixels 0 to 16, taken as 0 to 1 by white: 16"),
        (DIGITS.astype(np.uint8), 16, "pixels 0 to 16, taken as 0 to 1 by white: 16"),
    ],
)
def test_the_same_images_come_out_and_how_is_said(images: np.ndarray, white: float | None, text: str) -> None:
    assert np.array_equal(pixels(images, white), EXPECTED)
    assert read(images, white).scale.text == text


def test_a_hair_above_one_is_rounding() -> None:
    hair = float(np.nextafter(np.float32(1), np.float32(2)))
    found = pixels(floats(hair))
    assert found[0, 0, 0] == 255
    assert np.array_equal(found[1:], EXPECTED[1:])
    assert (
        "pixels 0 to 1.00000012, taken as 0 to 1 by white: 1 (values slightly above 1 are"
        in read(floats(hair)).scale.text
    )


def test_smooth_resizing_leaves_floats_beyond_black_and_white() -> None:
    found = pixels(floats(-0.06, 1.07))
    assert found[0, 0, :2].tolist() == [0, 255]
    assert np.array_equal(found[1:], EXPECTED[1:])
    assert "above 1 and below 0" in read(floats(-0.06, 1.07)).scale.text
    found = pixels(255 * floats(-0.06, 1.07))  # likewise on the other scale
    assert np.array_equal(found[1:], EXPECTED[1:])


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64, bool])
def test_black_and_white_of_any_type_is_black_and_white(kind: type) -> None:
    found = pixels((DIGITS > 7).astype(kind))
    assert np.array_equal(found, 255 * (DIGITS > 7))


def test_bytes_that_hold_zero_and_one_alone_are_remarked() -> None:
    assert "bytes that hold 0 and 1 alone; if they" in read((DIGITS > 7).astype(np.uint8)).scale.text
    assert pixels((DIGITS > 7).astype(np.uint8), 255).max() == 1  # unless their owner knows better


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (DIGITS, r"images: pixels run from 0 to 16, and nothing tells which value is white.* data\.args\.white 16;"),
        (DIGITS.astype(np.int32), r"from 0 to 16, and nothing tells"),
        (floats(1.3), r"from 0 to 1\.29999995, and nothing tells"),
        (floats() - 0.5, r"from -0\.5 to 0\.5; expected 0 \(black\) to 1 \(white\)\. Undo any standardisation"),
        ((floats() - 0.13) / 0.31, r"from -0\.419.* to 2\.8.*; expected 0 \(black\) to 255 \(white\)\. Undo any stand"),
        (DIGITS.astype(np.int32) * 100, r"from 0 to 1600; expected 0 \(black\) to 255 \(white\)"),
        (-DIGITS, r"from -16 to -?0; expected 0 \(black\)"),
    ],
)
def test_what_tells_nothing_is_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        read(images)


def parts(images: np.ndarray, test: np.ndarray, white: float | None = None) -> tuple[ImageData, ImageData]:
    found = from_arrays(images, LABELS, test_images=test, test_labels=LABELS[: len(test)], white=white)
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_parts_of_different_scale_are_refused(kind: type) -> None:
    one = (DIGITS / 16).astype(kind)
    for images, test in ((one, one * 255), (one * 255, one)):
        with pytest.raises(
            PipelineError, match=r"test_images: pixels run from 0 to .*, those of images from 0 to .* to"
        ):
            parts(images, test)
    with pytest.raises(PipelineError, match="unlabelled: pixels run from 0 to 255, those of images from 0 to 1"):
        from_arrays(one, LABELS, unlabelled=one * 255)


def test_parts_of_bytes_are_compared_too() -> None:
    with pytest.raises(PipelineError, match="test_images: pixels run from 0 to 1, those of images from 0 to 255"):
        parts(EXPECTED, (DIGITS > 7).astype(np.uint8))
    with pytest.raises(PipelineError, match="test_images: pixels run from 0 to 255, those of images from 0 to 16"):
        parts(DIGITS.astype(np.uint8), EXPECTED)


def test_a_dark_part_is_no_part_of_another_scale() -> None:
    train, test = parts(floats(1.02), floats()[:5] * 0.5)
    assert (train.scale, train.scale.white) == (test.scale, 1)
    assert int(test.images.max()) == 128
    assert int(parts(floats(), 0 * floats()[:5])[1].images.max()) == 0
    assert int(parts(EXPECTED, EXPECTED[:5] // 25, white=255)[1].images.max()) == 10  # said by their owner


# --- new images -----------------------------------------------------------------------------------------------

SIXTEEN = Scale(16, Values("int64", 0, 16), given=True)
UNIT = Scale(1, Values("float32", 0, 1))


@pytest.mark.parametrize(
    ("known", "values", "white"),
    [
        (SIXTEEN, Values("int64", 0, 16), 16),
        (SIXTEEN, Values("uint8", 0, 16), 16),
        (SIXTEEN, Values("float32", 0, 15.9), 16),
        (SIXTEEN, Values("float32", 0, 16.2), 16),
        (SIXTEEN, Values("int64", 0, 3), 16),  # a few dark ones
        (SIXTEEN, Values("float32", 0, 255), 255),
        (SIXTEEN, Values("float32", 0, 1), 1),
        (SIXTEEN, Values("bool", 0, 1), 1),
        (BYTES, Values("float32", 0, 1), 1),
        (BYTES, Values("int64", 0, 100), 255),  # which alone would tell nothing
        (UNIT, Values("uint8", 0, 255), 255),
        (UNIT, Values("float64", -0.01, 1.01), 1),
    ],
)
def test_new_images_are_scaled_as_those_of_the_training_if_they_can_be(
    known: Scale, values: Values, white: float
) -> None:
    assert find_scale_like(known, "images", values, None, "--white").white == white


@pytest.mark.parametrize("high", [17, 100])
def test_new_images_of_neither_scale_are_refused(high: int) -> None:
    with pytest.raises(
        PipelineError, match=f"images: pixels run from 0 to {high}, and nothing tells .* --white {high}"
    ):
        find_scale_like(SIXTEEN, "images", Values("int64", 0, high), None, "--white")
    assert find_scale_like(SIXTEEN, "images", Values("int64", 0, high), 100, "--white").white == 100


def test_a_scale_is_stored_and_read_again() -> None:
    assert Scale.from_dict(asdict(SIXTEEN)) == SIXTEEN
    broken: dict[str, Any]
    for broken in ({"white": -1}, {"white": "a"}, {"values": {}}, {"values": {"dtype": "?!", "low": 0, "high": 1}}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Scale.from_dict(asdict(SIXTEEN) | broken)


def test_an_estimator_takes_any_range_but_knows_black_and_white() -> None:
    assert find_range(Values("float64", 0.1, 0.9)) == (0, 1)
    assert find_range(Values("int64", 3, 250)) == (0, 255)
    assert find_range(Values("float64", 0, 16)) == (0, 16)
    assert find_range(Values("float64", -2, 3)) == (-2, 3)
    assert find_scale({"a": Values("bool", 0, 1)}).white == 1
