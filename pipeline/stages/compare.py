"""Stage compare: the grid of modes x labels x draws in parallel processes, and what it says."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.artefacts import baselines, graph
from pipeline.artefacts.cell_inputs import CellInputs
from pipeline.config import Experiment
from pipeline.errors import PipelineError
from pipeline.modes import BASELINES, MODES, find_mode, in_order
from pipeline.parallel import Task, check, fan_out
from pipeline.report.terminal import comparison_table
from pipeline.stages import data, pretrain, train
from pipeline.store import disk, runs

STACKED = 32  # draws in one computation; more gain little
RESULTS, COMPARISON = "results.csv", "comparison.json"


@dataclass(frozen=True)
class Job:
    """One entry of the grid: a cell, or a classical baseline; ``track_unseen_error`` is the cell's."""

    config: Experiment
    mode: str
    labels: int
    seed: int
    track_unseen_error: bool = False

    @property
    def cell(self) -> train.Cell:
        """The cell; of a baseline, there is none."""
        return train.Cell(self.config, self.mode, self.labels, self.seed, self.track_unseen_error)

    @property
    def inputs(self) -> dict[str, Any]:
        """What its artefact is made from."""
        if self.mode in BASELINES:
            return baselines.inputs(self.config, self.mode, self.labels, self.seed)
        return train.inputs(self.cell)

    @property
    def folder(self) -> Path:
        """Where its artefact lies."""
        if self.mode in BASELINES:
            name = baselines.relative(self.mode, self.labels, self.seed)
        else:
            name = train.relative(self.cell)
        return runs.artefact_path(self.config.folder, name, self.inputs)

    def run(self, cell_inputs: CellInputs) -> None:
        """Train it unless it is done."""
        if self.mode in BASELINES:
            baselines.run(self.config, self.mode, self.labels, self.seed, cell_inputs)
        else:
            train.train_cell(self.cell, cell_inputs)


def run(config: Experiment) -> Path:
    """Train what is missing of the grid, write results.csv and comparison.json, and print the table.

    Raises:
        PipelineError: The grid names an unknown mode or an impossible budget, an earlier stage has not run, or a cell
            failed; the others are kept.
    """
    _check(config)
    jobs = grid(config)
    mark = _mark(jobs)
    comparison = runs.find_record(config.folder / COMPARISON, mark)
    if comparison is None:
        _train_missing(config, jobs)
        comparison = _compare(config, jobs, mark)
    print(comparison_table(comparison))
    return config.folder / RESULTS


def grid(config: Experiment) -> list[Job]:
    """All jobs of the grid, in the order of results.csv."""
    modes = [*config.grid.modes, *(BASELINES if config.grid.baselines else ())]
    return [
        Job(config, mode, labels, seed)
        for labels in sorted(config.grid.labels)
        for mode in modes
        for seed in range(config.grid.draws)
    ]


def load(config: Experiment) -> dict[str, Any]:
    """The finished comparison.

    Raises:
        PipelineError: The stage has not run with these settings.
    """
    path = config.folder / COMPARISON
    if path.exists():
        comparison, _ = read(config.folder)
        if comparison["fingerprint"] == _mark(grid(config)):
            return comparison
    raise PipelineError(
        f"{path} is missing or belongs to other settings; run `python -m pipeline compare` with the same settings (or "
        "`make compare`) first"
    )


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The comparison that lies in an experiment's folder, whatever its settings were, and the rows of results.csv.

    Raises:
        PipelineError: There is none, or one of the two files was changed.
    """
    remedy = "run `make compare` for it first"
    if (folder / COMPARISON).exists():
        remedy = f"delete {folder / COMPARISON} and run `make compare` again"
    comparison = runs.read_record(folder / COMPARISON, remedy)
    return comparison, disk.read_rows(folder / RESULTS)


def find_summary(folder: Path, cell: str) -> dict[str, Any] | None:
    """What the comparison in an experiment's folder says of a cell's mode and budget; None if it does not hold it.

    Raises:
        PipelineError: The comparison was changed.
    """
    if not (folder / COMPARISON).exists():
        return None
    comparison, rows = read(folder)
    for row in rows:
        if row["cell"] == f"{train.CELLS}/{cell}":
            meant = (int(row["labels"]), row["mode"])
            summaries: list[dict[str, Any]] = comparison["summary"]
            return next(entry for entry in summaries if (entry["labels"], entry["mode"]) == meant)
    return None


def _mark(jobs: list[Job]) -> str:
    """What a comparison of these jobs is recognised by."""
    return runs.fingerprint({"stage": "compare", "cells": [job.inputs for job in jobs]})


def _check(config: Experiment) -> None:
    """Refuse a grid that cannot be trained before anything is."""
    modes = [find_mode(mode) for mode in config.grid.modes]
    tried = {mode: len(config.train.candidates(mode)) for mode in config.grid.modes}
    if len(set(tried.values())) > 1:
        counts = ", ".join(f"{mode} {count}" for mode, count in tried.items())
        raise PipelineError(
            f"train.trials: settings to choose among are {counts}; give every mode of the grid as many, or the one "
            "with the most is favoured"
        )
    if any(mode.pretrained for mode in modes):
        pretrain.check(config)
    data.check_budgets(config)


# --- training the grid ----------------------------------------------------------------------------------------


def _train_missing(config: Experiment, jobs: list[Job]) -> None:
    missing = [job for job in jobs if not runs.is_finished(job.folder, runs.fingerprint(job.inputs))]
    if missing:
        check(config)
    if any(job.mode in MODES and MODES[job.mode].spreads_labels for job in missing):
        graph.run(config)  # with all threads, before every process waits for it
    missing.sort(key=lambda job: (-job.labels, job.mode in BASELINES))  # long ones first: no core idles at the end
    fan_out(config, _tasks(missing), "compare", "cell")


def _tasks(jobs: list[Job]) -> list[Task]:
    """A task a job; but draws whose heads can be trained as one computation are one task, and begin."""
    stacks: dict[tuple[str, int], list[Job]] = {}
    alone = []
    for job in jobs:
        if job.mode in MODES and job.cell.plan.stackable:
            stacks.setdefault((job.mode, job.labels), []).append(job)
        else:
            alone.append(job)
    parts = [own[start : start + STACKED] for own in stacks.values() for start in range(0, len(own), STACKED)]
    return [_stack(own) if len(own) > 1 else _task(own[0]) for own in parts] + [_task(job) for job in alone]


def _stack(jobs: list[Job]) -> Task:
    name = f"{jobs[0].mode} at {jobs[0].labels} labels"
    return Task(name, functools.partial(_train_together, jobs), tuple(_task(job) for job in jobs))


def _task(job: Job) -> Task:
    return Task(f"{job.mode} at {job.labels} labels, draw {job.seed}", functools.partial(_train, job))


def _train_together(jobs: list[Job]) -> None:
    config = jobs[0].config
    train.train_cells_together([job.cell for job in jobs], _cell_inputs(config, data.card(config)["sha256"]))


def _train(job: Job) -> None:
    job.run(_cell_inputs(job.config, data.card(job.config)["sha256"]))


@functools.lru_cache(maxsize=1)
def _cell_inputs(config: Experiment, sha256: str) -> CellInputs:
    """A worker trains many cells of one experiment: it reads data and encoder once.

    A cluster's worker outlives the command: by then the same settings may mean other images, which the checksum tells.
    """
    return CellInputs(config)


# --- what the grid says ---------------------------------------------------------------------------------------


def _compare(config: Experiment, jobs: list[Job], mark: str) -> dict[str, Any]:
    rows = [_row(config, job) for job in jobs]
    comparison = {
        "dataset": config.data.dataset,
        "pretraining": pretrain.describe(config),
        "level": 0.95,
        "draws": config.grid.draws,
        "summary": _summaries(rows),
        "paired": _paired(rows),
    }
    return runs.write_record(config.folder / COMPARISON, mark, comparison, {RESULTS: disk.as_csv(rows)})


def _row(config: Experiment, job: Job) -> dict[str, Any]:
    metrics = runs.open_artefact(job.folder, "run `make compare` again")["outcome"]
    e_val = metrics["e_val"]
    mode = None if job.mode in BASELINES else find_mode(job.mode)
    return {
        "dataset": config.data.dataset,
        "pretraining": pretrain.describe(config) if mode is not None and mode.pretrained else "none",
        "mode": job.mode,
        "labels": job.labels,
        "seed": job.seed,
        "n_train": metrics["e_in"]["n"],
        "n_val": e_val["n"] if e_val else 0,
        "n_test": metrics["e_out"]["n"],
        "e_in": metrics["e_in"]["error"],
        "e_val": e_val["error"] if e_val else "",
        "e_out": metrics["e_out"]["error"],
        "best_epoch": metrics["best_epoch"],
        "stopped_epoch": metrics["stopped_epoch"],
        "seconds": metrics["seconds"],
        "cell": str(job.folder.relative_to(config.folder)),
    }


def _summaries(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from pipeline.evaluation.statistics import clopper_pearson, hoeffding, mean_interval

    summaries = []
    for (labels, mode), group in _grouped(rows).items():
        first = group[0]
        errors = round(first["e_out"] * first["n_test"])
        summaries.append(
            {
                "labels": labels,
                "mode": mode,
                "draws": len(group),
                "n_train": first["n_train"],
                "n_val": first["n_val"],
                "e_in": asdict(mean_interval([row["e_in"] for row in group])),
                "e_out": asdict(mean_interval([row["e_out"] for row in group])),
                "gap": asdict(mean_interval([row["e_out"] - row["e_in"] for row in group])),
                "one_run": {
                    "cell": first["cell"],
                    "errors": errors,
                    "n": first["n_test"],
                    "clopper_pearson": clopper_pearson(errors, first["n_test"]),
                    "hoeffding": hoeffding(errors, first["n_test"]),
                },
            }
        )
    return summaries


def _paired(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from pipeline.evaluation.statistics import paired_difference

    groups = _grouped(rows)
    differences = []
    for labels in sorted({row["labels"] for row in rows}):
        for first, second in _pairs([mode for budget, mode in groups if budget == labels and mode in MODES]):
            for quantity in ("e_in", "e_out"):
                a, b = ([row[quantity] for row in groups[labels, mode]] for mode in (first, second))
                paired = asdict(paired_difference(a, b))
                differences.append({"labels": labels, "first": first, "second": second, "quantity": quantity, **paired})
    return differences


def _pairs(modes: list[str]) -> list[tuple[str, str]]:
    """Every two modes, in the order of the table of modes; scratch last.

    A difference reads best when what is tried comes before what it is tried against.
    """
    order = sorted(in_order(modes), key=lambda mode: mode == "scratch")
    return [(first, second) for place, second in enumerate(order) for first in order[:place]]


def _grouped(rows: list[dict[str, Any]]) -> dict[tuple[int, str], list[dict[str, Any]]]:
    """Rows by budget and mode, each group in the order of its draws."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["labels"], row["mode"]), []).append(row)
    return groups
