"""Find a data set by its name, and load it.

A data set is a function. It takes the folder for raw files as ``root``, if it has such a parameter, and whatever
``data.args`` gives it. It returns ``(train, test)``, or ``train`` alone, from which a test set is then held out before
anything else happens. Each part is an ``ImageData``, or a pair of arrays ``(X, y)``, which ``arrays.from_arrays`` turns
into one. A config names the function by its import path, ``my_module:my_function``; nothing in this package needs to
be edited.

Memory-mapped arrays that are too large for memory are streamed. A function that has a parameter ``storage`` gets the
``streamed.Storage`` that decides what is streamed.

A function may have an attribute ``prepare``, which stage data alone calls with the same arguments: the place to unpack
or download files.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import plugins
from pipeline.config import DataConfig, JsonObject
from pipeline.datasets.arrays import as_image_data
from pipeline.datasets.assembly import assemble, hold_out_test
from pipeline.datasets.files import existing_file
from pipeline.datasets.grouping import group
from pipeline.datasets.image_data import Dataset, GivenLabels, ImageData
from pipeline.datasets.relabelling import relabel
from pipeline.datasets.streamed import Storage
from pipeline.errors import PipelineError

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


@dataclass(frozen=True)
class Loader:
    """A data set's function with its arguments; an error that it raises is shown with the lines of its own code.

    Attributes:
        name: What messages call the data set.
        function: The function that loads it, the user's or a built-in one.
        arguments: Keyword arguments of the function.
        storage: Decides which images are streamed.
        white: The value that is white in the arrays that the function returns; None leaves it to their numbers.
        labels: A CSV file of labels that replace those that the function returns; "" keeps these.
        groups: What tells which images belong together, see ``grouping.group``; "" takes each by itself.
    """

    name: str
    function: Callable[..., Any]
    arguments: JsonObject
    storage: Storage
    white: float | None = None
    labels: str = ""
    groups: str = ""

    def __call__(self) -> Any:
        """Call the function and return what it returns.

        Raises:
            PipelineError: If the function raises any error.
        """
        return self._call(self.function)

    def prepare(self) -> None:
        """Unpack or download the raw files, if the data set has a function for that; quick when they are there."""
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
    """Find the loader that a config names, and bind its arguments.

    Raises:
        PipelineError: If there is no such name and no such import path, or it does not take these arguments.
    """
    function = plugins.find("data.dataset", config.dataset, BUILT_IN, ENTRY_POINTS)
    loader = bind(config.dataset, function, Storage(Path(config.root), config.streaming), config.args)
    return replace(loader, labels=config.labels, groups=config.groups)


def bind(name: str, function: Any, storage: Storage, args: JsonObject) -> Loader:
    """Make a loader of a function, which gets ``root`` and ``storage`` if it has parameters of these names.

    An argument ``white`` that the function does not take says which value is white in the arrays that it returns.

    Raises:
        PipelineError: If it is no function, or does not take these arguments.
    """
    if not callable(function):
        raise PipelineError(f"data.dataset: {name!r} is a {type(function).__name__}; expected a function")
    signature = inspect.signature(function)
    ours = {"root": storage.root, "storage": storage}
    arguments: JsonObject = {n: value for n, value in ours.items() if n in signature.parameters} | args
    white = None if "white" in signature.parameters else arguments.pop("white", None)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        takes = ", ".join(str(p) for n, p in signature.parameters.items() if n not in ours) or "no arguments"
        raise PipelineError(f"data.args: {name} was called with {args}: {error}; it takes {takes}") from error
    return Loader(name, function, arguments, storage, white)


def prepare(config: DataConfig) -> None:
    """Unpack or download the raw files, if the data set has a function for that; quick when they are there."""
    find_loader(config).prepare()


def load(config: DataConfig) -> Dataset:
    """Load a data set and leave out the training images that its test set holds too.

    Raises:
        PipelineError: If the loader is unknown, failed, or returned something that the contract does not allow.
    """
    return load_with(find_loader(config))


def load_with(loader: Loader) -> Dataset:
    """Load a data set with a loader that was found already.

    Raises:
        PipelineError: If the loader failed, or returned something that the contract does not allow.
    """
    train, test, given = _read(loader)
    held_out = test is None
    if test is None:
        train, test = hold_out_test(train)
    if loader.storage.streaming == "always" and not train.is_streamed:
        raise PipelineError(
            f"data.streaming: {loader.name} has its images in memory already, they cannot be streamed; give .npy files "
            "or pictures in folders to a reader, return memory-mapped arrays, or leave data.streaming at auto"
        )
    return replace(assemble(train, test, loader.storage), held_out=held_out, given=given)


def load_given(config: DataConfig) -> GivenLabels:
    """Load the labels alone, of which there may be too few to hold a test set out of them.

    Raises:
        PipelineError: If the data set or its labels cannot be read.
    """
    return _read(find_loader(config))[2]


def _read(loader: Loader) -> tuple[ImageData, ImageData | None, GivenLabels]:
    """Read training images and the official test set, if there is one, with the labels and groups of the settings."""
    loaded = as_image_data(loader(), loader.storage, loader.white)
    parts = loaded if isinstance(loaded, tuple) and len(loaded) == 2 else (loaded,)
    if not all(isinstance(part, ImageData) for part in parts):
        raise PipelineError(
            f"data.dataset: {loader.name} returned a {type(loaded).__name__}; "
            "expected ImageData or a pair of ImageData (train, test); or arrays: (X, y), or (X, y), (X_test, y_test)"
        )
    train = _with_names(parts[0], "")
    test = _with_names(parts[1], "test ") if len(parts) == 2 else None
    left_open: tuple[str, ...] = ()
    if loader.labels:
        train, test, left_open = relabel(train, test, existing_file(loader.labels, "data.labels"))
    if loader.groups:
        train, test = group(train, test, loader.groups)
    return train, test, GivenLabels(train.names, train.labels.numpy(), train.class_names, left_open)


def _with_names(part: ImageData, prefix: str) -> ImageData:
    """Name images that have no name by this prefix and their number, from 0."""
    if part.names:
        return part
    return replace(part, names=tuple(f"{prefix}{number}" for number in range(len(part))))
