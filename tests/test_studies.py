from __future__ import annotations

import csv
import itertools
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cell_tables import read_cells, table
from pipeline.cli import main
from pipeline.config import from_parsed
from pipeline.evaluation.clustering import cluster, clustering_accuracy
from pipeline.evaluation.crossed import Interval
from pipeline.evaluation.posteriors import overlap
from pipeline.evaluation.samples import frechet_distance
from pipeline.parsers import stage_parser
from pipeline.studies import STUDIES, find_study
from pipeline.studies.cost import answer, labels_until
from pipeline.studies.definition import above, below, show
from pipeline.studies.overfit import kept_measurement
from pipeline.studies.points import arm_settings
from tests.conftest import Run

CONFIGS = Path(__file__).parent.parent / "configs" / "studies"

# the shipped configs on scikit-learn's digits, with hardly any training: they have to run, not to convince
QUICK = (
    "--data.dataset=digits",
    "--grid.draws=2",
    "--grid.jobs=1",
    "--pretrain.epochs=1",
    "--pretrain.holdout=200",
    "--pretrain.encoder.widths=[16]",
    "--pretrain.decoder.widths=[16]",
    "--train.l2=[10,100]",
    "--train.length=3",
    "--train.unlabelled_steps=20",
    "--train.evaluations=4",
)


# a corner of the shipped map
CORNER = {
    f"depth{depth}-latent{latent}": {
        "pretrain": {"latent": latent, "encoder": {"widths": [16] * depth}, "decoder": {"widths": [16] * depth}}
    }
    for depth in (1, 2)
    for latent in (2, 8)
}


# two of the shipped methods, for two modes and the one that needs none
FEW = {arm: find_study("methods").arms[arm] for arm in ("autoencoder", "random")}


def arguments(name: str, runs: Path) -> list[str]:
    labels = "[500]" if name == "generation" else "[50,100]"
    arms = [f"--study.arms={json.dumps(CORNER)}"] if name == "bottleneck" else []
    if name == "methods":
        arms = ["--name=studies", f"--study.arms={json.dumps(FEW)}", "--grid.modes=[frozen,propagate,scratch]"]
    if name == "choose":
        labels, arms = "[10,50]", ["--grid.modes=[frozen]"]
    if name == "identity":
        arms = ["--pretrain.latent=80"]  # digits have 64 pixels
    return [f"--config={CONFIGS / name}.yaml", *QUICK, f"--runs={runs}", f"--grid.labels={labels}", *arms]


def run_study(name: str, runs: Path, *extra: str) -> int:
    try:
        return main(["study", *arguments(name, runs), *extra])
    except SystemExit as error:  # what the argument parser refuses
        return int(error.code or 0)


@pytest.fixture(scope="module")
def data_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with the images that all studies share."""
    runs = tmp_path_factory.mktemp("studies")
    assert main(["data", *arguments("clusters", runs)]) == 0
    return runs


@pytest.fixture(scope="module")
def studied(data_runs: Path) -> Path:
    """A runs folder with every shipped study. Not to be written to."""
    with pytest.MonkeyPatch.context() as patched:  # fewer images: what they show is not asked here
        patched.setattr("pipeline.studies.generation.SAMPLES", 300)
        patched.setattr("pipeline.studies.clusters.CLUSTERED", 400)
        patched.setattr("pipeline.studies.clusters.SHOWN", 150)
        patched.setattr("pipeline.studies.gradient.IMAGES", 10)
        patched.setattr("pipeline.studies.gradient.DRAWS", 20)
        for name in STUDIES:
            assert run_study(name, data_runs) == 0
    return data_runs


def test_every_shipped_config_is_a_study_and_the_other_way_round() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(STUDIES)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_arm_is_an_experiment(path: Path) -> None:
    parser = stage_parser("study")
    chosen = parser.instantiate(parser.parse_args([f"--config={path}"]))
    config = from_parsed(chosen)
    arms = find_study(config.study.name).arms
    settings = [arm_settings(config, arm, changes) for arm, changes in arms.items()]
    assert len(settings) >= 2
    assert len({str(one) for one in settings}) == len(settings)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_leaves_a_verdict_its_numbers_and_pictures(name: str, studied: Path) -> None:
    folder = studied / "studies" / name
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["study"] == name
    assert verdict["seeds"] == 2
    assert verdict["holds"] == all(finding["holds"] for finding in verdict["findings"])
    assert len(verdict["findings"]) >= 3
    for finding in verdict["findings"]:
        assert finding["measured"] in verdict["measured"]
        assert "nan" not in finding["measured"]
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["seed"]) for row in rows] == [(arm, seed) for arm in verdict["arms"] for seed in "01"]
    for picture in verdict["pictures"]:
        assert (folder / picture["file"]).read_bytes().startswith(b"\x89PNG")
        assert picture["alt"]


def test_the_study_of_methods_writes_every_cell_and_what_its_rules_lose(studied: Path) -> None:
    folder = studied / "studies" / "methods"
    with (folder / "cells.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert list(cells[0]) == ["dataset", "method", "mode", "labels", "seed", "e_out"]
    assert len(cells) == 2 * 2 * 3 * 2  # methods, seeds, modes, budgets
    assert {cell["dataset"] for cell in cells} == {"digits"}
    with (folder / "results.csv").open() as file:
        rows = {(row["arm"], row["seed"]): row for row in csv.DictReader(file)}
    for cell in cells:
        row = rows[cell["method"], cell["seed"]]
        assert cell["e_out"] == row[f"{cell['mode']}_{cell['labels']}_e_out"]
    findings = json.loads((folder / "verdict.json").read_text())["findings"]
    assert [
        finding["claim"] for finding in findings if "pretraining by autoencoder is worth it" in finding["claim"]
    ] == [
        f"{mode} with {labels} labels: pretraining by autoencoder is worth it."
        for labels in (50, 100)
        for mode in ("frozen", "propagate")
    ]
    gains = [
        float(rows["autoencoder", seed]["scratch_50_e_out"]) - float(rows["autoencoder", seed]["frozen_50_e_out"])
        for seed in "01"
    ]
    assert findings[0]["measured"].startswith(f"{100 * sum(gains) / 2:.2f} ±")
    rules = findings[-4:]
    for finding, score in zip(rules, ("e_val", "probe", "both", "rank"), strict=True):
        loss = _loss_of_rule(rows, score)
        assert f"{100 * loss:.2f} ±" in finding["measured"]


def _loss_of_rule(rows: dict[tuple[str, str], dict[str, str]], score: str) -> float:
    """The error of what a rule chooses above that of the best method in hindsight, counted anew and plainly."""
    losses = []
    for mode, labels in itertools.product(("frozen", "propagate"), (50, 100)):
        errors = {key: float(row[f"{mode}_{labels}_e_out"]) for key, row in rows.items()}
        best = min(("autoencoder", "random"), key=lambda arm: errors[arm, "0"] + errors[arm, "1"])
        names = {"e_val": f"{mode}_{labels}_e_val", "rank": "rank"}
        names |= {score: f"{score}_{labels}" for score in ("probe", "both")}
        for seed in "01":
            scores = {arm: float(rows[arm, seed][names[score]]) for arm in ("autoencoder", "random")}
            pick = max if score == "rank" else min
            losses.append(errors[pick(scores, key=lambda arm: scores[arm]), seed] - errors[best, seed])
    return sum(losses) / len(losses)


def test_a_finished_study_is_not_made_again_and_a_broken_one_is(
    studied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = studied / "studies" / "clusters"
    before = (folder / "verdict.json").stat().st_mtime_ns
    assert run_study("clusters", studied) == 0
    assert (folder / "verdict.json").stat().st_mtime_ns == before
    assert "groups the classes better than pixels do" in capsys.readouterr().out.replace("\n", " ")
    picture, original = folder / "map.png", (folder / "map.png").read_bytes()
    picture.write_bytes(b"something else")
    assert run_study("clusters", studied) == 0
    assert picture.read_bytes() == original


def test_arms_of_different_studies_that_are_the_same_are_trained_once(studied: Path) -> None:
    def encoders(name: str, arm: str) -> set[str]:
        folders = (studied / "studies" / name / "points").glob(f"{arm}-[0-9]-*")
        return {json.loads((folder / "manifest.json").read_text())["inputs"]["pretrained"] for folder in folders}

    made = {path.name for path in (studied / "studies").glob("pretrain-*")}
    assert len(made) < sum(len(list((studied / "studies" / name / "points").glob("*/"))) for name in STUDIES)
    assert len(encoders("overfit", "default") | encoders("overfit", "naive")) == 1
    assert len(encoders("identity", "bottleneck")) == 2


def test_watched_images_are_neither_pretrained_on_nor_labelled(studied: Path) -> None:
    cells = list((studied / "studies" / "cells").glob("finetune-50-0-*"))
    assert cells
    for cell in cells:
        history = (cell / "history.csv").read_text().splitlines()[0]
        assert "e_unseen" in history
        assert "track_unseen_error" in json.loads((cell / "manifest.json").read_text())["inputs"]


def test_the_report_tells_of_the_studies_on_the_same_images(tiny_runs_with_study: Path) -> None:
    page = (tiny_runs_with_study / "tiny" / "report.html").read_text()
    assert "Clusters: what a latent space groups" in page
    assert "Clusters: what a latent space groups" in (tiny_runs_with_study / "tiny" / "report.md").read_text()


@pytest.fixture
def tiny_runs_with_study(runs: Path, tiny: object, studied: Path) -> Path:
    assert callable(tiny)
    shutil.copytree(studied / "studies" / "clusters", runs / "studies" / "clusters")
    assert tiny("compare", "--grid.labels=[50]", "--grid.draws=1") == 0
    assert tiny("report", "--grid.labels=[50]", "--grid.draws=1") == 0
    return runs


@pytest.mark.parametrize(
    ("name", "extra", "expected"),
    [
        ("balance", ["--study.name=nonsense"], "study.name: 'nonsense' is unknown; expected one of bottleneck"),
        ("balance", ["--study.arms={both: {}}"], "study.arms: ['both'] lacks reconstruction, kl"),
        ("gradient", ["--pretrain.latent=3"], "study.arms.reparameterised: pretrain.latent: 3 is not allowed"),
        (
            "clusters",
            ["--study.name=pipeline.config:PRESETS"],
            "is a dict; expected a pipeline.studies.definition.Study",
        ),
        ("clusters", ["--study.arms={a/b: {}}"], "study.arms: 'a/b' is not allowed"),
        ("clusters", ["--study.arms={a: {pretrain: {latnt: 3}}}"], "study.arms.a"),
        ("clusters", ["--study.arms={a: {pretrain: {latent: 0}}}"], "study.arms.a: pretrain.latent: 0"),
        ("clusters", ["--study.arms={a: {data: {dataset: mnist}}}"], "study.arms.a: data cannot be changed by an arm"),
        ("choose", ["--study.arms.random={grid: {draws: 3}}"], "study.arms: ['random'] lacks stratified, chosen"),
        ("clusters", ["--study.arms={a: {grid: {draws: 3}}}"], "study.arms.a: grid.draws cannot be changed by an arm"),
        ("clusters", ["--grid.labels=[5]"], "a budget of 5 is below the number of classes"),
        ("overfit", ["--grid.modes=[frozen]"], "grid.modes: ['frozen'] lacks finetune"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_training(
    name: str, extra: Sequence[str], expected: str, data_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(data_runs.glob("studies/*"))
    assert run_study(name, data_runs, *extra) == 2
    assert expected in capsys.readouterr().err
    assert set(data_runs.glob("studies/*")) == before


# --- a study of one's own -------------------------------------------------------------------------------------

OWN = """
from pipeline.studies.definition import Finding, Measured, Study


def measure(subject):
    return Measured({"width": float(subject.embeddings.shape[1])})


def conclude(points):
    narrower = points.difference("narrow", "wide", "width")
    return [Finding("Narrow is narrower.", "The interval lies below 0.", f"{narrower.mean:.0f}", narrower.mean < 0)]


STUDY = Study(
    "Width <of the latent>",
    "A narrow latent has fewer dimensions than a wide one.",
    {"narrow": {"pretrain": {"latent": 2}}, "wide": {"pretrain": {"latent": 5}}},
    measure,
    conclude,
)
"""


@pytest.fixture
def own_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_study_of_width.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_study_of_width:STUDY"


def test_a_study_from_a_file_of_ones_own_touches_nothing_in_the_package(tiny: Run, runs: Path, own_study: str) -> None:
    options = ("--grid.labels=[50]", "--grid.modes=[frozen]", "--grid.draws=2", "--grid.baselines=false")
    assert tiny("study", f"--study.name={own_study}", *options) == 0
    folder = runs / "tiny" / "my_study_of_width.STUDY"
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["holds"]
    assert verdict["arms"] == ["narrow", "wide"]
    assert verdict["measured"] == "-3"
    assert tiny("compare", *options) == 0
    assert tiny("report", *options) == 0
    assert "Width &lt;of the latent&gt;: holds" in (runs / "tiny" / "report.html").read_text()


def test_points_that_are_no_longer_whole_are_measured_again(tiny: Run, runs: Path, own_study: str) -> None:
    options = (f"--study.name={own_study}", "--grid.labels=[50]", "--grid.modes=[frozen]", "--grid.draws=1")
    assert tiny("study", *options, "--grid.baselines=false") == 0
    folder = runs / "tiny" / "my_study_of_width.STUDY" / "points"
    deleted, cut = (next(folder.glob(f"{arm}-0-*/arrays.npz")) for arm in ("narrow", "wide"))
    whole = cut.read_bytes()
    shutil.rmtree(deleted.parent)
    cut.write_bytes(whole[:10])
    assert tiny("study", *options, "--grid.baselines=false") == 0
    assert deleted.exists()
    assert cut.read_bytes() == whole


def test_other_source_measures_anew_and_trains_nothing_again(
    tiny: Run, runs: Path, own_study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (f"--study.name={own_study}", "--grid.labels=[50]", "--grid.modes=[frozen]", "--grid.draws=1")
    assert tiny("study", *options, "--grid.baselines=false") == 0
    folder = runs / "tiny" / "my_study_of_width.STUDY"
    trained = {path: path.stat().st_mtime_ns for path in (runs / "tiny").glob("*/**/*.safetensors")}
    measured, verdict = set(folder.glob("points/*/arrays.npz")), (folder / "verdict.json").read_text()
    assert trained
    monkeypatch.setattr("pipeline.store.provenance.source_sha256", lambda: "what another release would have")
    assert tiny("study", *options, "--grid.baselines=false") == 0
    anew = set(folder.glob("points/*/arrays.npz")) - measured
    assert len(anew) == len(measured) == 2
    assert (folder / "verdict.json").read_text() != verdict
    assert {path: path.stat().st_mtime_ns for path in (runs / "tiny").glob("*/**/*.safetensors")} == trained


# --- laws of the measures -------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_frechet_distance_is_that_of_shifted_and_scaled_gaussians(seed: int, dimensions: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(200, dimensions)) @ generator.normal(size=(dimensions, dimensions))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-5 * (1 + float(np.var(x))))
    assert frechet_distance(x, x + 3) == pytest.approx(9 * dimensions, rel=1e-4, abs=1e-4)
    # for c * x the covariances commute, and the distance is (1 - c)^2 of the trace, for centred x
    centred = x - x.mean(0)
    expected = 4 * np.trace(np.atleast_2d(np.cov(x, rowvar=False)))
    assert frechet_distance(centred, 3 * centred) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(st.lists(st.integers(0, 4), min_size=5, max_size=40), st.permutations(range(5)))
def test_clustering_accuracy_does_not_care_what_clusters_are_called(labels: list[int], names: list[int]) -> None:
    true = np.array(labels)
    clusters = np.array(names)[true]
    assert clustering_accuracy(clusters, true) == 1
    assert clustering_accuracy(np.zeros_like(true), true) == np.bincount(true).max() / len(true)


def test_clusters_far_apart_are_found_whatever_the_labels_say() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(300) % 3
    points = generator.normal(size=(300, 4)) + 50 * labels[:, None]
    found = cluster(points, labels, 3, seed=0)
    assert min(found.values()) == pytest.approx(1)
    shuffled = cluster(points, generator.permutation(labels), 3, seed=0)
    assert shuffled["kmeans_accuracy"] < 0.5


def test_overlap_runs_from_none_to_chance() -> None:
    labels = torch.arange(400) % 4
    apart = 10.0 * labels[:, None].expand(-1, 2)
    assert overlap(apart, torch.full((400, 2), -4.0), labels) < 1e-6
    together = overlap(torch.zeros(400, 2), torch.zeros(400, 2), labels)
    assert together == pytest.approx(0.75, abs=0.01)
    assert math.isfinite(overlap(apart, torch.full((400, 2), -14.0), labels))


def test_the_kept_measurement_is_what_the_cells_keep() -> None:
    losses = {"loss_val": [0.9, 0.4, 0.45, 0.7, 0.8]}
    assert kept_measurement({"step": [1, 2, 3, 4, 5], **losses, "se_val": [0.1] * 5, "e_in": [0.0] * 5}) == 2
    assert kept_measurement({"l2": [9, 7, 5, 3, 1], **losses}) == 1


def test_an_interval_decides_only_where_it_has_limits() -> None:
    assert below(Interval(-1, -2, -0.5))
    assert above(Interval(1, 0.5, 2))
    assert not below(Interval(-1, -2, 0.1))
    assert not below(Interval(-1, None, None))
    assert not above(Interval(1, None, None))
    assert show(Interval(0.0231, 0.0211, 0.0251), "%", 100) == "2.31 ± 0.20 %"
    assert show(Interval(0.5, None, None)) == "0.50"


def test_chosen_arms_see_the_labels_that_the_strategy_chooses(studied: Path) -> None:
    """Of the study choose: the same encoder serves all arms, each with a draw of its own, and rounds are measured."""
    with (studied / "studies" / "choose" / "results.csv").open() as file:
        rows = {(row["arm"], row["seed"]): row for row in csv.DictReader(file)}
    for seed in ("0", "1"):
        random, chosen = rows["random", seed], rows["chosen", seed]
        assert random["holdout_loss"] == chosen["holdout_loss"]
        assert random["spread_20"] != chosen["spread_20"]
        assert int(float(rows["stratified", seed]["missed_20"])) == 0
        assert 0 < float(chosen["rounds_20"]) < 1
        assert random["rounds_20"] == ""


def test_the_study_of_chosen_labels_writes_every_cell_and_answers_how_many_it_takes(studied: Path) -> None:
    folder = studied / "studies" / "choose"
    with (folder / "cells.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert list(cells[0]) == ["dataset", "sampling", "mode", "labels", "seed", "e_out"]
    assert [cell["sampling"] for cell in cells[::4]] == ["random", "stratified", "chosen"]  # two seeds, two budgets
    for cell in (studied / "studies" / "cells").glob("frozen-10-*"):
        assert json.loads((cell / "metrics.json").read_text())["e_in"]["n"] == 10
    verdict = json.loads((folder / "verdict.json").read_text())
    [told] = [part for part in verdict["findings"] if "error is 1 % (frozen, on test images)" in part["claim"]]
    assert "Labels until 1 %: random not reached with 50, stratified" in told["measured"]
    assert {picture["file"] for picture in verdict["pictures"]} == {"cost.png", "cost_on_test_images.png"}
    assert "| digits | 10 | frozen |" in table(read_cells([folder / "cells.csv"]), worst=True)


def test_a_table_of_cells_shows_the_mean_and_the_worst_seed_of_each_draw() -> None:
    found = {"random": (0.1, 0.3), "chosen": (0.01, 0.03)}
    rows = [
        {"dataset": "digits", "sampling": arm, "mode": "frozen", "labels": "10", "seed": str(seed), "e_out": str(error)}
        for arm, errors in found.items()
        for seed, error in enumerate(errors)
    ]
    head, _, row = table(rows, worst=True).splitlines()
    assert head == "| data set | labels | mode | random | chosen |"
    assert row == "| digits | 10 | frozen | 20.00 (30.00) | **2.00** (3.00) |"
    assert table(rows).endswith("| digits | 10 | frozen | 20.00 | **2.00** |")


def test_the_labels_that_an_error_takes_are_told_with_an_interval() -> None:
    sure = [Interval(0.4, 0.4, 0.4), Interval(0.1, 0.1, 0.1)]
    assert answer({"random": sure}, [10, 100], 0.05) == "random not reached with 100"
    assert answer({"random": sure}, [10, 100], 0.2) == "random 32 (32 to 32)"
    assert answer({"random": sure}, [10, 100], 0.4) == "random at most 10 (at most 10 to at most 10)"
    single = [Interval(0.4, None, None), Interval(0.1, None, None)]
    assert answer({"random": single}, [10, 100], 0.2) == "random 32"


def test_labels_until_an_error_is_reached_lie_between_two_budgets() -> None:
    assert labels_until([10, 100], [0.1, 0.01], 0.1) == 10
    assert labels_until([10, 100], [0.1, 0.01], 0.01) == pytest.approx(100)
    assert labels_until([10, 100], [0.1, 0.01], 0.0316227766) == pytest.approx(10 * 10**0.5)
    assert labels_until([10, 100], [0.1, 0.02], 0.01) == math.inf
    assert labels_until([10, 100], [0.1, 0.0], 0.05) < 20
