"""Intervals keep their promise: simulated again and again, they hold the true value about 95 times of 100.

Whether a classifier errs on an image is simulated by a threshold on the sum of how hard the image is, how lucky the
draw of the labels, how good the encoder, and what pairs of these do together: more than any of the three varies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pipeline.evaluation.crossed import Crossed
from pipeline.evaluation.statistics import mean_interval, paired_difference

Table = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """How much what contributes to an error varies, as standard deviations, and how many of each there are."""

    draws: int = 8
    encoders: int = 3
    images: int = 500
    draw: float = 0.3
    encoder: float = 0.2
    image: float = 2.0
    draw_image: float = 1.0
    encoder_image: float = 0.7
    rest: float = 0.5

    def noise(self, rng: np.random.Generator, share: float = 1.0) -> npt.NDArray[np.float64]:
        """What all but the mode itself contributes, shape (draws, encoders, images); ``share`` of each variance."""
        d, e, i = self.draws, self.encoders, self.images
        shapes = [(d, 1, 1), (1, e, 1), (1, 1, i), (d, 1, i), (1, e, i), (d, e, i)]
        total = np.zeros((d, e, i))
        for shape, deviation in zip(shapes, self.deviations, strict=True):
            total += np.sqrt(share) * deviation * rng.normal(size=shape)
        return total

    @property
    def deviations(self) -> tuple[float, ...]:
        """By draw, encoder, image, draw and image, encoder and image, and all three."""
        return self.draw, self.encoder, self.image, self.draw_image, self.encoder_image, self.rest

    def threshold(self, error: float) -> float:
        """Below which an image is classified wrongly, for this share of wrong ones."""
        return float(np.sqrt(np.square(self.deviations).sum()) * stats.norm.ppf(error))


ONE_ENCODER = World(encoders=1, encoder=0.0, encoder_image=0.0, rest=0.0)
WORLDS = {"one encoder": ONE_ENCODER, "three encoders": World(), "draws hardly matter": World(draw=0.02)}


def covered(world: World, repetitions: int, seed: int) -> tuple[float, float]:
    """How often the interval of a mean, and that of a paired difference, holds the true value."""
    rng = np.random.default_rng(seed)
    hits = np.zeros(2)
    for _ in range(repetitions):
        shared = world.noise(rng, 0.5)  # what two modes have in common by seeing the same
        first, second = (shared + world.noise(rng, 0.5) < world.threshold(error) for error in (0.05, 0.065))
        mean, difference = mean_interval(first), paired_difference(first, second).difference
        assert mean.low is not None
        assert mean.high is not None
        assert difference.low is not None
        assert difference.high is not None
        hits += [mean.low <= 0.05 <= mean.high, difference.low <= -0.015 <= difference.high]
    return float(hits[0] / repetitions), float(hits[1] / repetitions)


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_intervals_that_count_everything_hold_the_truth(world: World) -> None:
    for share in covered(world, 150, seed=0):
        assert 0.91 <= share <= 0.985  # what 150 repetitions can tell


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_intervals_hold_the_truth_between_92_and_97_times_of_100(world: World) -> None:
    for share in covered(world, 4000, seed=1):
        assert 0.92 <= share <= 0.97


def test_intervals_over_draws_alone_are_too_sure() -> None:
    rng, world, hits = np.random.default_rng(0), World(), 0
    for _ in range(100):
        wrong = world.noise(rng) < world.threshold(0.05)
        interval = mean_interval(wrong.mean((1, 2)))
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= 0.05 <= interval.high
    assert hits < 90


# --- laws -----------------------------------------------------------------------------------------------------


def test_a_table_of_one_value_a_draw_gives_students_interval() -> None:
    values = np.random.default_rng(0).normal(size=7)
    low, high = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    interval = mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_images_that_all_draws_share_are_counted_as_one_sample() -> None:
    """Where all draws err on the same images, more draws tell nothing new: what is left is the binomial's variance."""
    wrong = np.zeros((8, 1, 400), dtype=bool)
    wrong[:, :, :40] = True
    estimate = Crossed([wrong]).estimate([1.0])
    assert estimate.mean == pytest.approx(0.1)
    assert estimate.error == pytest.approx(np.sqrt(0.1 * 0.9 / 399))
    assert mean_interval(wrong.mean(2)[:, 0]).low == pytest.approx(0.1)  # which draws alone would call certain


def test_the_variance_of_a_balanced_table_is_that_of_the_textbook() -> None:
    """Two directions: mean squares of rows, columns and both together (Searle et al. 1992, section 4.3)."""
    table = np.random.default_rng(1).normal(size=(5, 1, 9))
    rows, columns = table.mean((1, 2)), table.mean((0, 1))
    rest = table[:, 0] - rows[:, None] - columns + table.mean()
    squares = 9 * rows.var(ddof=1), 5 * columns.var(ddof=1), (rest**2).sum() / 32
    expected = max((squares[0] + squares[1] - squares[2]) / 45, squares[0] / 45, squares[1] / 45)
    assert Crossed([table]).estimate([1.0]).error == pytest.approx(np.sqrt(expected))


def test_a_mode_without_an_encoder_is_compared_with_one_that_has_three() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((6, 3, 50)) < 0.2, rng.random((6, 1, 50)) < 0.4
    spread = np.broadcast_to(second, first.shape)
    assert paired_difference(first, second) == paired_difference(first, spread)


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="draws x encoders x images"):
        Crossed([np.zeros((3, 4))])
    with pytest.raises(ValueError, match="differ in number"):
        paired_difference(np.zeros((3, 1, 4)), np.zeros((2, 1, 4)))


def test_probabilities_around_the_margin_add_up_and_follow_the_difference() -> None:
    rng = np.random.default_rng(0)
    clear = paired_difference(rng.random((8, 1, 900)) < 0.05, rng.random((8, 1, 900)) < 0.15)
    same = paired_difference([0.05, 0.0501, 0.0499, 0.05], [0.05, 0.05, 0.05, 0.0501])
    for found in (clear, same):
        assert found.first_better is not None
        assert found.equal is not None
        assert found.second_better is not None
        assert found.first_better + found.equal + found.second_better == pytest.approx(1)
    assert clear.first_better is not None
    assert clear.first_better > 0.999
    assert same.equal is not None
    assert same.equal > 0.99


def test_a_difference_of_the_detectable_size_is_found_in_four_cases_of_five() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(0, 0.01, (1000, 8))
    size = np.mean([Crossed([row[:, None, None]]).estimate([1.0]).detectable() for row in differences])
    lows = [mean_interval(row + size).low for row in differences]
    found = np.mean([low is not None and low > 0 for low in lows])
    assert 0.75 <= found <= 0.85


def test_a_single_draw_says_nothing_of_how_sure_it_is() -> None:
    found = paired_difference(np.ones((1, 1, 9)), np.zeros((1, 1, 9)))
    assert (found.difference.low, found.first_better, found.equal, found.second_better) == (None,) * 4
    assert found.detectable is None
