"""The approximate search for neighbours: nearly the exact one's results, the same each time, chosen by a rule."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import extras
from pipeline.estimators import SemiSupervisedClassifier
from pipeline.models.neighbours import approximate_neighbours, nearest_neighbours
from tests.conftest import Run

TRAIN = ("train", "--mode=propagate", "--labels=50")


def clouds() -> np.ndarray:
    """4,000 points in 16 dimensions about 50 centres."""
    random = np.random.default_rng(0)
    points = 3 * random.normal(size=(50, 16))[random.integers(0, 50, 4000)] + random.normal(size=(4000, 16))
    return points.astype(np.float32)


def test_the_approximate_search_finds_nearly_all_neighbours() -> None:
    points = clouds()
    exact, exact_distances = nearest_neighbours(torch.from_numpy(points), 10)
    indices, distances, recall = approximate_neighbours(points, 10)
    shared = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(exact, indices, strict=True)])
    assert shared >= 0.98
    assert recall == pytest.approx(shared, abs=0.01)
    assert (np.diff(distances) >= 0).all()
    assert (indices != np.arange(len(points))[:, None]).all()
    same = (exact == indices).all(1)
    np.testing.assert_allclose(distances[same], exact_distances[same], atol=1e-2)


def test_the_approximate_search_gives_the_same_bits_again() -> None:
    points = clouds()
    first, again = approximate_neighbours(points, 5), approximate_neighbours(points, 5)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_images_that_are_all_the_same_have_neighbours_too() -> None:
    indices, distances, _ = approximate_neighbours(np.ones((300, 4), dtype=np.float32), 7)
    assert (indices != np.arange(300)[:, None]).all()
    assert ((indices >= 0) & (indices < 300)).all()
    assert (distances == 0).all()


def outcome(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "manifest.json").read_text())["outcome"]
    return found


def test_many_images_are_searched_approximately_and_the_output_says_so(
    tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny(*TRAIN) == 0
    assert "1,437 images, each with 10 neighbours by exact search" in capsys.readouterr().out
    monkeypatch.setattr("pipeline.learning.search.EXACT_UP_TO", 1000)
    assert tiny(*TRAIN) == 0
    assert "by approximate search" in capsys.readouterr().out
    folders = {outcome(folder)["search"]: folder for folder in (runs / "tiny").glob("graph-*/")}
    assert set(folders) == {"exact", "approximate"}
    assert float(str(outcome(folders["approximate"])["recall"])) >= 0.995


def test_which_search_was_used_belongs_to_what_graphs_and_cells_are_recognised_by(tiny: Run, runs: Path) -> None:
    for search in ("auto", "exact", "approximate"):
        assert tiny(*TRAIN, f"--train.graph.search={search}") == 0
    assert len(list((runs / "tiny").glob("graph-*/"))) == 2  # auto means exact here
    assert len(list((runs / "tiny").glob("cells/propagate-*/"))) == 2


def test_a_missing_package_is_told_before_anything_is_trained(
    tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    grid = ("--grid.modes=[propagate]", "--grid.labels=[50]", "--train.graph.search=approximate", "--pretrain.seed=9")
    assert tiny("pretrain", *grid) == 2
    said = capsys.readouterr().err
    assert "the approximate search needs faiss" in said
    assert "[large]" in said
    assert "or take exact" in said
    assert tiny(*TRAIN, "--train.graph.search=approximate") == 2
    monkeypatch.setattr("pipeline.learning.search.EXACT_UP_TO", 10)
    with pytest.raises(ValueError, match="needs faiss"):
        SemiSupervisedClassifier("propagate", latent=4, epochs=1).fit(np.zeros((50, 64)), np.arange(50) % 2)
