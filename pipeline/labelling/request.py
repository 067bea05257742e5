"""A request to label images, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Item:
    """An image that a person is asked about.

    Attributes:
        name: What ``labels.csv`` calls the image: the name of its file, or its row in the source.
        image: Its pixels, uint8, shape (H, W, C), of one channel or three.
        rank: Its place in the order of asking, from 1.
        cluster: The number of the cluster that it stands for; None if there are no clusters.
        reason: Why it is asked about, a few words; "" if nothing is to be said.
        label: The name of its class as it is labelled now; "" if it has no label. It is kept unless the person changes
            it.
        proposal: The name of the class that a classifier would give it; "" if none was asked.
        look_alikes: Pixels of its nearest neighbours, shaped like ``image``.
    """

    name: str
    image: Pixels
    rank: int
    cluster: int | None = None
    reason: str = ""
    label: str = ""
    proposal: str = ""
    look_alikes: Sequence[Pixels] = ()


@dataclass(frozen=True)
class LabelRequest:
    """Images to be labelled, and what else goes into ``labels.csv``.

    Attributes:
        title: The page's title, such as "40 images of mnist to label".
        advice: A sentence or two below the title.
        classes: The names of the classes that are known so far, in their order.
        items: The images, each name once.
        may_add_classes: Whether the person may name further classes; not where the classes of an official test set are
            all that there can be.
        kept: Labels that other images have already, by name, "" for one that a person could not tell: ``data.labels``
            stands in place of all labels of a source, so they go into the new file as they are. Those of images on the
            page are passed over.
    """

    title: str
    classes: Sequence[str]
    items: Sequence[Item]
    advice: str = ""
    may_add_classes: bool = True
    kept: dict[str, str] = field(default_factory=dict)


def as_pictures(images: Pixels) -> list[Pixels]:
    """Return images of shape (N, C, H, W), as data sets hold them, one by one, each of shape (H, W, C)."""
    return list(images.transpose(0, 2, 3, 1))
