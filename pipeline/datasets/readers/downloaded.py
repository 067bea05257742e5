"""Reader ``torchvision``: any class of ``torchvision.datasets``, some of which have a name of their own here."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from pipeline.config import JsonObject
from pipeline.datasets.arrays import from_arrays
from pipeline.datasets.decoding import Decoding
from pipeline.datasets.gallery import Gallery
from pipeline.datasets.image_data import Parts, describe
from pipeline.datasets.stacking import PictureSettings, stack
from pipeline.datasets.streamed import Array
from pipeline.errors import PipelineError, list_names
from pipeline.invocation import command
from pipeline.store.regular_files import check_tree

if TYPE_CHECKING:
    from PIL.Image import Image

_PAGE = "https://docs.pytorch.org/vision/stable/datasets.html#image-classification"
_LYING = ("EMNIST",)  # classes whose images have rows and columns exchanged


def load(root: Path, name: str, size: int | Sequence[int] | None = None, **arguments: Any) -> Parts:
    """Read the training and the test set of a torchvision class, or all images of one without a test set.

    Args:
        root: The folder for raw files, in torchvision's layout.
        name: The name of the class, such as SVHN.
        size: The side, or height and width, that every image is resized to; None expects all to have one size.
        arguments: Arguments of the class; ``split``, if it has one, chooses the training set, such as
            "train+unlabeled".

    Raises:
        PipelineError: If there is no such class, its files are missing, or its items are not images with a class.
    """
    raws = [_open(name, root, chosen, download=False) for chosen in _parts(name, arguments)]
    parts, notes, decoding = _read(name, raws, size)
    if name in _LYING:
        notes.insert(0, f"the images of {name} lie on their side in its files; they were put upright")
    classes = _class_names(raws[0], max(int(labels.max()) for _, labels in parts))
    if classes is not None:
        used = np.unique([number for _, labels in parts for number in np.unique(labels[labels >= 0])])
        empty = [class_name for number, class_name in enumerate(classes) if number not in used]
        if empty:
            notes.append(f"{name} has no image of {list_names(empty)}, which is no class here")
            classes = [classes[number] for number in used]
            parts = [(images, np.where(labels < 0, -1, np.searchsorted(used, labels))) for images, labels in parts]
    arrays: dict[str, Any] = dict(zip(("images", "labels"), parts[0], strict=True))
    if len(parts) > 1:
        arrays |= zip(("test_images", "test_labels"), parts[1], strict=True)
    return describe(from_arrays(**arrays, class_names=classes), notes=notes, decoding=decoding)


def prepare(root: Path, name: str, size: int | Sequence[int] | None = None, **arguments: Any) -> None:
    """Download the files of a torchvision class, as ``load`` names it, unless they are there.

    Raises:
        PipelineError: If there is no such class, or the files cannot be downloaded.
    """
    for chosen in _parts(name, arguments):
        _open(name, root, chosen, download=True)


load.prepare = prepare  # type: ignore[attr-defined]  # stage data calls it before loading


def _named(name: str, **arguments: Any) -> Callable[[Path], Parts]:
    def named(root: Path) -> Parts:
        return load(root, name, **arguments)

    def named_prepare(root: Path) -> None:
        prepare(root, name, **arguments)

    named.prepare = named_prepare  # type: ignore[attr-defined]
    return named


fashion_mnist = _named("FashionMNIST")
kmnist = _named("KMNIST")
emnist_letters = _named("EMNIST", split="letters")
usps = _named("USPS")
svhn = _named("SVHN")
cifar10 = _named("CIFAR10")


# --- torchvision's classes ------------------------------------------------------------------------------------


def _class(name: str) -> Any:
    import torchvision

    found = getattr(torchvision.datasets, name, None)
    if not (isinstance(found, type) and issubclass(found, torchvision.datasets.VisionDataset)):
        raise PipelineError(f"data.args.name: torchvision.datasets has no class {name!r}; see {_PAGE}")
    return found


def _parameters(cls: type) -> set[str]:
    """Return the names of a class's arguments, with those of its base classes if it passes further ones on."""
    found: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base).parameters
            found |= set(parameters)
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
                break
    return found


def _parts(name: str, arguments: JsonObject) -> list[JsonObject]:
    """Return the arguments of the training set and, if there is one, those of the test set."""
    takes = _parameters(_class(name))
    if "train" in takes:
        return [arguments | {"train": True}, arguments | {"train": False}]
    if "split" in takes:
        return [{"split": "train"} | arguments, arguments | {"split": "test"}]
    return [arguments]


def _open(name: str, root: Path, arguments: JsonObject, download: bool) -> Any:
    cls = _class(name)
    takes = _parameters(cls)
    given = dict(arguments) | ({"root": root} if "root" in takes else {})
    if download and "download" in takes:
        given["download"] = True
    check_tree(root)
    try:
        return cls(**given)
    except TypeError as error:
        raise PipelineError(f"data.args: torchvision's {name} was called with {arguments}: {error}") from error
    except (OSError, RuntimeError) as error:
        if not download:
            raise PipelineError(f"{name} is not complete in {root} ({error}); run `{command('data')}`") from error
        raise PipelineError(
            f"{name} could not be downloaded to {root} ({error}); check the network, or copy torchvision's files "
            "for it there by hand"
        ) from error


def _read(
    name: str, raws: list[Any], size: int | Sequence[int] | None
) -> tuple[list[tuple[Array, Array]], list[str], Decoding | None]:
    """Read the images and labels of each part; return them with notes, and how pictures were decoded, if any were."""
    if size is None:
        held = [arrays for raw in raws if (arrays := _held_arrays(name, raw)) is not None]
        if len(held) == len(raws):
            return held, [], None
    pictures, labels = zip(*itertools.chain.from_iterable(_items(name, raw) for raw in raws), strict=True)
    gallery = Gallery([f"{name}'s image {number}" for number in range(len(pictures))], pictures.__getitem__)
    counts = [len(raw) for raw in raws]
    stacked = stack(gallery, counts, PictureSettings(size))
    images, split = map(np.asarray, stacked.parts), np.split(np.array(labels), np.cumsum(counts)[:-1])
    return list(zip(images, split, strict=True)), stacked.notes, stacked.decoding


def _held_arrays(name: str, raw: Any) -> tuple[Array, Array] | None:
    """Return the arrays of a class that keeps them in memory, since reading items takes 20 times as long; else None."""
    images = np.asarray(getattr(raw, "data", None))
    labels = np.asarray(getattr(raw, "targets", getattr(raw, "labels", None)))
    whole = images.dtype == np.uint8 and images.ndim in (3, 4) and labels.shape == (len(raw),) == images.shape[:1]
    if not whole:
        return None
    return images.swapaxes(1, 2) if name in _LYING else images, labels.astype(np.int64)


def _items(name: str, raw: Any) -> Iterator[tuple[Image, int]]:
    """Yield each picture with the number of its class, -1 for none."""
    from PIL import Image

    for index in tqdm(range(len(raw)), "reading images", disable=None, leave=False):
        item = raw[index]
        picture, label = item[:2] if isinstance(item, tuple) and len(item) >= 2 else (item, None)
        if not (isinstance(picture, Image.Image) and isinstance(label, int | np.integer)):
            raise PipelineError(
                f"data.args.name: torchvision's {name} gives {type(picture).__name__} and {type(label).__name__}; "
                "expected an image and the number of its class. Write a loader of your own for it"
            )
        picture.load()  # which also closes its file
        yield picture.transpose(Image.Transpose.TRANSPOSE) if name in _LYING else picture, int(label)


def _class_names(raw: Any, highest: int) -> list[str] | None:
    """Return the names of the classes if there is one for each label; else None, which names them by number."""
    names = getattr(raw, "classes", None)
    if not isinstance(names, Sequence) or isinstance(names, str) or len(names) <= highest:
        return None
    return [str(name) for name in names]
