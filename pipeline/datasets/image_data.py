"""The two things that every data set becomes: images with their labels, and a training and a test set of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.datasets.checksums import content_hashes
from pipeline.datasets.decoding import Decoding
from pipeline.datasets.scale import BYTES, Scale
from pipeline.datasets.streamed import Streamed, show
from pipeline.errors import PipelineError
from pipeline.store.memory import available_memory

if TYPE_CHECKING:
    import torch

LONGEST_NAME = 200  # letters that the name of a class may have


@dataclass(frozen=True)
class ImageData:
    """Images with their labels.

    Attributes:
        images: uint8, shape (N, C, H, W), intensities 0 (black) to 255 (white): a tensor in memory, or a ``Streamed``,
            which reads the images at an index from their files into a tensor.
        labels: int64, shape (N,), 0 to classes - 1; -1 means unlabelled, as in scikit-learn.
        class_names: The name of each class, in the order of the labels.
        names: Where each image comes from, N strings in the order of the images: the name of its file, or its row in a
            table. () if the source has no names.
        groups: int64, shape (N,): the number of the group that each image belongs to, such as its patient; a group lies
            on one side of every split. None if images are taken by themselves.
        notes: What the owner of the data should know of how they were read, such as files that were passed over; a
            sentence each.
        scale: How the numbers of the source became intensities.
        decoding: How pictures were decoded; None if the source is no pictures.

    Raises:
        PipelineError: If a tensor has another type or shape, a label is out of range, or a class's name cannot be
            printed.

    Examples:
        >>> import torch
        >>> images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
        >>> data = ImageData(images, torch.tensor([0, 1, -1]), ("cat", "dog"))
        >>> len(data), data.shape
        (3, (1, 8, 8))
        >>> len(data[data.labels >= 0])
        2
    """

    images: Any
    labels: torch.Tensor
    class_names: tuple[str, ...]
    names: tuple[str, ...] = ()
    groups: npt.NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    scale: Scale = BYTES
    decoding: Decoding | None = None

    def __post_init__(self) -> None:
        self._check_images()
        self._check_labels()
        if self.names and len(self.names) != len(self):
            raise PipelineError(f"names: got {len(self.names)} for {len(self)} images; expected one for each image")

    def _check_images(self) -> None:
        import torch

        for name in ("images", "labels"):
            value = getattr(self, name)
            if not isinstance(value, torch.Tensor | Streamed):
                raise PipelineError(
                    f"{name}: got a {type(value).__name__}; expected a tensor. "
                    "For arrays, use pipeline.datasets.arrays.from_arrays"
                )
        if self.images.dtype != torch.uint8 or len(self.images.shape) != 4 or 0 in self.images.shape[1:]:
            raise PipelineError(
                f"images: got {self.images.dtype} of shape {tuple(self.images.shape)}; "
                "expected uint8 of shape (N, C, H, W) with at least one pixel"
            )

    def _check_labels(self) -> None:
        import torch

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
        if not len(self.labels):
            return
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

    @property
    def is_streamed(self) -> bool:
        """Whether the images stay in their files and are read when they are asked for."""
        return isinstance(self.images, Streamed)

    def examples(self, index: torch.Tensor, most: int) -> torch.Tensor:
        """Pick the first image of each class among the images at these indices.

        Returns:
            Indices of at most ``most`` images, in their order; unlabelled images are not picked.
        """
        labels = self.labels[index].tolist()
        firsts = sorted(labels.index(number) for number in set(labels) - {-1})[:most]
        return index[firsts]

    def __getitem__(self, index: torch.Tensor) -> ImageData:
        """Return the images at these indices, or where this mask is true, with their labels and names."""
        images = self.images.subset(index) if isinstance(self.images, Streamed) else self.images[index]
        names = tuple(np.array(self.names, dtype=object)[np.asarray(index)]) if self.names else ()
        groups = None if self.groups is None else self.groups[np.asarray(index)]
        return replace(self, images=images, labels=self.labels[index], names=names, groups=groups)


Parts = ImageData | tuple[ImageData, ImageData]  # training images alone, or with those of an official test set


def describe(
    parts: Parts,
    names: Sequence[Sequence[str]] = ((), ()),
    notes: Sequence[str] = (),
    decoding: Decoding | None = None,
) -> Parts:
    """Say where the images of each part come from, how they were decoded, and what their owner should know.

    There are training images, and maybe test images; ``names`` has those of either. The training images carry the notes
    about both.
    """
    train, *test = [parts] if isinstance(parts, ImageData) else parts
    train = replace(train, names=tuple(names[0]), notes=tuple(notes), decoding=decoding)
    return (train, replace(test[0], names=tuple(names[1]), decoding=decoding)) if test else train


@dataclass(frozen=True)
class Copies:
    """The checksums of a data set and the copies in it.

    Attributes:
        sha256: Checksum of all images, labels and class names.
        images_sha256: Checksum of the training images that are left, in their order.
        of_test_groups: Indices of further training images of whose group there are test images; they are left out.
        in_test: Indices of the training images that the test set holds too; they are left out.
        repeated: Indices of the other labelled training images that equal a labelled one before them; they stay without
            their labels, so that no image is both trained on and validated on.
        within_train: How many training images equal one before them, labelled or not.
        within_test: How many test images equal one before them.
        other_label: How many images come with several labels.
    """

    sha256: str
    images_sha256: str
    of_test_groups: list[int]
    in_test: list[int]
    repeated: list[int]
    within_train: int
    within_test: int
    other_label: int


@dataclass(frozen=True)
class GivenLabels:
    """Labels of training images as their source, or ``data.labels``, gives them, those of copies included.

    Attributes:
        names: The names of the images.
        codes: int64, shape (N,), numbers of classes; -1 means unlabelled.
        class_names: The name of each class.
        left_open: The names of the images that ``data.labels`` names without a label: a person could not tell.
    """

    names: tuple[str, ...] = ()
    codes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    class_names: tuple[str, ...] = ()
    left_open: tuple[str, ...] = ()

    def by_name(self) -> dict[str, str]:
        """Return the class of each labelled image by the image's name, and "" for one that was left open.

        These are what a labels file has to keep, which stands in place of all labels of a source.
        """
        pairs = zip(self.names, self.codes.tolist(), strict=True)
        return {name: self.class_names[code] for name, code in pairs if code >= 0} | dict.fromkeys(self.left_open, "")


@dataclass(frozen=True)
class Dataset:
    """A data set ready for use: no training image also lies in the test set.

    Attributes:
        train: Labelled and unlabelled training images.
        test: Images that E_out is measured on; all of them have a label. There are none if no image has a label.
        copies: Checksums and copies of what was loaded, before copies were left out.
        held_out: Whether the test set was held out of the labelled images; else it is the official one.
        given: The labels of all training images before copies were left out and a test set was held out of them.
    """

    train: ImageData
    test: ImageData
    copies: Copies
    held_out: bool = False
    given: GivenLabels = GivenLabels()

    @property
    def sha256(self) -> str:
        """Checksum of all images, labels and class names, before duplicates were left out."""
        return self.copies.sha256

    @property
    def images_sha256(self) -> str:
        """Checksum of the training images alone, in their order: what a pretraining is made from."""
        return self.copies.images_sha256

    @functools.cached_property
    def test_hashes(self) -> frozenset[bytes]:
        """Digests of the test images."""
        return frozenset(content_hashes(self.test.images).tolist())

    @property
    def whereabouts(self) -> str:
        """Whether the images are in memory or streamed from disk, in words, with the sizes that decided it."""
        size = sum(math.prod(part.images.shape) for part in (self.train, self.test))
        room = f"{show(size)} of images, {show(available_memory())} of memory available"
        is_streamed = self.train.is_streamed or self.test.is_streamed
        return f"{'streamed from disk' if is_streamed else 'in memory'} ({room})"
