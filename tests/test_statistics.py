from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from pipeline.evaluation.statistics import clopper_pearson, hoeffding, mean_interval, paired_difference

errors = st.floats(0, 1, allow_nan=False).map(lambda x: round(x, 4))
draws = st.lists(st.tuples(errors, errors), min_size=2, max_size=8)


@given(draws)
@example([(1.0, 0.0), (0.6562, 0.0), (0.0, 1.0), (0.0, 0.6562)])  # their mean is 0 but for rounding
def test_the_sign_flip_p_value_is_the_share_of_sign_patterns_at_least_as_extreme(
    pairs: list[tuple[float, float]],
) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    differences = np.subtract(first, second)
    means = [np.mean(differences * signs) for signs in itertools.product((1, -1), repeat=len(differences))]
    at_least = [abs(m) >= abs(differences.mean()) - 1e-12 for m in means]
    assert paired_difference(first, second).p_value == pytest.approx(np.mean(at_least))


def test_five_draws_that_all_agree_reach_one_sixteenth_and_no_less() -> None:
    paired = paired_difference([0.05, 0.06, 0.04, 0.07, 0.05], [0.02, 0.03, 0.02, 0.01, 0.03])
    assert paired.exact
    assert paired.p_value == pytest.approx(2 / 2**5)
    assert paired.difference.low is not None
    assert paired.difference.low > 0


def test_many_draws_are_sampled_and_say_so() -> None:
    paired = paired_difference([0.1 + i / 1000 for i in range(20)], [0.05] * 20)
    assert not paired.exact
    assert paired.p_value < 0.001


def test_paired_values_must_pair() -> None:
    with pytest.raises(ValueError, match="differ in number: 2 and 3"):
        paired_difference([0.1, 0.2], [0.1, 0.2, 0.3])


def test_the_mean_interval_is_students() -> None:
    values = [0.021, 0.025, 0.019, 0.03]
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.mean, interval.low, interval.high) == pytest.approx((np.mean(values), low, high))


def test_a_single_draw_has_no_interval() -> None:
    interval = mean_interval([0.25])
    assert (interval.mean, interval.low, interval.high) == (0.25, None, None)


@given(st.integers(1, 400), st.data())
def test_clopper_pearson_covers_what_its_tails_allow(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = clopper_pearson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    if k > 0:
        assert stats.binom.sf(k - 1, n, low) == pytest.approx(0.025, abs=1e-6)
    if k < n:
        assert stats.binom.cdf(k, n, high) == pytest.approx(0.025, abs=1e-6)


def test_hoeffding_is_the_textbook_bound() -> None:
    low, high = hoeffding(500, 10_000)
    half = math.sqrt(math.log(2 / 0.05) / (2 * 10_000))
    assert (low, high) == pytest.approx((0.05 - half, 0.05 + half))
    assert hoeffding(0, 10)[0] == 0.0
    assert hoeffding(10, 10)[1] == 1.0
