"""Ways of choosing which images to label, on real images: scikit-learn's digits, as rows of pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from pipeline.choosing import BUILT_IN, Choice, Floats, Indices, Pool, choose, find_strategy
from pipeline.errors import PipelineError

PIXELS, CLASSES = load_digits(return_X_y=True)
PIXELS = PIXELS.astype(np.float32)
FIRST = [name for name in BUILT_IN if not find_strategy(name).needs_probabilities]

OWN = """
import numpy as np
from pipeline.choosing import Choice, Strategy

def first(pool):
    left = np.setdiff1d(np.arange(len(pool.embeddings)), pool.labelled)
    return Choice(left[: pool.count], np.zeros(pool.count, dtype=int), ("the first",) * pool.count)

FIRST = Strategy("the first images", first)
TWICE = Strategy("the same image again and again", lambda pool: Choice(
    np.zeros(pool.count, dtype=int), np.zeros(pool.count, dtype=int), ("",) * pool.count))
NOTHING = Strategy("nothing", lambda pool: Choice(np.array([], dtype=int), np.array([], dtype=int), ()))
VOID = Strategy("nothing at all", lambda pool: None)
LISTS = Strategy("lists", lambda pool: Choice(list(range(pool.count)), [0] * pool.count, ["x"] * pool.count))
BROKEN = Strategy("no clusters", lambda pool: Choice(
    np.arange(pool.count), np.full(pool.count, np.nan), ("x",) * pool.count))
MUTE = Strategy("no reasons", lambda pool: Choice(np.arange(pool.count), np.arange(pool.count), (None,) * pool.count))
NAMELESS = "no strategy"
"""


def pool(count: int, labelled: Sequence[int] = (), probabilities: Floats | None = None, seed: int = 0) -> Pool:
    return Pool(PIXELS, np.array(labelled, dtype=np.int64), count, np.random.default_rng(seed), probabilities)


def probabilities(index: Indices) -> Floats:
    """What a classifier that learnt the images at these indices makes of all images."""
    model = LogisticRegression(max_iter=1000).fit(PIXELS[index] / 16, CLASSES[index])
    return np.asarray(model.predict_proba(PIXELS / 16))


def classes(choice: Choice, count: int | None = None) -> int:
    """The number of classes among the first images of a choice."""
    return len(set(CLASSES[choice.index[:count]].tolist()))


def distance_to(index: Indices) -> float:
    """The mean distance from an image to the nearest of those at these indices."""
    return float(np.linalg.norm(PIXELS[:, None] - PIXELS[index], axis=2).min(1).mean())


@pytest.mark.parametrize("name", FIRST)
def test_a_strategy_chooses_as_many_images_as_it_is_asked_for_each_once_and_none_with_a_label(name: str) -> None:
    labelled = list(range(0, 200, 7))
    choice = choose(name, pool(30, labelled))
    assert len(set(choice.index.tolist())) == len(choice.cluster) == len(choice.reasons) == 30
    assert not set(choice.index.tolist()) & set(labelled)
    assert all(choice.reasons)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_same_seed_chooses_the_same_images_and_another_seed_others(name: str) -> None:
    known = np.arange(50)
    given = probabilities(known)
    first, again, other = (choose(name, pool(12, known.tolist(), given, seed)).index for seed in (0, 0, 1))
    assert (first == again).all()
    if name not in ("margin", "coreset"):  # in which nothing is random once there are labels
        assert set(first.tolist()) != set(other.tolist())


@pytest.mark.parametrize("name", ["kmeans", "typiclust"])
def test_few_labels_cover_every_class_where_a_random_draw_misses_some(name: str) -> None:
    seeds = range(3)
    assert [classes(choose(name, pool(20, seed=seed))) for seed in seeds] == [10, 10, 10]
    assert np.mean([classes(choose("random", pool(20, seed=seed))) for seed in seeds]) < 10


@pytest.mark.parametrize("name", ["kmeans", "typiclust"])
def test_the_first_half_of_a_choice_covers_the_images_better_than_as_many_random_ones(name: str) -> None:
    chosen = [distance_to(choose(name, pool(20, seed=seed)).index[:10]) for seed in range(3)]
    drawn = [distance_to(choose("random", pool(10, seed=seed)).index) for seed in range(3)]
    assert max(chosen) < min(drawn)


def test_a_coreset_leaves_no_image_far_from_a_chosen_one() -> None:
    farthest = [
        np.linalg.norm(PIXELS[:, None] - PIXELS[choose(name, pool(40)).index], axis=2).min(1).max()
        for name in ("coreset", "random")
    ]
    assert farthest[0] < farthest[1]


def test_a_second_round_covers_what_the_first_left_out() -> None:
    for seed in range(3):
        first = choose("kmeans", pool(10, seed=seed)).index
        second, drawn = (choose(name, pool(10, first.tolist(), seed=seed)).index for name in ("kmeans", "random"))
        assert distance_to(np.append(first, second)) < distance_to(np.append(first, drawn)) < distance_to(first)


def test_where_there_is_a_classifier_clusters_lie_where_it_is_unsure() -> None:
    known = choose("kmeans", pool(20)).index
    given = probabilities(known)
    margin = np.diff(np.sort(given, axis=1)[:, -2:], axis=1)[:, 0]
    weighed = choose("kmeans", pool(20, known.tolist(), given)).index
    unweighed = choose("kmeans", pool(20, known.tolist())).index
    assert margin[weighed].mean() < margin[unweighed].mean()
    least = choose("margin", pool(20, known.tolist(), given))
    assert margin[least.index].max() <= np.sort(np.delete(margin, known))[19]
    assert "points apart" in least.reasons[0]


def test_the_first_images_cannot_be_chosen_by_what_a_classifier_is_unsure_of() -> None:
    with pytest.raises(PipelineError, match=r"margin needs a classifier.*such as typiclust"):
        choose("margin", pool(5))


@pytest.mark.parametrize(("count", "labelled"), [(0, 0), (1798, 0), (1000, 1000)])
def test_more_images_than_there_are_without_a_label_are_refused(count: int, labelled: int) -> None:
    with pytest.raises(PipelineError, match=f"labels: {count} is not allowed; expected 1 to {1797 - labelled}"):
        choose("kmeans", pool(count, range(labelled)))


@pytest.mark.parametrize("name", FIRST)
def test_equal_images_are_chosen_without_a_warning(name: str) -> None:
    same = Pool(np.ones((9, 4), dtype=np.float32), np.array([2]), 8, np.random.default_rng(0))
    assert sorted(choose(name, same).index.tolist()) == [0, 1, 3, 4, 5, 6, 7, 8]


def test_a_strategy_of_ones_own_is_named_by_its_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_strategies.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    assert choose("own_strategies:FIRST", pool(3, [1])).index.tolist() == [0, 2, 3]
    assert choose("own_strategies:LISTS", pool(3)).cluster.tolist() == [0, 0, 0]
    for name, message in {
        "own_strategies:VOID": "it returned a NoneType; expected a pipeline.choosing.Choice",
        "own_strategies:BROKEN": "it returned clusters that are no whole numbers",
        "own_strategies:MUTE": "it returned reasons that are no tuple of texts",
        "own_strategies:TWICE": "it chose an image twice",
        "own_strategies:NOTHING": r"it returned \[0\] indices, clusters and reasons for 3 images",
        "own_strategies:NAMELESS": "is a str; expected a pipeline.choosing.Strategy",
        "own_strategies:MISSING": "cannot be imported",
        "k-means": "'k-means' is unknown; expected one of typiclust, kmeans",
    }.items():
        with pytest.raises(PipelineError, match=message):
            choose(name, pool(3))


def test_the_strategy_on_the_page_about_choosing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parent.parent / "docs" / "choosing.md"
    [code] = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    (tmp_path / "my_strategies.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    from_mean = np.linalg.norm(PIXELS - PIXELS.mean(0), axis=1)
    assert set(choose("my_strategies:STRATEGY", pool(3)).index.tolist()) == set(np.argsort(-from_mean)[:3].tolist())
