"""What a data set is, and how one is found by name.

A data set is a function. It takes the folder for raw files as ``root``, if it has such a parameter, and whatever
``data.args`` gives it. It returns ``(train, test)``, or ``train`` alone, from which a test set is then held out before
anything else happens. Each is an ``ImageData``, or a pair of arrays ``(X, y)`` that ``arrays.from_arrays`` makes one
of. Name it in a config by its import path, ``my_module:my_function``; nothing here needs editing.

Memory-mapped arrays that are too large for memory are streamed; a function that has a parameter ``storage`` gets what
decides that, see ``streamed.Storage``.

A function may carry an attribute ``prepare``, called with the same arguments by the data stage alone: the place to
unpack or download.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import plugins
from pipeline.config import DataConfig
from pipeline.datasets import checksums
from pipeline.datasets.streamed import Storage, Streamed, available_memory, show
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import torch

BUILT_IN = {
    "mnist": "pipeline.datasets.readers.mnist:load",
    "digits": "pipeline.datasets.readers.digits:load",
    "fashion_mnist": "pipeline.datasets.readers.downloaded:fashion_mnist",
    "kmnist": "pipeline.datasets.readers.downloaded:kmnist",
    "emnist_letters": "pipeline.datasets.readers.downloaded:emnist_letters",
    "usps": "pipeline.datasets.readers.downloaded:usps",
    "svhn": "pipeline.datasets.readers.downloaded:svhn",
    "cifar10": "pipeline.datasets.readers.downloaded:cifar10",
    # readers of any files of one kind
    "numpy": "pipeline.datasets.readers.numpy_files:load",
    "folder": "pipeline.datasets.readers.folder:load",
    "idx": "pipeline.datasets.readers.idx:load",
    "csv": "pipeline.datasets.readers.csv_file:load",
    "torchvision": "pipeline.datasets.readers.downloaded:load",
    "huggingface": "pipeline.datasets.readers.huggingface:load",
}
ENTRY_POINTS = "pipeline.datasets"  # the group in which an installed package adds its own

LONGEST_NAME = 200  # of a class, in letters

TEST_FRACTION = 0.2  # held out of a data set that comes without an official test set
_TEST_SEED = 20_000_000  # fixed: the test set is a property of the data, not of an experiment


@dataclass(frozen=True)
class ImageData:
    """Images with their labels.

    Attributes:
        images: uint8, shape (N, C, H, W), intensities 0 to 255: a tensor, or ``Streamed``, of which an index reads some
            from their files into a tensor.
        labels: int64, shape (N,), 0 to classes - 1; -1 means unlabelled, as in scikit-learn.
        class_names: One name a class, in the order of the labels.

    Raises:
        PipelineError: A tensor has another type or shape, a label is out of range, or a name cannot be shown.
    """

    images: Any
    labels: torch.Tensor
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        import torch

        for name in ("images", "labels"):
            value = getattr(self, name)
            if not isinstance(value, torch.Tensor | Streamed):
                raise PipelineError(
                    f"{name}: got a {type(value).__name__}; expected a tensor. "
                    "For arrays, use pipeline.datasets.arrays.from_arrays"
                )
        if self.images.dtype != torch.uint8 or len(self.images.shape) != 4 or 0 in self.images.shape:
            raise PipelineError(
                f"images: got {self.images.dtype} of shape {tuple(self.images.shape)}; "
                "expected uint8 of shape (N, C, H, W) with at least one image"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise PipelineError(
                f"labels: got {self.labels.dtype} of shape {tuple(self.labels.shape)}; "
                f"expected int64 of shape ({len(self.images)},), one for each image"
            )
        strange = [name for name in self.class_names if not (name.isprintable() and 0 < len(name) <= LONGEST_NAME)]
        if strange:
            raise PipelineError(
                f"class_names: {strange[0][:LONGEST_NAME]!r} is not allowed; expected 1 to {LONGEST_NAME} letters that "
                "can be shown"
            )
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < -1 or high >= len(self.class_names):
            raise PipelineError(
                f"labels: they run from {low} to {high}; expected -1 (unlabelled) to "
                f"{len(self.class_names) - 1}, for {len(self.class_names)} class names"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def examples(self, index: torch.Tensor, most: int) -> torch.Tensor:
        """Of the images at these indices, the index of the first of each class, in their order; at most so many."""
        labels = self.labels[index].tolist()
        firsts = sorted(labels.index(number) for number in set(labels) - {-1})[:most]
        return index[firsts]

    def __getitem__(self, index: torch.Tensor) -> ImageData:
        images = self.images.subset(index) if isinstance(self.images, Streamed) else self.images[index]
        return ImageData(images, self.labels[index], self.class_names)


@dataclass(frozen=True)
class Dataset:
    """A data set ready for use: no training image also lies in the test set.

    Attributes:
        train: Labelled and unlabelled training images.
        test: Images for E_out; all labelled.
        sha256: Of all images, labels and class names, before duplicates were left out.
        duplicates: Training images left out because the test set holds the same image.
        repeats: Labels left out because another labelled training image is the same, so that no image is both trained
            on and validated on; the image stays, without its label.
    """

    train: ImageData
    test: ImageData
    sha256: str
    duplicates: int
    repeats: int

    @functools.cached_property
    def test_hashes(self) -> frozenset[bytes]:
        """Digests of the test images."""
        return frozenset(checksums.content_hashes(self.test.images).tolist())

    @property
    def whereabouts(self) -> str:
        """Where the images are while they are worked with, and why there."""
        size = sum(math.prod(part.images.shape) for part in (self.train, self.test))
        room = f"{show(size)} of images, {show(available_memory())} of memory available"
        return f"{'streamed from disk' if is_streamed(self.train, self.test) else 'in memory'} ({room})"


@dataclass(frozen=True)
class Loader:
    """A data set's function with its arguments, whose errors are shown as the user's own.

    Attributes:
        name: What messages call it.
        function: The user's, or a built-in one.
        arguments: Keyword arguments.
        storage: Decides what is streamed.
    """

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]
    storage: Storage

    def __call__(self) -> Any:
        """What the function returns."""
        return self._call(self.function)

    def prepare(self) -> None:
        """Unpack or download the raw files, where the data set has any; quick when they are there."""
        preparation = getattr(self.function, "prepare", None)
        if preparation is not None:
            self._call(preparation)

    def _call(self, function: Callable[..., Any]) -> Any:
        try:
            return function(**self.arguments)
        except (PipelineError, MemoryError):
            raise
        except Exception as error:  # the function is the user's: whatever it raises is what they have to see
            shown = plugins.own_traceback(error, __file__)
            raise PipelineError(f"data.dataset: {self.name} failed\n{shown}") from error


def find_loader(config: DataConfig) -> Loader:
    """The loader a config names, with its arguments bound.

    Raises:
        PipelineError: There is no such name and no such import path, or it does not take these arguments.
    """
    function = plugins.find("data.dataset", config.dataset, BUILT_IN, ENTRY_POINTS)
    return bind(config.dataset, function, Storage(Path(config.root), config.streaming), config.args)


def bind(name: str, function: Any, storage: Storage, args: dict[str, Any]) -> Loader:
    """A loader from a function, which gets ``root`` and ``storage`` if it has parameters of these names.

    Raises:
        PipelineError: It is no function, or does not take these arguments.
    """
    if not callable(function):
        raise PipelineError(f"data.dataset: {name!r} is a {type(function).__name__}; expected a function")
    signature = inspect.signature(function)
    ours = {"root": storage.root, "storage": storage}
    arguments = {n: value for n, value in ours.items() if n in signature.parameters} | args
    try:
        signature.bind(**arguments)
    except TypeError as error:
        takes = ", ".join(str(p) for n, p in signature.parameters.items() if n not in ours) or "no arguments"
        raise PipelineError(f"data.args: {name} was called with {args}: {error}; it takes {takes}") from error
    return Loader(name, function, arguments, storage)


def prepare(config: DataConfig) -> None:
    """Unpack or download the raw files, where the data set has any; quick when they are there."""
    find_loader(config).prepare()


def load(config: DataConfig) -> Dataset:
    """Load a data set and make sure that its test set is apart from its training set.

    Raises:
        PipelineError: The loader is unknown, failed, or returned something else than the contract says.
    """
    loader = find_loader(config)
    return assemble(*load_parts(loader), loader.storage)


def load_parts(loader: Loader) -> tuple[ImageData, ImageData]:
    """What a loader gives, as training and test images, with a test set held out if it gives none.

    Raises:
        PipelineError: It failed, or returned something else than the contract says.
    """
    from pipeline.datasets.arrays import as_image_data

    loaded = as_image_data(loader(), loader.storage)
    if isinstance(loaded, ImageData):
        loaded = hold_out_test(loaded)
    if not (isinstance(loaded, tuple) and len(loaded) == 2 and all(isinstance(x, ImageData) for x in loaded)):
        raise PipelineError(
            f"data.dataset: {loader.name} returned a {type(loaded).__name__}; "
            "expected ImageData or a pair of ImageData (train, test); or arrays: (X, y), or (X, y), (X_test, y_test)"
        )
    train, test = loaded
    if loader.storage.streaming == "always" and not is_streamed(train):
        raise PipelineError(
            f"data.streaming: {loader.name} has its images in memory already, they cannot be streamed; give .npy files "
            "or pictures in folders to a reader, return memory-mapped arrays, or leave data.streaming at auto"
        )
    return train, test


def is_streamed(*parts: ImageData) -> bool:
    """Whether the images of one of these are read from files when they are asked for."""
    return any(isinstance(part.images, Streamed) for part in parts)


def hold_out_test(data: ImageData) -> tuple[ImageData, ImageData]:
    """Split off a stratified fifth of the labelled images as the test set, always the same one.

    Raises:
        PipelineError: The labelled images are too few for that.
    """
    import torch
    from sklearn.model_selection import train_test_split

    labelled = torch.nonzero(data.labels >= 0).flatten()
    classes = data.labels[labelled]
    if not len(labelled):
        raise PipelineError("labels: no image has one (all are -1); expected some of two classes or more")
    counts = torch.bincount(classes, minlength=len(data.class_names))
    size, present = math.ceil(TEST_FRACTION * len(labelled)), int((counts > 0).sum())
    scarce = [f"{name!r} ({n})" for name, n in zip(data.class_names, counts.tolist(), strict=True) if n < 2]
    if scarce:
        raise PipelineError(
            f"labels: a test set cannot be held out, since these classes have fewer than 2 labelled images: "
            f"{', '.join(scarce)}; label more of them, leave the class out, or return (train, test)"
        )
    if size < present:
        raise PipelineError(
            f"labels: a test set cannot be held out, since a fifth of {len(labelled)} labelled images is fewer than "
            f"one for each of the {present} classes; label at least {present * 5} images, or return (train, test)"
        )
    _, test = train_test_split(
        labelled.numpy(), test_size=TEST_FRACTION, stratify=classes.numpy(), random_state=_TEST_SEED
    )
    is_test = torch.zeros(len(data), dtype=torch.bool)
    is_test[torch.from_numpy(test)] = True
    return data[~is_test], data[is_test]


def assemble(train: ImageData, test: ImageData, storage: Storage) -> Dataset:
    """A data set from its two parts, less the training images that the test set holds too.

    Args:
        train: Training images.
        test: Test images.
        storage: Keeps what was found out of streamed ones.

    Raises:
        PipelineError: The parts do not belong together, or nothing could be learnt from them.
    """
    if train.class_names != test.class_names or train.shape != test.shape:
        raise PipelineError(
            f"training images are {train.shape} in classes {train.class_names}, test images "
            f"{test.shape} in classes {test.class_names}; expected the same"
        )
    if int(test.labels.min()) < 0:
        raise PipelineError("the test set holds unlabelled images (-1); expected a label for each")
    import torch

    if len(torch.unique(train.labels[train.labels >= 0])) < 2:
        raise PipelineError(
            "labels: the labelled training images are all of one class, or there are none; expected two classes or more"
        )
    found = checksums.examine(train, test, storage)
    fresh = torch.ones(len(train), dtype=torch.bool)
    fresh[found["in_test"]] = False
    if not fresh.any():
        raise PipelineError("every training image also lies in the test set")
    repeated = torch.zeros(len(train), dtype=torch.bool)
    repeated[found["repeated"]] = True
    repeated &= fresh
    if repeated.any():
        train = ImageData(train.images, train.labels.masked_fill(repeated, -1), train.class_names)
    duplicates = len(found["in_test"])
    kept = train[fresh] if duplicates else train
    return Dataset(kept, test, found["sha256"], duplicates, int(repeated.sum()))
