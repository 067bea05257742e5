from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.splits import fold_splits, label_split, union
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


@given(problems(), st.integers(2, 6), st.integers(0, 40))
def test_folds_validate_each_label_once_and_stay_as_they_are_at_larger_budgets(
    problem: tuple[np.ndarray, int, float, int, int], count: int, more: int
) -> None:
    labels, budget, _, seed, classes = problem
    try:
        folds = fold_splits(labels, budget, count, seed, classes)
    except PipelineError:  # the only reason that is left; its wording is tested below
        assert budget < 2 * classes or np.bincount(labels[labels >= 0]).min() == 1
        return
    assert 2 <= len(folds) <= count
    together = union(folds)
    assert len(together.train) == budget
    assert (labels[together.train] >= 0).all()
    np.testing.assert_array_equal(together.val, np.sort(np.concatenate([fold.val for fold in folds])))
    for fold in folds:
        assert not set(fold.train) & set(fold.val)
        np.testing.assert_array_equal(np.union1d(fold.train, fold.val), together.train)
        assert set(labels[fold.train].tolist()) == set(range(classes))
    larger = fold_splits(labels, min(budget + more, int((labels >= 0).sum())), count, seed, classes)
    assert all(any(set(fold.val) <= set(other.val) for other in larger) for fold in folds)


def test_folds_share_the_draw_of_the_hold_out_and_are_of_one_size() -> None:
    labels = labels_of([400] * 10)
    folds, held_out = fold_splits(labels, 600, 5, 3, 10), label_split(labels, 600, 0.2, 3, 10)
    assert [len(fold.val) for fold in folds] == [120] * 5
    np.testing.assert_array_equal(union(folds).train, np.union1d(held_out.train, held_out.val))


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


def test_a_class_with_a_single_label_cannot_be_cross_validated() -> None:
    with pytest.raises(PipelineError, match=r"class . gets a single label.* take at least 6"):
        fold_splits(labels_of([5, 5, 5]), 5, 5, 0, 3)
