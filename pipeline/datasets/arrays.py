"""From arrays as people have them to what the pipeline takes: any layout, any scale, any names of classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.image_data import ImageData
from pipeline.datasets.streamed import CHUNK, Rows, Storage, Streamed
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from torch import Tensor

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
    storage: Storage | None = None,
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
        storage: Says whether images in files, ``Rows`` or memory-mapped arrays, are streamed; None never does.

    Raises:
        PipelineError: An array is none of that; the message starts with the argument's name.
    """
    if (test_images is None) != (test_labels is None):
        given, missing = ("images", "labels") if test_labels is None else ("labels", "images")
        raise PipelineError(f"test_{missing}: missing, though test_{given} are given; give both or neither")
    given_images = {"images": images, "unlabelled": unlabelled, "test_images": test_images}
    found = {name: _layout(name, value, shape) for name, value in given_images.items() if value is not None}
    if not (storage and storage.streams(sum(len(part) * math.prod(part.size) for part in found.values()))):
        storage = None
    white = _white(found, white, storage)
    for name, part in found.items():
        if part.size != found["images"].size:
            raise PipelineError(
                f"{name}: they are {_size(part)}, images are {_size(found['images'])}; expected one size for all"
            )
    given_labels = {"labels": labels, "test_labels": test_labels}
    names, codes = _encode({n: _plain_labels(n, v) for n, v in given_labels.items() if v is not None}, class_names)
    for name, owner in (("labels", "images"), ("test_labels", "test_images")):
        if name in codes and len(codes[name]) != len(found[owner]):
            raise PipelineError(
                f"{name}: {len(codes[name])} for {len(found[owner])} {owner}; expected one for each image"
            )
    test = found.pop("test_images", None)
    pool = sum(map(len, found.values())) - len(found["images"])
    train = ImageData(
        _as_bytes([*found.values()], white, storage), _tensor(np.append(codes["labels"], np.full(pool, -1))), names
    )
    if test is None:
        return train
    return train, ImageData(_as_bytes([test], white, storage), _tensor(codes["test_labels"]), names)


def as_image_data(loaded: Any, storage: Storage | None = None) -> Any:
    """What a loader returned, with ``(X, y)`` or ``(X, y), (X_test, y_test)`` made into ``ImageData``; else itself."""
    if _is_pair_of_arrays(loaded):
        return from_arrays(*loaded, storage=storage)
    if isinstance(loaded, tuple) and len(loaded) == 2 and all(_is_pair_of_arrays(part) for part in loaded):
        (images, labels), (test_images, test_labels) = loaded
        return from_arrays(images, labels, test_images=test_images, test_labels=test_labels, storage=storage)
    return loaded


def _is_pair_of_arrays(loaded: Any) -> bool:
    return (
        isinstance(loaded, tuple)
        and len(loaded) == 2
        and not any(isinstance(part, ImageData | tuple) for part in loaded)
        and all(hasattr(part, "__array__") or isinstance(part, list) for part in loaded)
    )


def _tensor(labels: Array) -> Tensor:
    import torch

    return torch.from_numpy(labels.astype(np.int64))


# --- images ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """Images as they come, of which slices are had as (n, C, H, W).

    Attributes:
        source: In memory or in a file.
        size: (C, H, W).
        channels_last: Whether the source has them there.
    """

    source: Array | Rows
    size: tuple[int, int, int]
    channels_last: bool = False

    def __len__(self) -> int:
        return len(self.source)

    def chunks(self) -> Iterator[Array]:
        """All images, so many at a time that they are a few megabytes."""
        count = max(1, CHUNK // (self.source.dtype.itemsize * math.prod(self.size)))
        for start in range(0, len(self), count):
            images = self.source[start : start + count]
            yield np.moveaxis(images, 3, 1) if self.channels_last else images.reshape(-1, *self.size)


def _layout(name: str, value: Any, shape: Sequence[int] | None) -> _Part:
    """The images with what says how they lie, of the type they come in."""
    rows = Rows.of(value) if isinstance(value, np.memmap) else value
    images = rows if isinstance(rows, Rows) else _array(name, value, "images of one size as one array of numbers")
    if images.dtype.kind not in "buif":
        raise PipelineError(f"{name}: got an array of {images.dtype}; expected images of one size as numbers")
    if len(images) == 0:
        raise PipelineError(f"{name}: there are none; expected at least one image")
    if images.ndim == 2:
        return _Part(images, _row_shape(name, images.shape[1], shape))
    if images.ndim == 3:
        return _Part(images, (1, images.shape[1], images.shape[2]))
    if images.ndim == 4 and images.shape[1] in _CHANNELS:
        channels, height, width = images.shape[1:]
        return _Part(images, (channels, height, width))
    if images.ndim == 4 and images.shape[3] in _CHANNELS:
        height, width, channels = images.shape[1:]
        return _Part(images, (channels, height, width), channels_last=True)
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


def _white(parts: Mapping[str, _Part], white: float | None, storage: Storage | None) -> float:
    """The value of a white pixel, the same for all parts, after all pixels were found to be between 0 and that."""
    kinds = {name: part.source.dtype.kind.replace("u", "i") for name, part in parts.items()}
    for name, kind in kinds.items():
        if kind != kinds["images"]:
            raise PipelineError(
                f"{name}: they are {parts[name].source.dtype}, images are {parts['images'].source.dtype}; "
                "expected one type, so that one scale serves for all"
            )
    if white is None and all(part.source.dtype == np.uint8 for part in parts.values()):
        return 255  # no pixel has to be looked at
    limits = {name: _limits(name, part, storage) for name, part in parts.items()}
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
    return white


def _guess_white(kind: str, high: float) -> float:
    if kind == "b" or (kind == "f" and high <= 1):
        return 1
    return 255


def _limits(name: str, part: _Part, storage: Storage | None) -> tuple[float, float]:
    """The least and the greatest pixel; a file is gone through for that once."""
    if storage is None or not isinstance(part.source, Rows):
        return _find_limits(name, part)
    low, high = storage.recall(["limits", *part.source.identity], lambda: _find_limits(name, part))
    return low, high


def _find_limits(name: str, part: _Part) -> tuple[float, float]:
    lows, highs, broken = [], [], []
    seen = 0
    for images in part.chunks():
        lows.append(float(images.min()))
        highs.append(float(images.max()))
        if not np.isfinite([lows[-1], highs[-1]]).all():
            broken += (seen + np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))).tolist()
        seen += len(images)
    if broken:
        raise PipelineError(
            f"{name}: {len(broken)} of {len(part)} hold NaN or infinite pixels, the first is number {broken[0]}; "
            "leave those images out or fill the pixels in"
        )
    return min(lows), max(highs)


def _as_bytes(parts: Sequence[_Part], white: float, storage: Storage | None) -> Tensor | Streamed:
    """All images, intensities 0 to 255: in memory, or in files if there is a storage and they lie in files."""
    if storage is not None and all(isinstance(part.source, Rows) for part in parts):
        return Streamed([_kept(part, white, storage) for part in parts])
    import torch

    source = parts[0].source
    if len(parts) == 1 and _is_plain(parts[0], white) and not isinstance(source, Rows) and source.flags.carray:
        return torch.from_numpy(source.reshape(-1, *parts[0].size))  # nothing to be done
    images = np.empty((sum(map(len, parts)), *parts[0].size), np.uint8)
    start = 0
    for part in parts:
        for chunk in part.chunks():
            images[start : start + len(chunk)] = _scaled(chunk, white)
            start += len(chunk)
    return torch.from_numpy(images)


def _is_plain(part: _Part, white: float) -> bool:
    """Whether the images are bytes laid out as they should be."""
    return part.source.dtype == np.uint8 and white == 255 and not part.channels_last


def _scaled(images: Array, white: float) -> Array:
    return images if images.dtype == np.uint8 and white == 255 else np.rint(images * (255 / white))


def _kept(part: _Part, white: float, storage: Storage) -> Rows:
    """A file of the images as bytes: their own if they lie in it like that, else one that is made."""
    source, shape = part.source, (len(part), *part.size)
    assert isinstance(source, Rows)
    if _is_plain(part, white):
        return source.reshape(*shape)
    return storage.keep(
        [*source.identity, shape, white], shape, lambda: (_scaled(chunk, white) for chunk in part.chunks())
    )


def _size(part: _Part) -> str:
    return " x ".join(map(str, part.size))


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
