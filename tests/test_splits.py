from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.splits import Draw, Sampling, fold_splits, label_split, union
from pipeline.errors import PipelineError


def labels_of(counts: list[int], unlabelled: int = 0, seed: int = 0) -> np.ndarray:
    labels = np.concatenate([np.repeat(np.arange(len(counts)), counts), np.full(unlabelled, -1)])
    return np.random.default_rng(seed).permutation(labels)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, int, Draw, float]:
    counts = draw(st.lists(st.integers(1, 30), min_size=2, max_size=7))
    labels = labels_of(counts, draw(st.integers(0, 20)), draw(st.integers(0, 5)))
    sampling: Sampling = draw(st.sampled_from(("stratified", "random")))
    least = len(counts) if sampling == "stratified" else 1
    chosen = Draw(draw(st.integers(least, sum(counts))), draw(st.integers(0, 99)), sampling)
    return labels, len(counts), chosen, draw(st.sampled_from([0.1, 0.2, 0.25, 0.5]))


@given(problems())
def test_a_split_spends_its_budget_on_labelled_images_and_trains_on_every_class(
    problem: tuple[np.ndarray, int, Draw, float],
) -> None:
    labels, classes, draw, fraction = problem
    try:
        split = label_split(labels, classes, draw, fraction)
    except PipelineError:  # the only reason that is left; its wording is tested below
        assert draw.budget * fraction < classes
        return
    together = np.concatenate([split.train, split.val])
    assert len(together) == draw.budget == len(set(together.tolist()))
    assert (labels[together] >= 0).all()
    drawn = set(labels[together].tolist())
    assert set(labels[split.train].tolist()) == drawn
    assert draw.sampling == "random" or drawn == set(range(classes))
    # rounding costs at most one image a class
    assert abs(len(split.val) - fraction * draw.budget) <= classes


@given(problems(), st.integers(0, 40))
def test_larger_budgets_contain_smaller_ones_in_both_parts(
    problem: tuple[np.ndarray, int, Draw, float], more: int
) -> None:
    labels, classes, draw, fraction = problem
    larger = min(draw.budget + more, int((labels >= 0).sum()))
    try:
        small = label_split(labels, classes, draw, fraction)
    except PipelineError:
        return
    large = label_split(labels, classes, replace(draw, budget=larger), fraction)
    assert set(small.train.tolist()) <= set(large.train.tolist())
    assert set(small.val.tolist()) <= set(large.val.tolist())


@given(problems(), st.integers(2, 6), st.integers(0, 40))
def test_folds_validate_each_label_once_and_stay_as_they_are_at_larger_budgets(
    problem: tuple[np.ndarray, int, Draw, float], count: int, more: int
) -> None:
    labels, classes, draw, _ = problem
    try:
        folds = fold_splits(labels, classes, draw, count)
    except PipelineError:  # the only reason that is left; its wording is tested below
        counts = np.bincount(labels[labels >= 0])
        assert draw.sampling == "random" or draw.budget < 2 * classes or counts.min() == 1
        return
    assert 2 <= len(folds) <= count
    together = union(folds)
    assert len(together.train) == draw.budget
    assert (labels[together.train] >= 0).all()
    np.testing.assert_array_equal(together.val, np.sort(np.concatenate([fold.val for fold in folds])))
    for fold in folds:
        assert not set(fold.train) & set(fold.val)
        np.testing.assert_array_equal(np.union1d(fold.train, fold.val), together.train)
        assert draw.sampling == "random" or set(labels[fold.train].tolist()) == set(range(classes))
    larger = fold_splits(
        labels, classes, replace(draw, budget=min(draw.budget + more, int((labels >= 0).sum()))), count
    )
    assert all(any(set(fold.val) <= set(other.val) for other in larger) for fold in folds)


def test_folds_share_the_draw_of_the_hold_out_and_are_of_one_size() -> None:
    labels = labels_of([400] * 10)
    folds, held_out = fold_splits(labels, 10, Draw(600, 3), 5), label_split(labels, 10, Draw(600, 3), 0.2)
    assert [len(fold.val) for fold in folds] == [120] * 5
    np.testing.assert_array_equal(union(folds).train, np.union1d(held_out.train, held_out.val))


@pytest.mark.parametrize("budget", [100, 600, 1000, 3000])
def test_the_usual_budgets_are_balanced_and_divided_80_to_20(budget: int) -> None:
    labels = labels_of([400] * 10)
    split = label_split(labels, 10, Draw(budget, 3), 0.2)
    assert np.bincount(labels[split.train]).tolist() == [budget * 8 // 100] * 10
    assert np.bincount(labels[split.val]).tolist() == [budget * 2 // 100] * 10


def test_draws_differ_and_repeat() -> None:
    labels = labels_of([50] * 4)
    first, again, other = (label_split(labels, 4, Draw(40, seed), 0.2) for seed in (0, 0, 1))
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
        label_split(labels_of(counts, unlabelled=9), len(counts), Draw(budget, 0), 0.2)


def test_a_class_with_a_single_label_cannot_be_cross_validated() -> None:
    with pytest.raises(PipelineError, match=r"class . gets a single label.* take at least 6"):
        fold_splits(labels_of([5, 5, 5]), 3, Draw(5, 0), 5)
    assert fold_splits(labels_of([5, 5, 5]), 3, Draw(6, 0), 5)


def test_a_random_draw_takes_the_classes_as_they_come() -> None:
    """As often as they are there: a rare class may be missed, and budgets are nested all the same."""
    labels = labels_of([500, 400, 20])
    splits = [label_split(labels, 3, Draw(46, seed, "random"), 0.2) for seed in range(300)]
    counts = np.array([np.bincount(labels[np.union1d(split.train, split.val)], minlength=3) for split in splits])
    assert counts.mean(0) == pytest.approx(np.array([25, 20, 1]), rel=0.15)
    assert (counts[:, 2] == 0).any()
