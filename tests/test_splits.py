from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.splits import label_split
from pipeline.errors import PipelineError


def labels_of(counts: list[int], unlabelled: int = 0, seed: int = 0) -> np.ndarray:
    labels = np.concatenate([np.repeat(np.arange(len(counts)), counts), np.full(unlabelled, -1)])
    return np.random.default_rng(seed).permutation(labels)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, int, float, int, int]:
    counts = draw(st.lists(st.integers(1, 30), min_size=2, max_size=7))
    labels = labels_of(counts, draw(st.integers(0, 20)), draw(st.integers(0, 5)))
    budget = draw(st.integers(len(counts), sum(counts)))
    return labels, budget, draw(st.sampled_from([0.1, 0.2, 0.25, 0.5])), draw(st.integers(0, 99)), len(counts)


@given(problems())
def test_a_split_spends_its_budget_on_labelled_images_and_trains_on_every_class(
    problem: tuple[np.ndarray, int, float, int, int],
) -> None:
    labels, budget, fraction, seed, classes = problem
    try:
        split = label_split(labels, budget, fraction, seed, classes)
    except PipelineError:  # the only reason that is left; its wording is tested below
        assert budget * fraction < classes
        return
    together = np.concatenate([split.train, split.val])
    assert len(together) == budget == len(set(together.tolist()))
    assert (labels[together] >= 0).all()
    assert set(labels[split.train].tolist()) == set(range(classes))
    # rounding costs at most one image a class
    assert abs(len(split.val) - fraction * budget) <= classes


@given(problems(), st.integers(0, 40))
def test_larger_budgets_contain_smaller_ones_in_both_parts(
    problem: tuple[np.ndarray, int, float, int, int], more: int
) -> None:
    labels, budget, fraction, seed, classes = problem
    larger = min(budget + more, int((labels >= 0).sum()))
    try:
        small = label_split(labels, budget, fraction, seed, classes)
    except PipelineError:
        return
    large = label_split(labels, larger, fraction, seed, classes)
    assert set(small.train.tolist()) <= set(large.train.tolist())
    assert set(small.val.tolist()) <= set(large.val.tolist())


@pytest.mark.parametrize("budget", [100, 600, 1000, 3000])
def test_the_usual_budgets_are_balanced_and_divided_80_to_20(budget: int) -> None:
    labels = labels_of([400] * 10)
    split = label_split(labels, budget, 0.2, seed=3, classes=10)
    assert np.bincount(labels[split.train]).tolist() == [budget * 8 // 100] * 10
    assert np.bincount(labels[split.val]).tolist() == [budget * 2 // 100] * 10


def test_draws_differ_and_repeat() -> None:
    labels = labels_of([50] * 4)
    first, again, other = (label_split(labels, 40, 0.2, seed, 4) for seed in (0, 0, 1))
    assert first.train.tolist() == again.train.tolist()
    assert first.train.tolist() != other.train.tolist()


@pytest.mark.parametrize(
    ("counts", "budget", "message"),
    [
        ([5, 5, 5], 2, "below the number of classes; take at least 3"),
        ([5, 5, 5], 16, "above the 15 labelled training images"),
        ([5, 0, 5], 6, "class 1 has no labelled training image"),
        ([5, 5, 5], 3, "leaves no example for validation; take at least 15"),
    ],
)
def test_an_impossible_budget_is_refused(counts: list[int], budget: int, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        label_split(labels_of(counts, unlabelled=9), budget, 0.2, 0, len(counts))
