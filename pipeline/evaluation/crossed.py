"""How sure a mean is that was taken over draws of the labels, seeds of pretraining and test images, all at once.

Every cell of one mode and budget is tested on the same images, and every draw of the labels meets every pretrained
encoder. So the errors of a mode are a table with three crossed directions, draws x encoders x test images, and
another draw, another encoder or other test images would have given another mean. A mean over draws with a t interval
counts the draws alone and is too sure of itself.

The table is split into what each direction, each pair of directions and all three together contribute (a random-effects
analysis of variance). From these contributions follow the variance of the mean (Searle, Casella and McCulloch 1992,
chapter 4) and, after Satterthwaite (1946), the degrees of freedom of a t interval around it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

LEVEL = 0.95  # the confidence level of all intervals
POWER = 0.8  # the chance with which a difference that is called detectable is found

Floats = npt.NDArray[np.float64]
Direction = tuple[int, ...]  # axes of the table that a contribution varies along


@dataclass(frozen=True)
class Interval:
    """An estimate and the limits of its confidence interval; the limits are None where nothing was repeated."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Estimate:
    """A mean and its uncertainty.

    Attributes:
        mean: The mean.
        error: Its standard error; NaN where nothing was repeated.
        freedom: Degrees of freedom of the t distribution that describes it.
    """

    mean: float
    error: float
    freedom: float

    def interval(self) -> Interval:
        """Return the t interval."""
        if math.isnan(self.error):
            return Interval(self.mean, None, None)
        half = self.error * float(stats.t.ppf((1 + LEVEL) / 2, self.freedom))
        return Interval(self.mean, self.mean - half, self.mean + half)

    def probability_below(self, limit: float) -> float:
        """Return the probability that the true value lies below a limit.

        It is that of a t distribution around the mean: what one believes after seeing the data if one held every value
        for equally likely before (Benavoli et al. 2017, arXiv 1606.04316). Where nothing was repeated it is NaN.
        """
        if self.error == 0:
            return float(self.mean < limit)
        return float(stats.t.cdf((limit - self.mean) / self.error, self.freedom))

    def detectable(self) -> float:
        """Return the smallest true difference whose interval would exclude 0 with a chance of ``POWER``."""
        quantiles = stats.t.ppf([(1 + LEVEL) / 2, POWER], self.freedom)
        return self.error * float(quantiles.sum())


class Crossed:
    """Tables of draws x encoders x test images, whose weighted sums are to be estimated.

    Examples:
        Two modes that err on some of 50 test images, in 8 draws with one encoder, and the difference of their errors:

        >>> wrong = np.random.default_rng(0).random((2, 8, 1, 50)) < [[[[0.3]]], [[[0.1]]]]
        >>> both = Crossed(list(wrong))
        >>> both.estimate([1, -1]).interval().low > 0
        True
    """

    def __init__(self, tables: Sequence[npt.ArrayLike]) -> None:
        """Take tables of shape (draws, encoders, images), of which each size may be 1 in place of the others' size.

        A table that does not depend on the encoder, or has no test images, has the size 1 there.

        Raises:
            ValueError: If the tables' shapes do not fit together.
        """
        stacked = np.stack(np.broadcast_arrays(*(np.asarray(table, dtype=np.float64) for table in tables)))
        if stacked.ndim != 4:
            raise ValueError(f"expected tables of draws x encoders x images, not of shape {stacked.shape[1:]}")
        self.shape: tuple[int, ...] = stacked.shape[1:]
        self.means: Floats = stacked.mean((1, 2, 3))
        self._products = _mean_products(stacked)

    def estimate(self, weights: Sequence[float]) -> Estimate:
        """Estimate the sum of the tables' means with these weights, one a table."""
        mean, error, freedom = self.estimates(np.asarray(weights, dtype=np.float64)[None])
        return Estimate(float(mean[0]), float(error[0]), float(freedom[0]))

    def estimates(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Estimate many sums, by weights of shape (sums, tables): means, standard errors, degrees of freedom."""
        means = weights @ self.means
        if self.shape[0] == 1:  # one draw says nothing of how much depends on the draw
            return means, np.full_like(means, np.nan), np.ones_like(means)
        count = math.prod(self.shape)
        variance, largest, spread = (np.zeros_like(means) for _ in range(3))
        for directions, (product, own_freedom) in self._products.items():
            part = np.einsum("sk,kl,sl->s", weights, product, weights).clip(0) / count
            variance += part if len(directions) % 2 else -part
            spread += part**2 / own_freedom
            if len(directions) == 1:
                largest = np.maximum(largest, part)
        variance = np.maximum(variance, largest)  # no direction's own share can exceed the whole
        freedom = np.divide(variance**2, spread, out=np.full_like(means, np.inf), where=spread > 0)
        return means, np.sqrt(variance), np.maximum(freedom, 1)


def _mean_products(stacked: Floats) -> dict[Direction, tuple[Floats, int]]:
    """Return mean products of the contributions of tables, shape (tables, draws, encoders, images).

    Returns:
        By the directions, of those that hold more than one value: the products, shape (tables, tables), and a number.
    """
    axes = [axis for axis in (1, 2, 3) if stacked.shape[axis] > 1]
    effects: dict[Direction, Floats] = {(): stacked.mean((1, 2, 3), keepdims=True)}
    products = {}
    for size in range(1, len(axes) + 1):
        for directions in itertools.combinations(axes, size):
            others = tuple(axis for axis in (1, 2, 3) if axis not in directions)
            effect = stacked.mean(others, keepdims=True)
            for fewer in range(size):
                for part in itertools.combinations(directions, fewer):
                    effect = effect - effects[part]
            effects[directions] = effect
            flat = effect.reshape(len(stacked), -1)
            copies = math.prod(stacked.shape[axis] for axis in others)
            freedom = math.prod(stacked.shape[axis] - 1 for axis in directions)
            products[directions] = (copies * (flat @ flat.T) / freedom, freedom)
    return products
