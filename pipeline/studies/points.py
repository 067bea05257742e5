"""The points of a study: each arm of a claim under each seed, trained and measured."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artefacts import classifier, data_card, encoder
from pipeline.artefacts.baseline import Baseline
from pipeline.artefacts.cell import Cell
from pipeline.artefacts.cell_inputs import CellInputs
from pipeline.artefacts.grid import Entry
from pipeline.artefacts.metrics import Metrics
from pipeline.config import Experiment, StudyConfig, as_dict, from_dict, merged
from pipeline.errors import PipelineError
from pipeline.methods import find_method, own_settings
from pipeline.modes import BASELINES, find_mode
from pipeline.parallel import Task, fan_out
from pipeline.store import disk, provenance
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import Inputs
from pipeline.studies import find_study, study_folder

if TYPE_CHECKING:
    from pipeline.models.deployed import Deployed
    from pipeline.studies.definition import Study

ARM_SECTIONS = ("pretrain", "train")  # what an arm may change, beside how its labels are drawn:
ARM_GRID = ("sampling", "strategy")


# --- what is to be done ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One arm under one seed.

    Attributes:
        base: The study's own settings.
        config: The arm's, with its seed.
        arm: The name of the arm.
        seed: The number of the pretraining and of the draw of the labels.
        entries: The cells and classical baselines of the arm, as in a comparison.
        judge: The study's judge; None where it has none.
    """

    base: Experiment
    config: Experiment
    arm: str
    seed: int
    entries: list[Entry]
    judge: Cell | None

    @property
    def name(self) -> str:
        """The point's name in messages."""
        return f"{self.arm}, seed {self.seed}"

    @property
    def place(self) -> str:
        """The point's place inside the experiment's folder, without the fingerprint."""
        return f"{study_folder(self.base).name}/points/{self.arm}-{self.seed}"

    @functools.cached_property
    def inputs(self) -> Inputs:
        """All that the point is made from.

        Measuring takes moments beside training, and any module may change what is measured: the source is among the
        inputs, and a change of it measures all points anew. What was trained is recognised by itself, and stays.
        """
        return {
            "stage": "study",
            "study": self.base.study.name,
            "source": _source(self.base.study.name),
            "seed": self.seed,
            "data": data_card.load(self.config)["sha256"],
            "pretrained": encoder.artefact(self.config).fingerprint,
            "cells": [entry.inputs for entry in self.entries if isinstance(entry, Cell)],
            "baselines": [entry.inputs for entry in self.entries if isinstance(entry, Baseline)],
            "judge": self.judge.inputs if self.judge else None,
        }

    def artefact(self) -> Artefact[dict[str, float]]:
        """Return the artefact of the measured point, whose outcome is all numbers that there are of it."""
        return Artefact(
            self.base.folder, self.place, self.inputs, lambda folder: _measure(self, folder), "run the study again"
        )

    def train(self) -> None:
        """Pretrain, then train cells and baselines, unless it is done."""
        encoder.build(self.config)
        shared = CellInputs(self.config)
        for entry in self.entries:
            entry.artefact(shared).build()

    def measure(self) -> None:
        """Measure what was trained, unless it is done."""
        self.artefact().build()


def _source(study: str) -> dict[str, str]:
    """Return digests of the code that measures: the package, and the study's own file where that lies outside of it."""
    own = inspect.getsourcefile(find_study(study).measure)
    if own is None or Path(own).is_relative_to(provenance.PACKAGE):
        return {"package": provenance.source_sha256()}
    return {"package": provenance.source_sha256(), "study": disk.sha256_file(Path(own))}


def plan(config: Experiment, study: Study) -> list[Point]:
    """Return all points, arm by arm.

    Raises:
        PipelineError: If an arm is missing or not what it may be, the grid is impossible, or stage data has not run.
    """
    arms = config.study.arms or study.arms
    missing = [] if study.any_arms else [arm for arm in study.arms if arm not in arms]
    if missing or not arms:
        raise PipelineError(
            f"study.arms: {list(arms)} lacks {', '.join(missing) or 'any arm'}; leave study.arms out to train the "
            f"study's own: {', '.join(study.arms)}"
        )
    _check_grid(config, study)
    judge = Cell(_settle(config), "scratch", max(config.grid.labels), 0) if study.judged else None
    points = []
    for arm, changes in arms.items():
        settings = arm_settings(config, arm, changes)
        _check_method(settings, study, arm)
        _check_budgets(settings, study, arm)
        for seed in range(config.grid.draws):
            own = settings.pretrain.seed + (0 if study.one_encoder else seed)
            seeded = replace(settings, pretrain=replace(settings.pretrain, seed=own))
            points.append(Point(config, seeded, arm, seed, _entries(study, seeded, seed), judge))
    return points


def _entries(study: Study, settings: Experiment, seed: int) -> list[Entry]:
    """Return an arm's cells and baselines; none in a judged study, whose grid is the judge's, which has no arm."""
    if study.judged:
        return []
    grid = settings.grid
    cells: list[Entry] = [
        Cell(settings, mode, labels, seed, study.track_unseen_error) for mode in grid.modes for labels in grid.labels
    ]
    if not grid.baselines:
        return cells
    return cells + [Baseline(settings, name, labels, seed) for name in BASELINES for labels in grid.labels]


def arm_settings(config: Experiment, arm: str, changes: dict[str, Any]) -> Experiment:
    """Return the experiment with an arm's changes, to be trained beside others on one thread.

    Raises:
        PipelineError: If the arm changes what it may not, or a setting to what it cannot be.
    """
    foreign = [section for section in changes if section not in (*ARM_SECTIONS, "grid")]
    foreign += [f"grid.{name}" for name in changes.get("grid", {}) if name not in ARM_GRID]
    if foreign:
        raise PipelineError(
            f"study.arms.{arm}: {', '.join(foreign)} cannot be changed by an arm; expected {', '.join(ARM_SECTIONS)}, "
            f"{' or '.join(f'grid.{name}' for name in ARM_GRID)}"
        )
    return from_dict(merged(as_dict(_settle(config)), changes), f"study.arms.{arm}")


def _settle(config: Experiment) -> Experiment:
    """Return the settings without the study, and for one thread, since points are trained side by side."""
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


def _check_budgets(settings: Experiment, study: Study, arm: str) -> None:
    """Refuse budgets that an arm cannot train on or, where the study reads validation errors, leaves no label to."""
    if study.validates and settings.train.validation == "none":
        raise PipelineError(
            f"study.arms.{arm}: train.validation none leaves no label to validate on, whose error study "
            f"{study.title!r} reads; take holdout or kfold"
        )
    data_card.check_grid_budgets(settings)


def _check_method(settings: Experiment, study: Study, arm: str) -> None:
    """Refuse a pretraining method that cannot do what the study asks of it, before anything is trained."""
    name = settings.pretrain.method
    method = find_method(name)
    own_settings(settings.pretrain)
    if study.decodes and not method.decodes:
        raise PipelineError(f"study.arms.{arm}: {name} has no decoder; study {settings.study.name} draws images")
    if study.has_prior and not method.has_prior:
        raise PipelineError(f"study.arms.{arm}: {name} has no prior to sample from; expected a method such as vae")
    if study.most_latent is not None and settings.pretrain.latent > study.most_latent:
        raise PipelineError(
            f"study.arms.{arm}: pretrain.latent: {settings.pretrain.latent} is not allowed; expected at most "
            f"{study.most_latent}, over which study {study.title!r} can integrate"
        )


# --- doing it -------------------------------------------------------------------------------------------------


def train_and_measure(config: Experiment, points: Sequence[Point]) -> None:
    """Do what is not done of all points, as many at a time as the settings say.

    Raises:
        PipelineError: If the training of a point failed; the others are kept.
    """
    missing = [point for point in points if not point.artefact().is_finished]
    tasks = [Task(point.name, point.train) for point in missing]
    if missing and missing[0].judge is not None:
        tasks.insert(0, Task("judge", functools.partial(_train_judge, missing[0].judge)))
    fan_out(config, tasks, f"{config.study.name}: training", "point")
    tasks = [Task(point.name, point.measure) for point in missing]
    fan_out(config, tasks, f"{config.study.name}: measuring", "point")


def _train_judge(judge: Cell) -> None:
    judge.artefact().build()


def _measure(point: Point, folder: Path) -> dict[str, float]:
    """Fill a point's folder; all its numbers are the outcome."""
    from pipeline.studies.definition import Subject
    from pipeline.training.device import threads

    cell_inputs = CellInputs(point.config)
    dataset = cell_inputs.dataset
    backbone, model = encoder.restore(point.config, dataset.train.shape)
    pretrained = encoder.artefact(point.config).open()["outcome"]
    metrics = {f"{entry.mode}_{entry.labels}": entry.artefact().open()["outcome"] for entry in point.entries}
    subject = Subject(
        config=point.config,
        dataset=dataset,
        held_out=encoder.split_holdout(point.config, len(dataset.train))[0],
        embeddings=cell_inputs.pretrained.embeddings,
        backbone=backbone,
        model=model,
        histories={
            f"{entry.mode}_{entry.labels}": disk.read_columns(entry.artefact().folder / "history.csv")
            for entry in point.entries
            if isinstance(entry, Cell)
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


def _restore(judge: Cell) -> Deployed:
    folder = judge.artefact().folder
    return classifier.restore(judge.config, folder, classifier.describe(folder))


def _errors(metrics: dict[str, Metrics]) -> dict[str, float]:
    """Return errors by names such as frozen_100_e_out; what a classifier has not measured is left out."""
    errors = {}
    for name, found in metrics.items():
        for quantity, split in (("e_in", found["e_in"]), ("e_val", found["e_val"]), ("e_out", found["e_out"])):
            if split is not None:
                errors[f"{name}_{quantity}"] = split["error"]
    return errors
