"""What bought what: images without labels and the invariances are told apart, by arms that lack one of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.bought import PLAIN, purchases
from tests.conftest import Run


def wrong(share: float) -> np.ndarray:
    """A table of 6 draws, 1 encoder and 1000 images, of which the first ones are wrong."""
    return np.broadcast_to(np.arange(1000) < 1000 * share, (6, 1, 1000))


def test_gains_are_differences_between_arms_that_differ_in_one_thing() -> None:
    tables = {f"scratch{PLAIN}": wrong(0.4), f"finetune{PLAIN}": wrong(0.3), "scratch": wrong(0.12)}
    tables |= {"finetune": wrong(0.1), "self_train": wrong(0.04)}
    gains = {each.what: each.gain.mean for each in purchases(tables, ["self_train"])}
    assert list(gains.values()) == pytest.approx([0.02, 0.1, 0.28, 0.2, 0.3, 0.06])
    assert list(gains)[-1] == "unlabelled images, by self_train"


def test_only_what_the_arms_allow_is_asked() -> None:
    assert purchases({"frozen": wrong(0.1), "scratch": wrong(0.2)}, []) == []
    [alone] = purchases({"finetune": wrong(0.1), "scratch": wrong(0.2)}, [])
    assert (alone.without, alone.having) == ("scratch", "finetune")


ABLATION = ("--grid.ablation=true", "--grid.labels=[50,60]", "--grid.modes=[finetune,scratch,propagate]")
QUICK = ("--grid.baselines=false", "--pretrain.epochs=1", "--train.length=2", "--train.unlabelled_steps=10")


def test_the_report_shows_two_starts_with_and_without_the_invariances(
    tiny: Run, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in ("pretrain", "compare", "report"):
        assert tiny(stage, *ABLATION, *QUICK) == 0
    said = capsys.readouterr().out
    assert "what bought how many points of E_out with 50 labels" in said
    assert "invariances, from scratch  " in said
    folder = runs / "tiny"
    compared = json.loads((folder / "comparison.json").read_text())
    budget, larger = compared["bought"]
    assert (budget["labels"], larger["labels"], larger["plain"]) == (50, 60, {})  # the smallest budget is enough
    with (folder / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["mode"], row["seed"]) for row in rows] == [(m, s) for m in ("finetune", "scratch") for s in "01"]
    for mode, interval in budget["plain"].items():
        errors = [float(row["e_out"]) for row in rows if row["mode"] == mode]
        assert interval["mean"] == pytest.approx(sum(errors) / 2)
    known = {row["mode"]: row["e_out"]["mean"] for row in compared["summary"] if row["labels"] == 50}
    gains = {row["what"]: row["gain"]["mean"] for row in budget["gains"]}
    assert gains["invariances, from scratch"] == pytest.approx(budget["plain"]["scratch"]["mean"] - known["scratch"])
    assert gains["unlabelled images, by pretraining"] == pytest.approx(known["scratch"] - known["finetune"])
    assert "unlabelled images, by propagate" in gains
    for row in rows:
        manifest = json.loads((folder / row["cell"] / "manifest.json").read_text())
        assert manifest["inputs"].get("invariances", {}) == {}
    page = (folder / "report.html").read_text()
    assert "What bought what" in page
    assert "No invariances known" in page
    assert "was measured under up to" not in page  # an ablation is no choice among settings


def test_without_an_ablation_the_report_says_what_it_cannot_tell(tiny: Run, runs: Path) -> None:
    options = ("--grid.labels=[50]", "--grid.modes=[finetune,scratch]", *QUICK)
    for stage in ("pretrain", "compare", "report"):
        assert tiny(stage, *options) == 0
    page = (runs / "tiny" / "report.md").read_text()
    assert (
        "what these bought cannot be told from it; grid.ablation trains two modes without them, at the smallest budget"
        in page
    )
    assert not (runs / "tiny" / "ablation.csv").exists()


@pytest.mark.parametrize(
    "extra", ["--invariances.preset=none", "--grid.modes=[frozen,propagate]", "--grid.sampling=chosen"]
)
def test_where_there_is_nothing_to_leave_out_no_ablation_is_trained(extra: str, tiny: Run, runs: Path) -> None:
    options = (*ABLATION, *QUICK, "--grid.labels=[50]", extra)
    assert tiny("pretrain", *options) == 0
    assert tiny("compare", *options) == 0
    assert len(list(runs.glob("tiny/pretrain-*/"))) == 2  # one is the fixture's
    assert not (runs / "tiny" / "ablation.csv").exists()


def test_a_grid_without_finetune_ablates_scratch_alone_and_pretrains_no_other_encoder(tiny: Run, runs: Path) -> None:
    options = (*ABLATION, *QUICK, "--grid.labels=[50]", "--grid.modes=[frozen,scratch]")
    assert tiny("pretrain", *options) == 0
    assert tiny("compare", *options) == 0
    with (runs / "tiny" / "ablation.csv").open() as file:
        assert {row["mode"] for row in csv.DictReader(file)} == {"scratch"}
    assert len(list(runs.glob("tiny/pretrain-*/"))) == 2  # one is the fixture's
