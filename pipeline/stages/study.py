"""Stage study: train the arms of one claim under several seeds, measure them, and say whether the claim holds."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artefacts import classifiers
from pipeline.artefacts.cell_inputs import CellInputs
from pipeline.config import Experiment, StudyConfig, as_dict, from_dict, merged
from pipeline.errors import PipelineError
from pipeline.methods import find_method, own_settings
from pipeline.modes import BASELINES, find_mode
from pipeline.parallel import Task, fan_out
from pipeline.stages import data, pretrain
from pipeline.stages.compare import Job
from pipeline.store import disk, provenance, runs
from pipeline.studies import find_study

if TYPE_CHECKING:
    from pipeline.models.deployed import Deployed
    from pipeline.studies import study
    from pipeline.studies.study import Study

VERDICT, RESULTS = "verdict.json", "results.csv"

ARM_SECTIONS = ("pretrain", "train")  # what an arm may change


def run(config: Experiment) -> Path:
    """Train and measure what is missing, write results, pictures and the verdict, print it, and return its path.

    Raises:
        PipelineError: The study or an arm is not what it has to be, an earlier stage has not run, or the training of
            a point failed; the others are kept.
    """
    study = find_study(config.study.name)
    points = plan(config, study)
    folder = config.folder / config.study.name
    mark = runs.fingerprint({"stage": "study", "points": [point.inputs for point in points], "sources": _sources()})
    verdict = runs.find_record(folder / VERDICT, mark)
    if verdict is None:
        _train_and_measure(config, points)
        verdict = _conclude(config, study, _open(points), mark)
    _print(verdict)
    return folder / VERDICT


def _sources() -> dict[str, str]:
    """The code that concludes and draws, by file."""
    folder = Path(__file__).parent.parent / "studies"
    return {path.name: disk.sha256_file(path) for path in sorted(folder.glob("*.py"))}


# --- what is to be done ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One arm under one seed.

    Attributes:
        base: The study's own settings.
        config: The arm's, with its seed.
        arm: Its name.
        seed: Which pretraining and which draw of the labels.
        jobs: Its classifiers and classical baselines, as in a comparison.
        judge: The study's judge; None where it has none.
    """

    base: Experiment
    config: Experiment
    arm: str
    seed: int
    jobs: list[Job]
    judge: Job | None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.arm}, seed {self.seed}"

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
            "cells": [job.inputs for job in self.jobs if job.mode not in BASELINES],
            "baselines": [job.inputs for job in self.jobs if job.mode in BASELINES],
            "judge": self.judge.inputs if self.judge else None,
        }

    @property
    def folder(self) -> Path:
        """Where the point lies."""
        return runs.artefact_path(self.base.folder, self.relative, self.inputs)

    def train(self) -> None:
        """Pretrain, then train classifiers and baselines, unless it is done."""
        pretrain.run(self.config)
        cell_inputs = CellInputs(self.config)
        for job in self.jobs:
            job.run(cell_inputs)

    def measure(self) -> None:
        """Measure what was trained, unless it is done."""
        runs.build(self.base.folder, self.relative, self.inputs, lambda folder: _measure(self, folder))


def plan(config: Experiment, study: Study) -> list[Point]:
    """All points, arm by arm.

    Raises:
        PipelineError: An arm is missing or not what it may be, the grid is impossible, or stage data has not run.
    """
    missing = [arm for arm in study.arms if arm not in config.study.arms]
    if missing or not config.study.arms:
        raise PipelineError(
            f"study.arms: {list(config.study.arms)} lacks {', '.join(missing) or 'any arm'}; configs/studies/ has a "
            f"complete example of {config.study.name}"
        )
    _check_grid(config, study)
    judge = Job(_settle(config), "scratch", max(config.grid.labels), 0) if study.judged else None
    points = []
    for arm in config.study.arms:
        settings = arm_settings(config, arm)
        _check_method(settings, study, arm)
        for seed in range(config.grid.draws):
            own = settings.pretrain.seed + (0 if study.one_encoder else seed)
            seeded = replace(settings, pretrain=replace(settings.pretrain, seed=own))
            points.append(Point(config, seeded, arm, seed, _jobs(study, seeded, seed), judge))
    return points


def _jobs(study: Study, settings: Experiment, seed: int) -> list[Job]:
    """What an arm trains; nothing in a judged study, whose grid is its judge's, which belongs to no arm."""
    grid = settings.grid
    modes = () if study.judged else (*grid.modes, *(BASELINES if grid.baselines else ()))
    return [Job(settings, mode, labels, seed, study.track_unseen_error) for mode in modes for labels in grid.labels]


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
    return from_dict(merged(as_dict(_settle(config)), changes), f"study.arms.{arm}")


def _settle(config: Experiment) -> Experiment:
    """Without the study, and on one thread: points are trained side by side."""
    return replace(config, study=StudyConfig(), runtime=replace(config.runtime.alone, threads=1, progress=False))


def _check_grid(config: Experiment, study: Study) -> None:
    """Refuse budgets and modes that cannot be trained, or not compared, before anything is."""
    missing = [mode for mode in study.modes if mode not in config.grid.modes]
    if missing:
        raise PipelineError(
            f"grid.modes: {list(config.grid.modes)} lacks {', '.join(missing)}; study {config.study.name} compares it"
        )
    for mode in config.grid.modes:
        find_mode(mode)
    data.check_budgets(config)


def _check_method(settings: Experiment, study: Study, arm: str) -> None:
    """Refuse a pretraining method that cannot do what the study asks of it, before anything is trained."""
    name = settings.pretrain.method
    method = find_method(name)
    own_settings(settings.pretrain)
    if study.decodes and not method.decodes:
        raise PipelineError(f"study.arms.{arm}: {name} has no decoder; study {settings.study.name} draws images")
    if study.has_prior and not method.has_prior:
        raise PipelineError(f"study.arms.{arm}: {name} has no prior to sample from; expected a method such as vae")


# --- doing it -------------------------------------------------------------------------------------------------


def _train_and_measure(config: Experiment, points: Sequence[Point]) -> None:
    missing = [point for point in points if not runs.is_finished(point.folder, runs.fingerprint(point.inputs))]
    tasks = [Task(point.name, point.train) for point in missing]
    if missing and missing[0].judge is not None:
        tasks.insert(0, Task("judge", functools.partial(_train_judge, missing[0].judge)))
    fan_out(config, tasks, f"{config.study.name}: training", "point")
    tasks = [Task(point.name, point.measure) for point in missing]
    fan_out(config, tasks, f"{config.study.name}: measuring", "point")


def _train_judge(judge: Job) -> None:
    judge.run(CellInputs(judge.config))


def _measure(point: Point, folder: Path) -> dict[str, Any]:
    """Fill a point's folder; all its numbers are the outcome."""
    from pipeline.studies.study import Subject
    from pipeline.training.trainer import threads

    cell_inputs = CellInputs(point.config)
    dataset = cell_inputs.dataset
    backbone, model = pretrain.restore(point.config, dataset.train.shape)
    pretrained = disk.read_json(pretrain.check(point.config) / runs.MANIFEST, "run it again")["outcome"]
    metrics = {
        f"{job.mode}_{job.labels}": runs.open_artefact(job.folder, "run it again")["outcome"] for job in point.jobs
    }
    subject = Subject(
        config=point.config,
        dataset=dataset,
        held_out=pretrain.split_holdout(point.config, len(dataset.train))[0],
        embeddings=cell_inputs.pretrained.embeddings,
        backbone=backbone,
        model=model,
        histories={
            f"{job.mode}_{job.labels}": disk.read_columns(job.folder / "history.csv")
            for job in point.jobs
            if job.mode not in BASELINES
        },
        judge=_restore(point.judge) if point.judge else None,
        seed=point.seed,
    )
    with threads(1):
        measured = find_study(point.base.study.name).measure(subject)
    np.savez_compressed(folder / "arrays.npz", **measured.arrays)  # type: ignore[arg-type]
    return {
        **{name: value for name, value in pretrained.items() if isinstance(value, int | float)},
        **_errors(metrics),
        **measured.values,
    }


def _restore(judge: Job) -> Deployed:
    return classifiers.restore(judge.config, judge.folder, classifiers.describe(judge.folder))


def _errors(metrics: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Such as frozen_100_e_out; what a classifier has not measured is left out."""
    return {
        f"{name}_{quantity}": found[quantity]["error"]
        for name, found in metrics.items()
        for quantity in ("e_in", "e_val", "e_out")
        if found[quantity] is not None
    }


# --- what it says ---------------------------------------------------------------------------------------------


def _conclude(config: Experiment, study: Study, points: study.Points, mark: str) -> dict[str, Any]:
    """Write results, pictures, and the verdict, which vouches for them."""
    findings = study.conclude(points)
    pictures = {f"{name}.png": picture for name, picture in study.draw(points).items()}
    verdict = {
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
        "provenance": provenance.collect(),
    }
    drawn = {name: picture.content for name, picture in pictures.items()}
    folder = config.folder / config.study.name
    return runs.write_record(folder / VERDICT, mark, verdict, {RESULTS: disk.as_csv(_rows(points)), **drawn})


def _open(points: Sequence[Point]) -> study.Points:
    """What was measured, after every file was checked."""
    from pipeline.studies import study

    measured = [
        study.Point(
            point.arm,
            point.seed,
            runs.open_artefact(point.folder, "run it again")["outcome"],
            point.folder / "arrays.npz",
        )
        for point in points
    ]
    return study.Points(measured, {point.arm: point.config for point in points})


def _rows(points: study.Points) -> list[dict[str, object]]:
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
