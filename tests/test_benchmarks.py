"""What the benchmarks claim rests on: both sides do the same work, and the figures are what they are called."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as bench
from benchmarks import cost, spread_quality, time_to_quality
from benchmarks.growth import exponent
from benchmarks.sides import Comparison, alternate
from benchmarks.subjects import DEFAULT, train, train_bare
from pipeline.artefacts.results import ResultRow
from pipeline.errors import PipelineError
from pipeline.modes import BASELINES


def test_the_bare_loop_trains_the_same_network_to_the_same_bits() -> None:
    config = dataclasses.replace(DEFAULT, epochs=2, batch_size=16)
    images = torch.randint(0, 256, (50, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours, bare = (training(config, images).state_dict() for training in (train, train_bare))
    assert all(torch.equal(value, bare[name]) for name, value in ours.items())


def test_rounds_are_paired_and_the_first_does_not_count() -> None:
    ours, other = iter([1000.0, 2.0, 30.0, 4.0]), iter([1.0, 1.0, 10.0, 4.0])
    row = alternate(Comparison("x", lambda: next(ours), lambda: next(other)), rounds=3)
    assert (row["ours"], row["other"]) == (4.0, 4.0)
    assert (row["ratio"], row["spread"]) == (2.0, [1.0, 3.0])


def test_an_exponent_is_the_power_that_figures_grow_with() -> None:
    assert exponent([10, 100, 1000], [5 * n**1.5 for n in (10, 100, 1000)]) == pytest.approx(1.5)


def test_rows_that_are_not_measured_anew_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "runs" / "bench" / "bench.json"
    for what, ours in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        comparison = Comparison(what, lambda ours=ours: ours, lambda: 1.0, timed=False)  # type: ignore[misc]
        bench.keep(target, alternate(comparison, 1))
    assert [(row["what"], row["ours"]) for row in json.loads(target.read_text())] == [("a", 3.0), ("b", 2.0)]


def test_the_clock_to_a_quality_stands_still_while_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now, found = iter([100.0, 110.0, 150.0, 155.0, 200.0]), iter([120.0, 104.0])
    monkeypatch.setattr("benchmarks.time_to_quality.time.perf_counter", lambda: next(now))
    monkeypatch.setattr(time_to_quality, "negative_elbo", lambda model: next(found))
    clock, model = time_to_quality.Clock(), torch.nn.Identity()
    assert not clock.measure(model)  # type: ignore[arg-type]
    assert clock.measure(model)  # type: ignore[arg-type]
    assert clock.reached == 15  # of the 55 until then, 40 were measuring


def test_the_shortest_length_that_meets_every_goal_in_the_mean_is_named() -> None:
    def point(epochs: int, seed: int, few: float, many: float) -> spread_quality.Point:
        return spread_quality.Point(epochs, seed, 10.0 * epochs, 20.0, {100: few, 1000: many})

    points = [point(8, 0, 1.5, 1.4), point(16, 0, 1.9, 1.2), point(16, 1, 1.5, 1.2), point(40, 0, 1.4, 1.1)]
    verdict = spread_quality.summary(points)
    assert "16 epochs meet the goals (100: 1.7 %, 1000: 1.3 %) in 0.43 of the time of 40" in verdict
    assert "no length meets the goals" in spread_quality.summary(points[:1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
def test_a_compiled_pretraining_learns_the_same_and_can_be_pickled(tmp_path: Path) -> None:
    import pickle

    from pipeline.datasets.readers import digits

    images = torch.nn.functional.pad(digits.load().images, (10, 10, 10, 10))
    config = dataclasses.replace(DEFAULT, epochs=5, batch_size=128, corruption=0)
    plain, compiled = (train(config, images, compiled=compiled) for compiled in (False, True))
    with torch.no_grad():
        ours, theirs = (model.measure(images)["holdout_loss"] for model in (plain, compiled))
    assert theirs == pytest.approx(ours, rel=0.02)
    assert pickle.dumps(compiled)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
def test_without_a_compiler_compiling_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config
    from torch._inductor.utils import fresh_inductor_cache

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with (
        fresh_inductor_cache(),
        pytest.raises(PipelineError, match=r"runtime\.compile: .*No working C\+\+ compiler.*set it to false"),
    ):
        train(DEFAULT, torch.zeros(64, 1, 28, 28, dtype=torch.uint8), compiled=True)


def test_the_cost_of_the_published_grid_is_told_by_mode_from_todays_columns() -> None:
    with (Path(__file__).parent.parent / "docs" / "label_efficiency.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) <= set(ResultRow.__annotations__)
    fits = cost.fit(rows)
    assert set(fits) == {row["mode"] for row in rows} - set(BASELINES)
    assert all(found.measured > 0 and found.predicted > 0 for found in fits.values())
    with pytest.raises(SystemExit, match="one budget only"):
        cost.fit(rows[:1])
