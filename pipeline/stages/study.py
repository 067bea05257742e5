"""Stage study: train the arms of one claim under several seeds, measure them, and say whether the claim holds."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import runs
from pipeline.config import Experiment, as_dict
from pipeline.datasets.splits import label_split
from pipeline.errors import PipelineError
from pipeline.modes import BASELINES, find_mode
from pipeline.stages import baseline, data, pretrain, train, trained
from pipeline.stages.fanout import Work, fan_out
from pipeline.stages.materials import Materials
from pipeline.studies import find_study

if TYPE_CHECKING:
    from pipeline.models.deployed import Deployed
    from pipeline.studies.base import Points, Study

VERDICT, RESULTS = "verdict.json", "results.csv"

ARM_SECTIONS = ("pretrain", "train")  # what an arm may change


def run(config: Experiment) -> Path:
    """Train and measure what is missing, write results, pictures and the verdict, print it, and return its path.

    Raises:
        PipelineError: The study or an arm is not what it has to be, an earlier stage has not run, or the training of
            a point failed; the others are kept.
    """
    study = find_study(config.study.name)
    jobs = plan(config, study)
    folder = config.folder / config.study.name
    mark = runs.fingerprint({"stage": "study", "points": [job.inputs for job in jobs], "sources": _sources()})
    if not runs.vouches(folder / VERDICT, mark):
        _train_and_measure(config, study, jobs)
        _conclude(config, study, jobs, mark)
    _print(runs.read_json(folder / VERDICT, "run it again"))
    return folder / VERDICT


def _sources() -> dict[str, str]:
    """The code that concludes and draws, by file."""
    folder = Path(__file__).parent.parent / "studies"
    return {path.name: runs.sha256_file(path) for path in sorted(folder.glob("*.py"))}


# --- what is to be done ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One arm under one seed.

    Attributes:
        base: The study's own settings.
        config: The arm's, with its seed.
        arm: Its name.
        seed: Which pretraining and which draw of the labels.
        cells: Its classifiers by "<mode>_<labels>".
        baselines: Name and budget of its classical baselines by "<name>_<labels>".
        judge: The study's judge; None where it has none.
    """

    base: Experiment
    config: Experiment
    arm: str
    seed: int
    cells: dict[str, train.Cell]
    baselines: dict[str, tuple[str, int]]
    judge: train.Cell | None

    @property
    def relative(self) -> str:
        """The point's place inside the experiment's folder, without the fingerprint."""
        return f"{self.base.study.name}/points/{self.arm}-{self.seed}"

    @functools.cached_property
    def inputs(self) -> dict[str, Any]:
        """What the point is made from."""
        return {
            "stage": "study",
            "study": self.base.study.name,
            "seed": self.seed,
            "pretrained": runs.fingerprint(pretrain.inputs(self.config)),
            "cells": [train.inputs(cell) for cell in self.cells.values()],
            "baselines": [baseline.inputs(self.config, *which, self.seed) for which in self.baselines.values()],
            "judge": train.inputs(self.judge) if self.judge else None,
        }

    @property
    def folder(self) -> Path:
        """Where the point lies."""
        return runs.artefact_path(self.base.folder, self.relative, self.inputs)

    def train(self) -> None:
        """Pretrain, then train cells and baselines, unless it is done."""
        pretrain.run(self.config)
        materials = Materials(self.config)
        for cell in self.cells.values():
            train.train_cell(cell, materials)
        for name, labels in self.baselines.values():
            baseline.run(self.config, name, labels, self.seed, materials)

    def measure(self) -> None:
        """Measure what was trained, unless it is done."""
        runs.build(self.base.folder, self.relative, self.inputs, lambda folder: _measure(self, folder))


def plan(config: Experiment, study: Study) -> list[Job]:
    """All points, arm by arm.

    Raises:
        PipelineError: An arm is missing or not what it may be, the grid is impossible, or stage data has not run.
    """
    missing = [arm for arm in study.arms or ("at least one",) if study.arms and arm not in config.study.arms]
    if missing or not config.study.arms:
        raise PipelineError(
            f"study.arms: {list(config.study.arms)} lacks {', '.join(missing) or 'any arm'}; configs/studies/ has a "
            f"complete example of {config.study.name}"
        )
    _check_grid(config, study)
    judge = train.Cell(_settle(config), "scratch", max(config.grid.labels), 0) if study.judged else None
    jobs = []
    for arm in config.study.arms:
        settings = arm_settings(config, arm)
        for seed in range(config.grid.draws):
            own = settings.pretrain.seed + (0 if study.one_encoder else seed)
            seeded = replace(settings, pretrain=replace(settings.pretrain, seed=own))
            jobs.append(_job(config, study, seeded, arm, seed, judge))
    return jobs


def _job(config: Experiment, study: Study, settings: Experiment, arm: str, seed: int, judge: train.Cell | None) -> Job:
    """A judged study's grid is its judge's, which belongs to no arm; there the arms have no classifiers."""
    grid = config.grid
    cells = {
        f"{mode}_{labels}": train.Cell(settings, mode, labels, seed, study.watched)
        for mode in grid.modes
        for labels in grid.labels
        if not study.judged
    }
    baselines = {
        f"{name}_{labels}": (name, labels)
        for name in BASELINES
        for labels in grid.labels
        if grid.baselines and not study.judged
    }
    return Job(config, settings, arm, seed, cells, baselines, judge)


def arm_settings(config: Experiment, arm: str) -> Experiment:
    """The experiment with an arm's changes, to be trained beside others on one thread.

    Raises:
        PipelineError: The arm changes what it may not, or a setting to what it cannot be.
    """
    changes = config.study.arms[arm]
    foreign = [section for section in changes if section not in ARM_SECTIONS]
    if foreign:
        raise PipelineError(
            f"study.arms.{arm}: {', '.join(foreign)} cannot be changed by an arm; expected {' or '.join(ARM_SECTIONS)}"
        )
    settled = _settle(config)
    return _parse(_merged(as_dict(settled), changes), f"study.arms.{arm}")


def _settle(config: Experiment) -> Experiment:
    """Without the study, and on one thread: points are trained side by side."""
    from pipeline.config import StudyConfig

    return replace(config, study=StudyConfig(), runtime=replace(config.runtime, threads=1, progress=False))


def _merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with changes written over them, section by section."""
    merged = dict(settings)
    for name, change in changes.items():
        own = merged.get(name)
        merged[name] = _merged(own, change) if isinstance(own, dict) and isinstance(change, dict) else change
    return merged


def _parse(settings: dict[str, Any], where: str) -> Experiment:
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Experiment)
    try:
        chosen = parser.instantiate(parser.parse_object(settings))
    except (ArgumentError, PipelineError) as error:
        raise PipelineError(f"{where}: {error}") from error
    return Experiment(**{field.name: chosen[field.name] for field in fields(Experiment)})


def _check_grid(config: Experiment, study: Study) -> None:
    """Refuse budgets and modes that cannot be trained, or not compared, before anything is."""
    missing = [mode for mode in study.modes if mode not in config.grid.modes]
    if missing:
        raise PipelineError(
            f"grid.modes: {list(config.grid.modes)} lacks {', '.join(missing)}; study {config.study.name} compares it"
        )
    for mode in config.grid.modes:
        find_mode(mode)
    card = data.card(config)
    labels = np.repeat(np.arange(len(card["classes"])), card["train_per_class"])
    for budget in config.grid.labels:
        label_split(labels, budget, config.train.val_fraction, 0, len(card["classes"]))


# --- doing it -------------------------------------------------------------------------------------------------


def _train_and_measure(config: Experiment, study: Study, jobs: Sequence[Job]) -> None:
    missing = [job for job in jobs if not runs.is_finished(job.folder, runs.fingerprint(job.inputs))]
    pieces = [Work(f"{job.arm}, seed {job.seed}", job.train) for job in missing]
    if missing and missing[0].judge is not None:
        pieces.insert(0, Work("judge", functools.partial(_train_judge, missing[0].judge)))
    fan_out(config, pieces, f"{config.study.name}: training", "point")
    fan_out(
        config,
        [Work(f"{job.arm}, seed {job.seed}", job.measure) for job in missing],
        f"{config.study.name}: measuring",
        "point",
    )


def _train_judge(cell: train.Cell) -> None:
    train.train_cell(cell, Materials(cell.config))


def _measure(job: Job, folder: Path) -> dict[str, Any]:
    """Fill a point's folder; all its numbers are the outcome."""
    from pipeline.studies.base import Subject
    from pipeline.training import threads

    materials = Materials(job.config)
    dataset = materials.dataset
    backbone, model = pretrain.restore(job.config, dataset.train.shape)
    cells = {name: _open_cell(cell) for name, cell in job.cells.items()}
    subject = Subject(
        config=job.config,
        dataset=dataset,
        held_out=pretrain.divide(job.config, len(dataset.train))[0],
        embeddings=materials.pretrained.embeddings,
        backbone=backbone,
        model=model,
        histories={name: runs.read_columns(path / "history.csv") for name, (path, _) in cells.items()},
        judge=_restore(job.judge) if job.judge else None,
        seed=job.seed,
    )
    with threads(1):
        measured = find_study(job.base.study.name).measure(subject)
    np.savez_compressed(folder / "arrays.npz", **measured.arrays)  # type: ignore[arg-type]
    metrics = {name: metrics for name, (_, metrics) in cells.items()}
    metrics |= {
        name: runs.open_artefact(_baseline_folder(job, *which), "run it again")["outcome"]
        for name, which in job.baselines.items()
    }
    return {
        **{name: value for name, value in _pretrained_outcome(job).items() if isinstance(value, int | float)},
        **_errors(metrics),
        **measured.values,
    }


def _restore(cell: train.Cell) -> Deployed:
    folder, _ = _open_cell(cell)
    return trained.restore(cell.config, folder, trained.describe(folder))


def _open_cell(cell: train.Cell) -> tuple[Path, dict[str, Any]]:
    folder = runs.artefact_path(cell.config.folder, train.relative(cell), train.inputs(cell))
    return folder, runs.open_artefact(folder, "run it again")["outcome"]


def _baseline_folder(job: Job, name: str, labels: int) -> Path:
    made_from = baseline.inputs(job.config, name, labels, job.seed)
    return runs.artefact_path(job.config.folder, baseline.relative(name, labels, job.seed), made_from)


def _pretrained_outcome(job: Job) -> dict[str, Any]:
    outcome: dict[str, Any] = runs.open_artefact(pretrain.check(job.config), "run it again")["outcome"]
    return outcome


def _errors(metrics: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Such as frozen_100_e_out; what a classifier has not measured is left out."""
    return {
        f"{name}_{quantity}": found[quantity]["error"]
        for name, found in metrics.items()
        for quantity in ("e_in", "e_val", "e_out")
        if found[quantity] is not None
    }


# --- what it says ---------------------------------------------------------------------------------------------


def _conclude(config: Experiment, study: Study, jobs: Sequence[Job], mark: str) -> None:
    """Write results and pictures, then the verdict, which vouches for them."""
    points = _points(jobs)
    findings = study.conclude(points)
    pictures = {f"{name}.png": picture for name, picture in study.draw(points).items()}
    folder = config.folder / config.study.name
    runs.write_csv(folder / RESULTS, _rows(points))
    for name, picture in pictures.items():
        runs.write_atomic(folder / name, picture.content)
    runs.write_json(
        folder / VERDICT,
        {
            "study": config.study.name,
            "title": study.title,
            "claim": study.claim,
            "measured": " ".join(finding.measured for finding in findings),
            "holds": all(finding.holds for finding in findings),
            "findings": [asdict(finding) for finding in findings],
            "pictures": [{"file": name, "alt": picture.alt} for name, picture in pictures.items()],
            "dataset": config.data.dataset,
            "data_sha256": data.card(config)["sha256"],
            "seeds": config.grid.draws,
            "arms": list(points.arms),
            "fingerprint": mark,
            "files": {name: runs.sha256_file(folder / name) for name in (RESULTS, *pictures)},
            "provenance": runs.provenance(),
        },
    )


def _points(jobs: Sequence[Job]) -> Points:
    from pipeline.studies.base import Point, Points

    opened = {job.folder: runs.open_artefact(job.folder, "run it again")["outcome"] for job in jobs}
    return Points(
        [Point(job.arm, job.seed, opened[job.folder], job.folder / "arrays.npz") for job in jobs],
        {job.arm: job.config for job in jobs},
    )


def _rows(points: Points) -> list[dict[str, object]]:
    """One row a point; arms of different methods have different numbers, and a blank where others have one."""
    columns = list(dict.fromkeys(name for point in points.points for name in point.values))
    return [
        {"arm": point.arm, "seed": point.seed, **{name: point.values.get(name, "") for name in columns}}
        for point in points.points
    ]


def _print(verdict: dict[str, Any]) -> None:
    def wrapped(text: str, indent: str) -> str:
        return textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=" " * len(indent))

    print(wrapped(f"{verdict['title']}. Claim: {verdict['claim']}", ""))
    for finding in verdict["findings"]:
        print(wrapped(finding["claim"], f"  [{'holds' if finding['holds'] else 'does not hold'}] "))
        print(wrapped(finding["measured"], " " * 6))
