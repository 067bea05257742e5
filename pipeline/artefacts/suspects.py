"""Labels of training images that are probably wrong: a classifier that has not seen them, or a copy, says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.image_data import Dataset, ImageData

LOOKED_AT = 10_000  # labelled images for which near copies are looked for

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong.

    Attributes:
        image: The image's place among the training images.
        label: The number of the class that it is labelled as.
        proposal: The number of the class that it looks like.
        own: The probability of its label by a classifier that has not seen it, 0 to 1; None if none contradicts it.
        is_sure: Whether a copy contradicts the label, or the classifier does so surely (see ``label_errors``).
        copy: The place of a copy of the image that is labelled as the proposal; None if there is none.
    """

    image: int
    label: int
    proposal: int
    own: float | None
    is_sure: bool
    copy: int | None = None


@dataclass(frozen=True)
class Suspects:
    """All labels that are probably wrong.

    Attributes:
        found: The labels, those that a copy contradicts first, then the least probable ones first.
        labels: The number of labels of training images.
        judged: The number of those that the classifier could judge.
    """

    found: list[Suspect]
    labels: int
    judged: int


def find_suspects(dataset: Dataset, embeddings: torch.Tensor) -> Suspects:
    """Find the labels of training images that are probably wrong; labels of test images are not looked at.

    The embeddings are those of all training images, each dimension of variance 1, shape (N, features).

    Raises:
        PipelineError: If no two classes have two labels.
    """
    from pipeline.evaluation.label_errors import find_doubts

    train, given = dataset.train, _given(dataset)
    seen = train.labels.numpy()
    labelled = np.flatnonzero(seen >= 0)
    if not len(labelled):
        raise PipelineError("labels: no training image has one; label some, and name them in a file as data.labels")
    groups = None if train.groups is None else train.groups[labelled]
    doubts = find_doubts(embeddings[labelled].numpy(), seen[labelled], groups)
    contradicted: dict[int, Suspect] = {}
    for doubt in doubts.found:
        image = int(labelled[doubt.place])
        contradicted[image] = Suspect(image, int(seen[image]), doubt.proposal, doubt.own, doubt.is_sure)
    copied: dict[int, Suspect] = {}
    for one, other in _copies(train, labelled, given):
        if given[one] != given[other] and other not in copied:
            suspect = _of_pair(one, other, given, contradicted)
            copied[suspect.image] = suspect
    found = [*copied.values(), *(each for image, each in contradicted.items() if image not in copied)]
    return Suspects(found, int((given >= 0).sum()), doubts.judged)


def _given(dataset: Dataset) -> Integers:
    """Return the label that each training image was given, even if it is a copy and its label is not used; or -1."""
    codes = dict(zip(dataset.given.names, dataset.given.codes.tolist(), strict=True))
    return np.array([codes[name] for name in dataset.train.names], dtype=np.int64)


def _copies(train: ImageData, labelled: Integers, given: Integers) -> list[tuple[int, int]]:
    """Return pairs of training images with labels that are the same image, or nearly."""
    import torch

    from pipeline.datasets.checksums import content_hashes
    from pipeline.datasets.near_copies import find_near_copies

    unused = np.flatnonzero((given >= 0) & (train.labels.numpy() < 0))  # they equal one whose label is used
    used = train[torch.from_numpy(labelled)].images
    firsts = dict(zip(content_hashes(used).tolist(), labelled.tolist(), strict=True))
    hashes = content_hashes(train[torch.from_numpy(unused)].images).tolist()
    exact = [(image, firsts[digest]) for image, digest in zip(unused.tolist(), hashes, strict=True)]
    near = find_near_copies(used, used, LOOKED_AT).pairs
    return exact + [(int(labelled[one]), int(labelled[other])) for one, other in near]


def _of_pair(one: int, other: int, given: Integers, contradicted: dict[int, Suspect]) -> Suspect:
    """Doubt that of two copies which the classifier contradicts more; the first if it contradicts neither."""
    own = {image: contradicted[image].own for image in (one, other) if image in contradicted}
    image = min(own, key=lambda each: own[each] or 0.0) if own else one
    twin = other if image == one else one
    return Suspect(image, int(given[image]), int(given[twin]), own.get(image), is_sure=True, copy=twin)
