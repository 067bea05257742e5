"""Novelty: which new images lie farther from the training images than these lie from each other.

Each image is looked at in two spaces. One holds the latents, where the distance to the nearest training image tells
what an encoder does not know (deep nearest-neighbour detection, Sun et al. 2022, arXiv 2204.06507). But an encoder may
put what it was never trained on, such as noise, among the latents of ordinary images; so the other space holds four
measures of the pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from sklearn.metrics import pairwise_distances_argmin_min
from torch import Tensor

from pipeline.models.inputs import as_input

Points = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]

LOOKS = 4  # measures of the pixels
SHARE = 0.005  # of the training images that lie beyond the limit of a space; nearly twice as many in one of the two
CHANCE = 0.001  # probability with which as many images of the training's kind lie beyond as are remarked on
NOTABLE = 0.05  # least share of new images beyond that is remarked on


def looks(images: Tensor) -> Points:
    """Measure how images look: mean, contrast, and how much neighbouring pixels differ, down and across.

    Args:
        images: uint8, or floats in [0, 1], shape (n, C, H, W).

    Returns:
        Numbers from 0 to 1, shape (n, 4).
    """
    pixels, dims = as_input(images), (1, 2, 3)
    down, across = pixels.diff(dim=2).abs().mean(dims), pixels.diff(dim=3).abs().mean(dims)
    return torch.stack([pixels.mean(dims), pixels.std(dims, correction=0), down, across], 1).numpy()


@dataclass(frozen=True)
class Space:
    """Where training images lie in one space.

    Attributes:
        known: Points of some training images, shape (known, dimensions).
        limit: The distance to the nearest of them beyond which an image is unlike them.
    """

    known: Points
    limit: float

    @classmethod
    def of(cls, known: Points, further: Points) -> Self:
        """Make a space of training images; further ones, shape (further, dimensions), say how far is far."""
        space = cls(known, 0.0)
        distances = np.sort(space.distances(further))
        return cls(known, float(distances[-_beyond(len(distances))]))

    def distances(self, points: Points) -> Points:
        """Return the Euclidean distances of points, shape (n, dimensions), to the nearest known ones, shape (n,)."""
        found: Points = pairwise_distances_argmin_min(points, self.known)[1]
        return found


@dataclass(frozen=True)
class TrainingSample:
    """Some training images of a classifier, as points, by which new images are judged without the training data.

    Attributes:
        latents: Their latents by the classifier's own encoder.
        looks: Their looks.
        further: The number of training images that the limits come from.

    Examples:
        >>> generator = np.random.default_rng(0)
        >>> latents, images = generator.normal(size=(300, 2)), torch.full((300, 1, 8, 8), 0.5)
        >>> sample = TrainingSample.of(latents, looks(images), known=200)
        >>> sample.unlike(np.array([[0.1, 0.2], [9.0, 9.0]]), looks(images[:2])).tolist()
        [False, True]
    """

    latents: Space
    looks: Space
    further: int

    @classmethod
    def of(cls, latents: Points, looks: Points, known: int) -> Self:
        """Make a sample of the first ``known`` images, and set the limits by the others, at least one."""
        return cls(
            latents=Space.of(latents[:known], latents[known:]),
            looks=Space.of(looks[:known], looks[known:]),
            further=len(latents) - known,
        )

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Make a sample of tensors: the inverse of ``as_tensors``.

        Raises:
            KeyError, ValueError: If they are others.
        """
        latents, seen = tensors["latents"].numpy(), tensors["looks"].numpy()
        latent_limit, look_limit, further = tensors["limits_and_number"].tolist()
        if latents.ndim != 2 or seen.shape != (len(latents), LOOKS) or not (len(latents) and further >= 1):
            raise ValueError(f"latents {latents.shape}, looks {seen.shape}, further {further}")
        if not all(np.isfinite(numbers).all() for numbers in (latents, seen, latent_limit, look_limit)):
            raise ValueError("numbers that are infinite or none")
        return cls(Space(latents, latent_limit), Space(seen, look_limit), int(further))

    def as_tensors(self) -> dict[str, Tensor]:
        """Return tensors by their names, which ``from_tensors`` reads."""
        numbers = [self.latents.limit, self.looks.limit, self.further]
        return {
            "latents": torch.from_numpy(self.latents.known),
            "looks": torch.from_numpy(self.looks.known),
            "limits_and_number": torch.tensor(numbers, dtype=torch.float64),
        }

    def unlike(self, latents: Points, looks: Points) -> Flags:
        """Return which images lie beyond the limit of either space.

        Args:
            latents: Shape (n, features).
            looks: Shape (n, 4), as ``looks`` measures them.

        Returns:
            Shape (n,); True for about one in a hundred of the training's kind.
        """
        by_latents: Flags = self.latents.distances(latents) > self.latents.limit
        by_looks: Flags = self.looks.distances(looks) > self.looks.limit
        return by_latents | by_looks

    def is_notable(self, unlike: int, total: int) -> bool:
        """Whether so many of ``total`` new images are unlike the training that these are of another kind.

        The share of images beyond a limit that was estimated has a beta distribution, and their number a beta-binomial
        one.
        """
        beyond = min(2 * _beyond(self.further), self.further)
        usual = float(stats.betabinom.ppf(1 - CHANCE, total, beyond, self.further + 1 - beyond))
        return unlike > max(NOTABLE * total, usual)


def _beyond(number: int) -> int:
    """Return the rank of the limit among this many distances, counted from the farthest, which is 1."""
    return max(1, int((number + 1) * SHARE))
