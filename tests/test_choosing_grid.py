"""grid.sampling chosen: the labels of a cell are those of the images that a strategy chooses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.choosing import Pool, choose
from pipeline.datasets.splits import Draw, fold_splits, label_split, union
from tests.conftest import Run

CHOSEN = ("--grid.sampling=chosen", "--grid.baselines=false")


def labelled(folder: Path) -> list[int]:
    """Numbers of the training images whose labels a cell has seen."""
    split = json.loads((folder / "split.json").read_text())
    return sorted([*split["train"]["index"], *split["val"]["index"]])


def test_every_mode_sees_the_images_that_the_strategy_chooses(
    tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = (*CHOSEN, "--grid.modes=[frozen,scratch]", "--grid.labels=[30]")
    assert tiny("compare", *grid) == 0, capsys.readouterr().err
    [encoder] = runs.glob("tiny/pretrain-*")
    embeddings = load_file(encoder / "embeddings.safetensors")["train"]
    for seed in (0, 1):
        pool = Pool(embeddings, np.array([], dtype=int), 30, np.random.default_rng(seed))
        expected = sorted(choose("typiclust", pool).index.tolist())
        for mode in ("frozen", "scratch"):
            [cell] = runs.glob(f"tiny/cells/{mode}-30-{seed}-*")
            assert labelled(cell) == expected
            assert json.loads((cell / "metrics.json").read_text())["sampling"] == "chosen"
    assert len(list(runs.glob("tiny/choices/30-*"))) == 2
    capsys.readouterr()
    [cell] = runs.glob("tiny/cells/scratch-30-0-*")
    assert tiny("reproduce", f"--cell={cell}") == 0, capsys.readouterr().err
    assert "the same to the bit" in capsys.readouterr().out


def test_another_strategy_makes_another_cell(tiny: Run, runs: Path) -> None:
    for strategy in ("kmeans", "random"):
        assert tiny("train", *CHOSEN, f"--grid.strategy={strategy}", "--labels=30") == 0
    first, second = map(labelled, runs.glob("tiny/cells/frozen-30-0-*"))
    assert first != second


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--grid.encoders=2",), "grid.encoders: 2 is not allowed; expected 1 where labels are chosen by the encoder"),
        (("--grid.strategy=best",), "'best' is unknown; expected one of typiclust"),
        (("--grid.strategy=margin",), "strategy: margin needs a classifier"),
        (("--grid.labels=[5000]",), "a budget of 5000 is above the 1437 labelled training images"),
        (("--grid.modes=[scratch]", "--pretrain.epochs=3"), "is missing; run"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    options: tuple[str, ...], message: str, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("compare", *CHOSEN, *options) != 0
    assert message in capsys.readouterr().err


def test_a_chosen_draw_may_miss_a_class_and_have_one_label_of_another() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    draw = Draw(5, 0, "chosen", (0, 3, 1, 4, 6))
    assert union([label_split(labels, 3, draw, 0.4)]).train.tolist() != []
    for splits in ([label_split(labels, 3, draw, 0.4)], fold_splits(labels, 3, draw, 2)):
        both = union(splits)
        assert sorted({*both.train.tolist(), *both.val.tolist()}) == [0, 1, 3, 4, 6]
