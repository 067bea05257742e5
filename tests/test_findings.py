"""Corrected p values and equivalent numbers of labels: laws, and cases that can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.crossed import Floats
from pipeline.evaluation.equivalence import equivalent_labels
from pipeline.evaluation.statistics import holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)
BUDGETS = (100, 1000, 10_000)
falling = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(lambda row: sorted(row, reverse=True))


def by_draw(errors: list[float]) -> Floats:
    """A table of draws x encoders x test images, with one encoder and the images already counted."""
    return np.array(errors)[:, None, None]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(p_values)
def test_holm_keeps_the_order_and_lies_between_the_value_and_bonferroni(values: list[float]) -> None:
    corrected = holm(values)
    for p, q in zip(values, corrected, strict=True):
        assert p <= q <= min(1.0, len(values) * p)
    order = sorted(range(len(values)), key=lambda place: values[place])
    assert [corrected[place] for place in order] == sorted(corrected)


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_mode_is_worth_its_own_labels_in_itself(budget: int) -> None:
    reference = [by_draw([0.3, 0.33, 0.28]), by_draw([0.2, 0.21, 0.22]), by_draw([0.1, 0.08, 0.11])]
    worth = equivalent_labels(BUDGETS, reference, reference[BUDGETS.index(budget)])
    assert worth.mean == pytest.approx(budget, rel=0.01)
    assert worth.low is not None
    assert worth.high is not None
    assert worth.low <= worth.mean * 1.01
    assert worth.high >= worth.mean * 0.99


def test_halfway_in_the_logarithm_is_the_geometric_mean() -> None:
    worth = equivalent_labels((100, 10_000), [by_draw([0.3] * 3), by_draw([0.1] * 3)], by_draw([0.2] * 3))
    assert worth.mean == pytest.approx(1000, rel=0.01)
    assert worth.low == pytest.approx(1000, rel=0.01)
    assert worth.high == pytest.approx(1000, rel=0.01)


def test_nothing_is_said_beyond_the_budgets() -> None:
    reference = [by_draw([0.3, 0.31]), by_draw([0.2, 0.21])]
    better = equivalent_labels((100, 1000), reference, by_draw([0.1, 0.1]))
    worse = equivalent_labels((100, 1000), reference, by_draw([0.5, 0.5]))
    assert (better.mean, better.low, better.high) == (math.inf, math.inf, math.inf)
    assert (worse.mean, worse.low, worse.high) == (0, 0, 0)


def test_a_single_draw_has_no_interval() -> None:
    reference = [by_draw([0.3]), by_draw([0.2])]
    worth = equivalent_labels((100, 1000), reference, by_draw([0.25]))
    assert worth.low is worth.high is None
    with pytest.raises(ValueError, match="do not fit"):
        equivalent_labels((100, 1000), reference, by_draw([0.25, 0.25]))


@settings(max_examples=30)
@given(st.lists(st.tuples(falling, st.floats(0, 1)), min_size=2, max_size=6))
def test_the_interval_holds_the_estimate(draws: list[tuple[list[float], float]]) -> None:
    reference, errors = map(list, zip(*draws, strict=True))
    worth = equivalent_labels(BUDGETS, [by_draw(list(own)) for own in zip(*reference, strict=True)], by_draw(errors))
    assert worth.low is not None
    assert worth.high is not None
    assert worth.low <= worth.mean <= worth.high
