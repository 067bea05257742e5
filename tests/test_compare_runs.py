"""Stage compare-runs through the command line: what is paired, what is not, and what is said to differ."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.config import DataConfig
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.loading import load
from pipeline.evaluation.statistics import paired_difference
from tests.conftest import tiny_arguments

pytestmark = pytest.mark.compared

SMALL = ("--grid.baselines=false", "--grid.labels=[50]", "--grid.modes=[frozen,scratch]")

Compare = Callable[..., tuple[str, dict[str, Any]]]


def inverted_digits(root: Path) -> tuple[ImageData, ImageData]:
    digits = load(DataConfig("digits"))
    return tuple(ImageData(255 - part.images, part.labels, part.class_names) for part in (digits.train, digits.test))  # type: ignore[return-value]


@pytest.fixture
def beside(runs: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    """Make an experiment with other settings and compare it with the tiny one; what is printed, and compared.json."""

    def run(*settings: str) -> tuple[str, dict[str, Any]]:
        for stage in ("data", "pretrain", "compare"):
            assert main(tiny_arguments(runs, stage, (*SMALL, "--name=other", *settings))) == 0
        capsys.readouterr()
        assert main(["compare-runs", str(runs / "tiny"), str(runs / "other")]) == 0
        table = capsys.readouterr().out
        [artefact] = (runs / "compared").glob("runs-*/")
        compared: dict[str, Any] = json.loads((artefact / "compared.json").read_text())
        assert max(map(len, table.splitlines()[:-1])) <= 100
        return table, compared

    return run


def errors(folder: Path, mode: str, labels: int, quantity: str) -> list[float]:
    with (folder / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["mode"], row["labels"]) == (mode, str(labels))]
    return [float(row[quantity]) for row in sorted(rows, key=lambda row: int(row["seed"]))]


def test_experiments_that_differ_in_pretraining_are_paired(runs: Path, beside: Compare) -> None:
    table, compared = beside("--pretrain.corruption=0")
    differing = {row["setting"]: row["values"] for row in compared["differences"] if row["kind"] == "treatment"}
    assert differing.keys() == {"pretrain.corruption", "invariances"}
    assert differing["pretrain.corruption"] == {"A": 1, "B": 0}
    assert (differing["invariances"]["A"]["rotation"], differing["invariances"]["B"]) == (20, {})
    assert not [row for row in compared["differences"] if row["kind"] == "protocol"]
    assert [(row["mode"], row["labels"], row["quantity"]) for row in compared["paired"]] == [
        ("frozen", 50, "e_in"),
        ("frozen", 50, "e_out"),
    ]  # scratch is the same in both: nothing to compare
    for row in compared["paired"]:
        first, second = (errors(runs / name, "frozen", 50, row["quantity"]) for name in ("tiny", "other"))
        expected = paired_difference(first, second)
        assert row["difference"]["mean"] == pytest.approx(expected.difference.mean)
        assert (row["p_value"], row["draws"], row["exact"]) == (expected.p_value, 2, True)
    assert table.index("pretrain.corruption") < table.index("error in %") < table.index("paired differences")
    [artefact] = (runs / "compared").glob("runs-*/")
    with (artefact / "compared.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["A"] * 6 + ["B"] * 2
    frozen = next(row for row in rows if (row["run"], row["mode"]) == ("B", "frozen"))
    assert float(frozen["e_out_mean"]) == pytest.approx(sum(errors(runs / "other", "frozen", 50, "e_out")) / 2)


def test_a_mode_with_other_settings_is_named_and_not_paired(beside: Compare) -> None:
    table, compared = beside("--train.modes.frozen.head_lr=0.01")
    values = {"A": 0.003, "B": 0.01}
    difference = {"run": "B", "kind": "protocol", "setting": "frozen: fit.head_lr", "values": values}
    assert difference in compared["differences"]
    assert compared["paired"] == []
    assert "not paired    frozen: fit.head_lr: 0.003 in A, 0.01 in B" in table
    assert "none: no two other cells agree in data, draws and protocol" in table


def test_another_split_of_the_budget_is_named_and_not_paired(beside: Compare) -> None:
    _, compared = beside("--train.val_fraction=0.4")
    settings = {row["setting"] for row in compared["differences"] if row["kind"] == "protocol"}
    assert {"frozen: train.val_fraction", "scratch: train.val_fraction"} <= settings
    assert compared["paired"] == []


def test_other_data_is_named_and_nothing_is_paired(beside: Compare) -> None:
    _, compared = beside("--data.dataset=tests.test_compare_runs:inverted_digits", "--pretrain.corruption=0")
    [data] = [row for row in compared["differences"] if row["kind"] != "grid"]
    assert data["setting"] == "data"
    assert data["values"]["A"] != data["values"]["B"]
    assert compared["paired"] == []
    assert len(compared["summary"]) == 8


def test_draws_that_only_one_has_are_left_out_of_the_pairs(beside: Compare) -> None:
    _, compared = beside("--pretrain.corruption=0", "--grid.draws=3")
    assert {row["draws"] for row in compared["paired"]} == {2}
    assert {
        "run": "B",
        "kind": "grid",
        "setting": "draws of frozen at 50 labels",
        "values": {"A": [0, 1], "B": [0, 1, 2]},
    } in compared["differences"]


def test_an_experiment_beside_itself_under_another_name_differs_in_nothing(beside: Compare) -> None:
    _, compared = beside("--grid.labels=[50,100]", "--grid.modes=[frozen,finetune,scratch]")
    assert compared["differences"] == []
    assert compared["paired"] == []


def test_what_cannot_be_compared_is_refused(
    runs: Path, pretrained_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = runs / "tiny"
    for folders, message in (
        ([tiny], "expected 2 to 26 different folders"),
        ([tiny, tiny], "expected 2 to 26 different folders"),
        ([tiny, runs / "nowhere"], "comparison.json does not exist; run `python -m pipeline compare` for it first"),
        (
            [tiny, pretrained_runs / "tiny"],
            "comparison.json does not exist; run `python -m pipeline compare` for it first",
        ),
    ):
        assert main(["compare-runs", *map(str, folders)]) == 2
        assert message in capsys.readouterr().err
    other = Path(shutil.copytree(tiny, runs / "other"))
    cell = next((other / "cells").glob("*/predictions.npz"))
    whole = cell.read_bytes()
    cell.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert main(["compare-runs", str(tiny), str(other)]) == 2
    assert "predictions.npz is not the file that was written" in capsys.readouterr().err
    (other / "results.csv").write_text((other / "results.csv").read_text().replace("50", "51", 1))
    assert main(["compare-runs", str(tiny), str(other)]) == 2
    assert "is not the file that" in capsys.readouterr().err
    assert not (runs / "compared").exists()
