"""From arrays as people have them to what the pipeline takes: any layout, any scale, any names of classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.datasets.image_data import ImageData, Parts
from pipeline.datasets.layout import ArrayImages, as_array, as_bytes, find_layout, find_values
from pipeline.datasets.scale import find_scale
from pipeline.datasets.streamed import Array, Storage
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from torch import Tensor


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
) -> Parts:
    """Make image data of arrays.

    Args:
        images: Shape (N, H, W), (N, C, H, W), (N, H, W, C) with 1, 3 or 4 channels, or rows of pixels, (N, pixels).
            Booleans, whole numbers from 0 to 255, or floats from 0 to 1 or from 0 to 255.
        labels: Shape (N,) or (N, 1), whole numbers or strings; -1 or "" where there is no label. None if none is known.
        unlabelled: Further images without labels, laid out in the same way.
        test_images: The official test set's.
        test_labels: The official test set's.
        class_names: In the order of the labels, which then run from 0, or are these names. None takes the distinct
            labels in their order, whichever they are, as scikit-learn does.
        shape: (H, W) or (C, H, W) of an image in rows of pixels; None takes rows for square grey images.
        white: The value of the brightest possible pixel, if it is not 255, nor 1 among floats.
        storage: Says whether images in files, ``Rows`` or memory-mapped arrays, are streamed; None never does.

    Raises:
        PipelineError: If an argument is not as described; the message starts with its name.

    Returns:
        The images with their labels; with a test set, the pair (train, test).

    Examples:
        >>> data = from_arrays(np.zeros((4, 28, 28), np.uint8), ["cat", "dog", "", "dog"])
        >>> data.class_names, data.labels.tolist(), data.shape
        (('cat', 'dog'), [0, 1, -1, 1], (1, 28, 28))
    """
    if (test_images is None) != (test_labels is None):
        given, missing = ("images", "labels") if test_labels is None else ("labels", "images")
        raise PipelineError(f"test_{missing}: missing, though test_{given} are given; give both or neither")
    given_images = {"images": images, "unlabelled": unlabelled, "test_images": test_images}
    found = {name: find_layout(name, value, shape) for name, value in given_images.items() if value is not None}
    _check_sizes(found)
    if not (storage and storage.streams(sum(len(part) * math.prod(part.shape) for part in found.values()))):
        storage = None
    scale = find_scale({name: find_values(part, storage) for name, part in found.items()}, white)
    given_labels = {"labels": labels, "test_labels": test_labels}
    plain = {name: _plain_labels(name, value) for name, value in given_labels.items() if value is not None}
    if labels is None:
        strings = any(part.dtype.kind == "U" for part in plain.values())
        plain["labels"] = np.full(len(found["images"]), "" if strings else -1)
    names, codes = _encode(plain, class_names)
    for name, owner in (("labels", "images"), ("test_labels", "test_images")):
        if name in codes and len(codes[name]) != len(found[owner]):
            raise PipelineError(
                f"{name}: {len(codes[name])} for {len(found[owner])} {owner}; expected one for each image"
            )
    test = found.pop("test_images", None)
    pool = sum(map(len, found.values())) - len(found["images"])
    train_labels = np.append(codes["labels"], np.full(pool, -1))
    train = ImageData(as_bytes([*found.values()], scale, storage), _tensor(train_labels), names, scale=scale)
    if test is None:
        return train
    return train, ImageData(as_bytes([test], scale, storage), _tensor(codes["test_labels"]), names, scale=scale)


def _check_sizes(parts: Mapping[str, ArrayImages]) -> None:
    sizes = {name: " x ".join(map(str, part.shape)) for name, part in parts.items()}
    for name, size in sizes.items():
        if size != sizes["images"]:
            raise PipelineError(f"{name}: they are {size}, images are {sizes['images']}; expected one size for all")


def as_image_data(loaded: Any, storage: Storage | None = None, white: float | None = None) -> Any:
    """Make ``ImageData`` of ``(X, y)`` or ``(X, y), (X_test, y_test)``, if that is what a loader returned.

    Returns:
        The images, as ``from_arrays`` makes them; whatever else was loaded as it is.

    Raises:
        PipelineError: If the arrays are not what ``from_arrays`` takes, or ``white`` is given for what are no arrays.
    """
    if _is_pair_of_arrays(loaded):
        return from_arrays(*loaded, white=white, storage=storage)
    if isinstance(loaded, tuple) and len(loaded) == 2 and all(_is_pair_of_arrays(part) for part in loaded):
        (images, labels), (test_images, test_labels) = loaded
        return from_arrays(
            images, labels, test_images=test_images, test_labels=test_labels, white=white, storage=storage
        )
    if white is not None:
        raise PipelineError("data.args.white: the function returns no arrays that could be scaled; leave it out")
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


# --- labels ---------------------------------------------------------------------------------------------------


def _plain_labels(name: str, value: Any) -> Array:
    """Return labels as whole numbers or strings, shape (N,)."""
    labels = as_array(name, value, "one label an image")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype == object and all(isinstance(label, str) for label in labels.ravel()):
        labels = labels.astype(str)
    if labels.ndim != 1 or labels.dtype.kind not in "buiU":
        if labels.ndim == 2:
            raise _no_single_labels(name, labels)
        remedy = {
            "f": "round them with labels.astype(int), and mark missing ones with -1",
            "O": "make them whole numbers or strings, and mark missing ones with -1 or ''",
            "S": "make strings of the bytes with labels.astype(str)",
        }.get(labels.dtype.kind, "give each image one")
        raise PipelineError(
            f"{name}: got {labels.dtype} of shape {labels.shape}; "
            f"expected whole numbers or strings of shape (N,); {remedy}"
        )
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def _no_single_labels(name: str, labels: Array) -> PipelineError:
    """Return the refusal of labels of shape (N, k): rows of one label each that are easily made one, or of several."""
    found = f"{name}: got {labels.dtype} of shape {labels.shape}; expected one label for each image, shape (N,)"
    if labels.dtype.kind not in "buif" or not np.isin(labels, (0, 1)).all():
        return PipelineError(f"{found}; keep the column that is to be learnt")
    most = int(labels.sum(1).max(initial=0))
    if (labels.sum(1) == 1).all():
        return PipelineError(f"{found}; one-hot rows become labels by labels.argmax(1)")
    return PipelineError(
        f"{found}. Each image may be of several of {labels.shape[1]} classes (up to {most} here), or of none: that is "
        "multi-label, which is not learnt here. Keep one column, labels[:, k].astype(int), for a class or not"
    )


def _encode(parts: Mapping[str, Array], class_names: Sequence[str] | None) -> tuple[tuple[str, ...], dict[str, Array]]:
    """Return the names of the classes, and each part's labels as their numbers, -1 for none."""
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
