from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from pipeline.models.neighbours import nearest_neighbours
from pipeline.models.propagation import similarity_graph, soft_labels, spread
from tests.conftest import Run

SEEDS = st.integers(0, 2**32 - 1)


def two_clouds(seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """80 points in two clouds far apart, and which cloud each is of."""
    cloud = np.arange(80) % 2
    points = np.random.default_rng(seed).normal(size=(80, 3)) + 100 * cloud[:, None]
    return torch.tensor(points, dtype=torch.float32), cloud


@given(SEEDS, st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_neighbours_are_those_of_scikit_learn(seed: int, count: int) -> None:
    features = torch.randn(60, 4, generator=torch.Generator().manual_seed(seed))
    indices, distances = nearest_neighbours(features, count)
    expected, _ = NearestNeighbors(n_neighbors=count).fit(features.numpy()).kneighbors()
    np.testing.assert_allclose(distances, expected, rtol=1e-3, atol=1e-3)
    assert all(own not in row for own, row in enumerate(indices))


def test_blocks_do_not_change_the_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = two_clouds()
    whole = nearest_neighbours(features, 5)[0]
    monkeypatch.setattr("pipeline.models.neighbours.BLOCK", 7)
    np.testing.assert_array_equal(nearest_neighbours(features, 5)[0], whole)


def test_the_graph_is_symmetric_and_its_weights_are_shares() -> None:
    features, _ = two_clouds()
    graph = similarity_graph(*nearest_neighbours(features, 6))
    assert abs(graph - graph.T).max() < 1e-12
    assert graph.min() >= 0
    assert graph.max() <= 1
    assert graph.diagonal().sum() == 0


def test_equal_images_have_finite_weights() -> None:
    graph = similarity_graph(*nearest_neighbours(torch.zeros(10, 3), 4))
    assert np.isfinite(graph.data).all()


def test_one_label_a_cloud_is_enough() -> None:
    features, cloud = two_clouds()
    graph = similarity_graph(*nearest_neighbours(features, 8))
    index = np.array([0, 1])
    scores = spread(graph, index, cloud[index], 2, 0.99)
    assert (scores.argmax(1) == cloud).all()
    targets = soft_labels(scores, index, cloud[index])
    assert targets[0].tolist() == [1, 0]
    assert float(targets.min()) >= 0
    assert float(targets.sum(1).max()) <= 1 + 1e-6


@pytest.mark.parametrize("alpha", [0.1, 0.9, 0.99])
def test_spread_scores_solve_their_equation(alpha: float) -> None:
    features = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    graph = similarity_graph(*nearest_neighbours(features, 12))
    index, labels = np.array([3, 7, 20]), np.array([0, 1, 1])
    degree = graph.toarray().sum(1)
    sources = np.zeros((50, 2))
    sources[index, labels] = [1, 0.5, 0.5]  # each class puts in the same amount
    operator = np.eye(50) - alpha * graph.toarray() / np.sqrt(np.outer(degree, degree))
    expected = (1 - alpha) * np.linalg.solve(operator, sources)
    np.testing.assert_allclose(spread(graph, index, labels, 2, alpha), expected, atol=1e-5)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_naming_the_classes_otherwise_permutes_the_scores(seed: int) -> None:
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(seed))
    graph = similarity_graph(*nearest_neighbours(features, 6))
    index, labels = np.arange(6), np.array([0, 1, 2, 0, 1, 2])
    scores = spread(graph, index, labels, 3, 0.9)
    np.testing.assert_allclose(spread(graph, index, (labels + 1) % 3, 3, 0.9), np.roll(scores, 1, axis=1))


# --- as a mode ------------------------------------------------------------------------------------------------

GRID = ("--grid.modes=[frozen,propagate]", "--grid.labels=[50]", "--grid.draws=3", "--grid.baselines=false")
MORE = ("--pretrain.epochs=10", "--train.unlabelled_steps=200")


def test_spread_labels_err_less_than_a_frozen_head(runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("pretrain", *MORE) == 0
    assert tiny("compare", *GRID, *MORE) == 0
    assert "frozen - propagate" in capsys.readouterr().out
    with (runs / "tiny" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors = {
        mode: np.mean([float(row["e_out"]) for row in rows if row["mode"] == mode]) for mode in ("frozen", "propagate")
    }
    assert errors["propagate"] < errors["frozen"]
    cell = json.loads((runs / "tiny" / rows[1]["cell"] / "metrics.json").read_text())
    assert cell["encoder_sha256"]["before"] == cell["encoder_sha256"]["after"]
    assert len(list((runs / "tiny").glob("graph-*/"))) == 1


HALF_LABELLED = """
from pipeline.datasets import assembly
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.readers import digits

def load(root):
    train, test = assembly.hold_out_test(digits.load())
    labels = train.labels.clone()
    labels[len(labels) // 2 :] = -1
    return ImageData(train.images, labels, train.class_names), test
"""


def test_images_without_labels_take_part(
    tiny: Run, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_labelled.py").write_text(HALF_LABELLED)
    monkeypatch.syspath_prepend(str(tmp_path))
    for stage in ("data", "pretrain"):
        assert tiny(stage, "--data.dataset=half_labelled:load") == 0
    assert tiny("train", "--mode=propagate", "--labels=100", "--data.dataset=half_labelled:load") == 0
    (cell,) = (runs / "tiny" / "cells").glob("propagate-100-0-*/")
    assert json.loads((cell / "metrics.json").read_text())["e_out"]["error"] < 0.5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("--train.graph.neighbours=5000", "train.graph.neighbours: 5000 of 1437 images; lower it"),
        ("--train.graph.neighbours=0", "train.graph.neighbours: 0 is not allowed"),
        ("--train.graph.alpha=1", "train.graph.alpha: 1.0 is not allowed"),
    ],
)
def test_impossible_graphs_are_refused(
    setting: str, message: str, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("train", "--mode=propagate", "--labels=50", setting) == 2
    assert message in capsys.readouterr().err
