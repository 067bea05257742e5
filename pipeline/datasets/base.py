"""What a data set is, and how one is found by name.

A data set is a function. It takes the folder for raw files as ``root`` (and whatever ``data.args`` gives it) and
returns ``(train, test)``, two ``ImageData``; or one ``ImageData``, from which a test set is then held out before
anything else happens. Name it in a config by its import path, ``my_module:my_function``; nothing here needs editing.

A function may carry an attribute ``prepare``, called with the same arguments by the data stage alone: the place to
unpack or download.
"""

from __future__ import annotations

import hashlib
import pkgutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import DataConfig
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import torch

BUILT_IN = {
    "mnist": "pipeline.datasets.mnist:load",
    "digits": "pipeline.datasets.digits:load",
    "fashion_mnist": "pipeline.datasets.downloaded:fashion_mnist",
    "kmnist": "pipeline.datasets.downloaded:kmnist",
    "cifar10": "pipeline.datasets.downloaded:cifar10",
}

TEST_FRACTION = 0.2  # held out of a data set that comes without an official test set
_TEST_SEED = 20_000_000  # fixed: the test set is a property of the data, not of an experiment


@dataclass(frozen=True)
class ImageData:
    """Images with their labels.

    Attributes:
        images: uint8, shape (N, C, H, W), intensities 0 to 255.
        labels: int64, shape (N,), 0 to classes - 1; -1 means unlabelled, as in scikit-learn.
        class_names: One name a class, in the order of the labels.

    Raises:
        PipelineError: A tensor has another type or shape, or a label is out of range.
    """

    images: torch.Tensor
    labels: torch.Tensor
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        import torch

        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or len(self.images) == 0:
            raise PipelineError(
                f"images: got {self.images.dtype} of shape {tuple(self.images.shape)}; "
                "expected uint8 of shape (N, C, H, W) with at least one image"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise PipelineError(
                f"labels: got {self.labels.dtype} of shape {tuple(self.labels.shape)}; "
                f"expected int64 of shape ({len(self.images)},), one for each image"
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

    def __getitem__(self, index: torch.Tensor) -> ImageData:
        return ImageData(self.images[index], self.labels[index], self.class_names)


@dataclass(frozen=True)
class Dataset:
    """A data set ready for use: no training image also lies in the test set.

    Attributes:
        train: Labelled and unlabelled training images.
        test: Images for E_out; all labelled.
        sha256: Of all images, labels and class names, before duplicates were left out.
        duplicates: Training images left out because the test set holds the same image.
    """

    train: ImageData
    test: ImageData
    sha256: str
    duplicates: int


def find_loader(config: DataConfig) -> partial[Any]:
    """The loader a config names, with its arguments bound.

    Raises:
        PipelineError: There is no such built-in and no such import path.
    """
    path = BUILT_IN.get(config.dataset, config.dataset)
    if path == config.dataset and ":" not in path:
        raise PipelineError(
            f"data.dataset: {config.dataset!r} is unknown; expected one of {', '.join(BUILT_IN)}, "
            "or the import path 'module:function' of your own loader"
        )
    try:
        function = pkgutil.resolve_name(path)
    except Exception as error:  # the module is the user's: whatever it raises is what they have to see
        raise PipelineError(f"data.dataset: {path!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise PipelineError(f"data.dataset: {path!r} is a {type(function).__name__}; expected a function")
    return partial(function, root=Path(config.root), **config.args)


def prepare(config: DataConfig) -> None:
    """Unpack or download the raw files, where the data set has any; quick when they are there."""
    loader = find_loader(config)
    preparation = getattr(loader.func, "prepare", None)
    if preparation is not None:
        preparation(root=Path(config.root), **config.args)


def load(config: DataConfig) -> Dataset:
    """Load a data set and make sure that its test set is apart from its training set.

    Raises:
        PipelineError: The loader is unknown, failed, or returned something else than the contract says.
    """
    loader = find_loader(config)
    try:
        loaded = loader()
    except TypeError as error:
        raise PipelineError(f"data.args: {config.dataset} was called with {config.args}: {error}") from error
    if isinstance(loaded, ImageData):
        loaded = hold_out_test(loaded)
    if not (isinstance(loaded, tuple) and len(loaded) == 2 and all(isinstance(x, ImageData) for x in loaded)):
        raise PipelineError(
            f"data.dataset: {config.dataset} returned a {type(loaded).__name__}; "
            "expected ImageData or a pair of ImageData (train, test)"
        )
    return _checked(*loaded)


def content_hashes(images: torch.Tensor) -> list[bytes]:
    """A digest of each image's bytes; equal for equal images."""
    pixels = images.contiguous().numpy()
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels]


def hold_out_test(data: ImageData) -> tuple[ImageData, ImageData]:
    """Split off a stratified fifth of the labelled images as the test set, always the same one."""
    import torch
    from sklearn.model_selection import train_test_split

    labelled = torch.nonzero(data.labels >= 0).flatten()
    classes = data.labels[labelled]
    if int(torch.bincount(classes).clamp(max=2).max()) < 2:
        raise PipelineError("labels: every class has fewer than 2 images; a test set cannot be held out")
    _, test = train_test_split(
        labelled.numpy(), test_size=TEST_FRACTION, stratify=classes.numpy(), random_state=_TEST_SEED
    )
    is_test = torch.zeros(len(data), dtype=torch.bool)
    is_test[torch.from_numpy(test)] = True
    return data[~is_test], data[is_test]


def _checked(train: ImageData, test: ImageData) -> Dataset:
    if train.class_names != test.class_names or train.shape != test.shape:
        raise PipelineError(
            f"training images are {train.shape} in classes {train.class_names}, test images "
            f"{test.shape} in classes {test.class_names}; expected the same"
        )
    if int(test.labels.min()) < 0:
        raise PipelineError("the test set holds unlabelled images (-1); expected a label for each")
    import torch

    seen_in_test = set(content_hashes(test.images))
    fresh = torch.tensor([digest not in seen_in_test for digest in content_hashes(train.images)])
    if not fresh.any():
        raise PipelineError("every training image also lies in the test set")
    checksum = _checksum(train, test)
    duplicates = int((~fresh).sum())
    return Dataset(train[fresh] if duplicates else train, test, checksum, duplicates)


def _checksum(*parts: ImageData) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr((tuple(part.images.shape), part.class_names)).encode())
        digest.update(part.images.contiguous().numpy().data)
        digest.update(part.labels.contiguous().numpy().data)
    return digest.hexdigest()
