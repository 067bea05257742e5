"""Uneven classes through the command line: what is measured, what is printed, and what class weights and priors do."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from pipeline.cli import main
from pipeline.config import DataConfig
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.loading import load
from pipeline.models.propagation import estimate_prior, spread
from tests.conftest import TINY, Run


def uneven_digits(root: Path) -> tuple[ImageData, ImageData]:
    """Zeros and ones, of which there are nine times as many zeros."""
    digits = load(DataConfig("digits"))
    return tuple(_thinned(part) for part in (digits.train, digits.test))  # type: ignore[return-value]


def _thinned(part: ImageData) -> ImageData:
    labels = part.labels.numpy()
    ones = np.flatnonzero(labels == 1)
    index = np.sort(np.concatenate([np.flatnonzero(labels == 0), ones[: len(ones) // 9]]))
    return ImageData(part.images[index], part.labels[index], ("zero", "one"))


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of an experiment on uneven digits, pretrained."""
    runs = tmp_path_factory.mktemp("uneven")
    settings = [*TINY, f"--runs={runs}", "--data.dataset=tests.test_uneven:uneven_digits", "--pretrain.holdout=20"]
    settings += ["--grid.labels=[40]", "--grid.sampling=random", "--grid.modes=[frozen,scratch]"]
    for stage in ("data", "pretrain"):
        assert main([stage, *settings]) == 0
    return settings


def test_every_class_is_measured_and_the_table_counts_uneven_ones_alike(
    uneven: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *uneven]) == 0
    table = capsys.readouterr().out
    assert "balanced E_out" in table
    assert "times as many test" in table
    assert max(map(len, table.splitlines()[:-1])) <= 100
    folder = Path(uneven[len(TINY)].removeprefix("--runs=")) / "tiny"
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        with np.load(folder / row["cell"] / "predictions.npz") as stored:
            truth, found = stored["test_label"], stored["test_pred"]
        measured = json.loads((folder / row["cell"] / "metrics.json").read_text())["classes"]
        assert float(row["balanced_error"]) == pytest.approx(1 - balanced_accuracy_score(truth, found))
        assert float(row["macro_f1"]) == pytest.approx(f1_score(truth, found, average="macro", zero_division=0))
        assert measured["recall"] == pytest.approx(recall_score(truth, found, average=None))
        assert measured["precision"] == pytest.approx(precision_score(truth, found, average=None, zero_division=0))
    comparison = json.loads((folder / "comparison.json").read_text())
    for summary in comparison["summary"]:
        mine = [float(row["balanced_error"]) for row in rows if row["mode"] == summary["mode"]]
        assert summary["balanced"]["mean"] == pytest.approx(np.mean(mine))


def test_the_table_of_even_classes_is_as_it_was(tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("compare", "--grid.labels=[50]", "--grid.baselines=false", "--grid.modes=[frozen]") == 0
    assert "one cell's E_out, 95 %" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["frozen", "finetune", "scratch", "propagate", "self_train"])
def test_every_mode_obeys_the_class_weights(mode: str, uneven: list[str]) -> None:
    folder = Path(uneven[len(TINY)].removeprefix("--runs=")) / "tiny"
    losses = []
    for weights in ("none", "balanced"):
        before = set(folder.glob(f"cells/{mode}-40-5-*"))
        command = ["train", *uneven, f"--mode={mode}", "--labels=40", "--seed=5", f"--train.class_weights={weights}"]
        assert main(command) == 0
        [made] = set(folder.glob(f"cells/{mode}-40-5-*")) - before
        losses.append(np.genfromtxt(made / "history.csv", delimiter=",", names=True)["train_loss"])
    assert np.abs(np.ravel(losses[0])[0] - np.ravel(losses[1])[0]) > 1e-4


# --- the prior of spreading -----------------------------------------------------------------------------------


def chain(groups: list[int]) -> sparse.csr_matrix:
    """A graph of rings, one for each group of so many examples, which hang together by one weak edge."""
    total, edges = sum(groups), np.zeros((sum(groups), sum(groups)))
    start = 0
    for size in groups:
        for place in range(size):
            other = start + (place + 1) % size
            edges[start + place, other] = edges[other, start + place] = 1
        start += size
    edges[groups[0] - 1, groups[0]] = edges[groups[0], groups[0] - 1] = 0.001
    assert start == total
    return sparse.csr_matrix(edges)


@pytest.mark.parametrize(("prior", "shares"), [("uniform", [0.5, 0.5]), ("labels", [0.75, 0.25])])
def test_each_class_puts_in_what_the_prior_gives_it(prior: str, shares: list[float]) -> None:
    index, labels = np.array([0, 1, 2, 45]), np.array([0, 0, 0, 1])
    scores = spread(chain([40, 10]), index, labels, 2, 0.9, prior)  # type: ignore[arg-type]
    plain = spread(chain([40, 10]), index, labels, 2, 0.9)
    np.testing.assert_allclose(scores, plain * np.array(shares) * 2)


def test_the_estimated_prior_is_that_of_the_examples_not_of_the_labels() -> None:
    index, labels = np.array([0, 45]), np.array([0, 1])
    estimated: npt.NDArray[np.floating] = estimate_prior(spread(chain([40, 10]), index, labels, 2, 0.99))
    np.testing.assert_allclose(estimated, [0.8, 0.2], atol=0.05)


def test_a_class_without_a_label_spreads_nothing() -> None:
    scores = spread(chain([40, 10]), np.array([0]), np.array([0]), 2, 0.9, "estimated")
    assert (scores[:, 1] == 0).all()
    assert (scores[:, 0] > 0).any()
