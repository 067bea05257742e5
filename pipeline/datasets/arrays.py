"""From arrays as people have them to what the pipeline takes: any layout, any scale, any names of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.base import ImageData
from pipeline.errors import PipelineError

Array = npt.NDArray[Any]

_CHANNELS = (1, 3, 4)  # by which the axis of the channels is recognised


def from_arrays(
    images: Any,
    labels: Any,
    *,
    unlabelled: Any = None,
    test_images: Any = None,
    test_labels: Any = None,
    class_names: Sequence[str] | None = None,
    shape: Sequence[int] | None = None,
    white: float | None = None,
) -> ImageData | tuple[ImageData, ImageData]:
    """Images and labels from arrays; with a test set, the pair (train, test).

    Args:
        images: Shape (N, H, W), (N, C, H, W), (N, H, W, C) with 1, 3 or 4 channels, or rows of pixels, (N, pixels).
            Booleans, whole numbers from 0 to 255, or floats from 0 to 1 or from 0 to 255.
        labels: Shape (N,) or (N, 1), whole numbers or strings; -1 or "" where there is no label.
        unlabelled: Further images without labels, laid out in the same way.
        test_images: The official test set's.
        test_labels: The official test set's.
        class_names: In the order of the labels, which then run from 0, or are these names. None takes the distinct
            labels in their order, whichever they are, as scikit-learn does.
        shape: (H, W) or (C, H, W) of an image in rows of pixels; None takes rows for square grey images.
        white: The value of the brightest possible pixel, if it is not 255, nor 1 among floats.

    Raises:
        PipelineError: An array is none of that; the message starts with the argument's name.
    """
    if (test_images is None) != (test_labels is None):
        given, missing = ("images", "labels") if test_labels is None else ("labels", "images")
        raise PipelineError(f"test_{missing}: missing, though test_{given} are given; give both or neither")
    given_images = {"images": images, "unlabelled": unlabelled, "test_images": test_images}
    found = {name: _layout(name, value, shape) for name, value in given_images.items() if value is not None}
    pixels = _as_bytes(found, white)
    for name, part in pixels.items():
        if part.shape[1:] != pixels["images"].shape[1:]:
            raise PipelineError(
                f"{name}: they are {_size(part)}, images are {_size(pixels['images'])}; expected one size for all"
            )
    given_labels = {"labels": labels, "test_labels": test_labels}
    names, codes = _encode({n: _plain_labels(n, v) for n, v in given_labels.items() if v is not None}, class_names)
    for name, owner in (("labels", "images"), ("test_labels", "test_images")):
        if name in codes and len(codes[name]) != len(pixels[owner]):
            raise PipelineError(
                f"{name}: {len(codes[name])} for {len(pixels[owner])} {owner}; expected one for each image"
            )
    pool = pixels.get("unlabelled", pixels["images"][:0])
    train = _image_data(
        np.concatenate([pixels["images"], pool]), np.append(codes["labels"], np.full(len(pool), -1)), names
    )
    if "test_images" not in pixels:
        return train
    return train, _image_data(pixels["test_images"], codes["test_labels"], names)


def as_image_data(loaded: Any) -> Any:
    """What a loader returned, with ``(X, y)`` or ``(X, y), (X_test, y_test)`` made into ``ImageData``; else itself."""
    if _is_pair_of_arrays(loaded):
        return from_arrays(*loaded)
    if isinstance(loaded, tuple) and len(loaded) == 2 and all(_is_pair_of_arrays(part) for part in loaded):
        (images, labels), (test_images, test_labels) = loaded
        return from_arrays(images, labels, test_images=test_images, test_labels=test_labels)
    return loaded


def _is_pair_of_arrays(loaded: Any) -> bool:
    return (
        isinstance(loaded, tuple)
        and len(loaded) == 2
        and not any(isinstance(part, ImageData | tuple) for part in loaded)
        and all(hasattr(part, "__array__") or isinstance(part, list) for part in loaded)
    )


def _image_data(pixels: Array, labels: Array, names: tuple[str, ...]) -> ImageData:
    import torch

    return ImageData(torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(labels.astype(np.int64)), names)


# --- images ---------------------------------------------------------------------------------------------------


def _layout(name: str, value: Any, shape: Sequence[int] | None) -> Array:
    """The images as (N, C, H, W), of the type they come in."""
    images = _array(name, value, "images of one size as one array of numbers")
    if images.dtype.kind not in "buif":
        raise PipelineError(f"{name}: got an array of {images.dtype}; expected images of one size as numbers")
    if len(images) == 0:
        raise PipelineError(f"{name}: there are none; expected at least one image")
    if images.ndim == 2:
        return images.reshape(len(images), *_row_shape(name, images.shape[1], shape))
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] in _CHANNELS:
        return images
    if images.ndim == 4 and images.shape[3] in _CHANNELS:
        return np.moveaxis(images, 3, 1)
    raise PipelineError(
        f"{name}: shape {images.shape}; expected (N, H, W), (N, C, H, W) or (N, H, W, C) with 1, 3 or 4 channels, or "
        "rows (N, pixels). For other channels, return ImageData with images of (N, C, H, W)"
    )


def _row_shape(name: str, pixels: int, shape: Sequence[int] | None) -> tuple[int, int, int]:
    """The shape (C, H, W) of an image in a row of so many pixels."""
    side = round(pixels**0.5)
    sizes = list(shape) if isinstance(shape, Sequence) else [side, side]
    if len(sizes) == 2:
        sizes = [1, *sizes]
    if len(sizes) != 3 or not all(isinstance(n, int) and n > 0 for n in sizes) or np.prod(sizes) != pixels:
        raise PipelineError(
            f"{name}: rows of {pixels} pixels are no images of shape {sizes[1:] if shape is None else shape}; say what "
            "they are with data.args.shape, [height, width] or [channels, height, width]"
        )
    channels, height, width = sizes
    return channels, height, width


def _as_bytes(parts: Mapping[str, Array], white: float | None) -> dict[str, Array]:
    """Intensities 0 to 255, all parts on the same scale."""
    kinds = {name: part.dtype.kind.replace("u", "i") for name, part in parts.items()}
    for name, kind in kinds.items():
        if kind != kinds["images"]:
            raise PipelineError(
                f"{name}: they are {parts[name].dtype}, images are {parts['images'].dtype}; "
                "expected one type, so that one scale serves for all"
            )
    limits = {name: _limits(name, part) for name, part in parts.items()}
    if white is None:
        white = _guess_white(kinds["images"], max(high for _, high in limits.values()))
    if not (isinstance(white, int | float) and 0 < white < float("inf")):
        raise PipelineError(f"white: {white!r} is not allowed; expected the value of a white pixel, above 0")
    for name, (low, high) in limits.items():
        if low < 0 or high > white:
            raise PipelineError(
                f"{name}: pixels run from {low:g} to {high:g}; expected 0 (black) to {white:g} (white). Undo any "
                "standardisation, or say which value is white with data.args.white"
            )
    if white == 255 and all(part.dtype == np.uint8 for part in parts.values()):
        return dict(parts)
    return {name: np.rint(part * (255 / white)).astype(np.uint8) for name, part in parts.items()}


def _guess_white(kind: str, high: float) -> float:
    if kind == "b" or (kind == "f" and high <= 1):
        return 1
    return 255


def _limits(name: str, images: Array) -> tuple[float, float]:
    low, high = float(images.min()), float(images.max())
    if not np.isfinite([low, high]).all():
        broken = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
        raise PipelineError(
            f"{name}: {len(broken)} of {len(images)} hold NaN or infinite pixels, the first is number {broken[0]}; "
            "leave those images out or fill the pixels in"
        )
    return low, high


def _size(images: Array) -> str:
    return " x ".join(map(str, images.shape[1:]))


# --- labels ---------------------------------------------------------------------------------------------------


def _plain_labels(name: str, value: Any) -> Array:
    """Labels as whole numbers or strings, shape (N,)."""
    labels = _array(name, value, "one label an image")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype == object and all(isinstance(label, str) for label in labels.ravel()):
        labels = labels.astype(str)
    if labels.ndim != 1 or labels.dtype.kind not in "buiU":
        remedy = {
            "f": "round them with labels.astype(int), and mark missing ones with -1",
            "O": "make them whole numbers or strings, and mark missing ones with -1 or ''",
            "S": "make strings of the bytes with labels.astype(str)",
        }.get(labels.dtype.kind, "one-hot rows become labels by labels.argmax(1)")
        raise PipelineError(
            f"{name}: got {labels.dtype} of shape {labels.shape}; "
            f"expected whole numbers or strings of shape (N,); {remedy}"
        )
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def _encode(parts: Mapping[str, Array], class_names: Sequence[str] | None) -> tuple[tuple[str, ...], dict[str, Array]]:
    """The names of the classes, and each part's labels as their numbers, -1 for none."""
    kinds = {labels.dtype.kind for labels in parts.values()}
    if len(kinds) > 1:
        raise PipelineError("test_labels: numbers in one part and strings in the other; expected the same in both")
    nothing = ("", "-1") if kinds == {"U"} else (-1,)
    for name, labels in parts.items():
        if labels.dtype.kind == "i" and len(labels) and labels.min() < -1:
            raise PipelineError(f"{name}: the lowest is {labels.min()}; expected -1 (unlabelled), or 0 and above")
    if class_names is not None:
        names = tuple(map(str, class_names))
        classes: list[Any] = list(names) if kinds == {"U"} else list(range(len(names)))
    else:
        classes = [label for label in np.unique(np.concatenate(list(parts.values()))).tolist() if label not in nothing]
        names = tuple(map(str, classes))
    codes = {label: code for code, label in enumerate(classes)} | dict.fromkeys(nothing, -1)
    for name, labels in parts.items():
        strange = sorted(set(labels.tolist()) - set(codes))
        if strange:
            raise PipelineError(
                f"{name}: {strange[0]!r} is none of the {len(names)} classes; expected -1 (unlabelled) or one of "
                f"{', '.join(map(repr, classes))}, which the class names allow"
            )
    return names, {name: np.array([codes[x] for x in labels.tolist()], np.int64) for name, labels in parts.items()}


def _array(name: str, value: Any, expected: str) -> Array:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:  # lists of images that differ in size
        raise PipelineError(f"{name}: cannot be made one array ({error}); expected {expected}") from error
    if array.ndim == 0:
        raise PipelineError(f"{name}: got a single {type(value).__name__}; expected {expected}")
    return array
