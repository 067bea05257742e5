"""Defines studies: arms trained under several seeds, measures of each, and criteria that decide about claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.config import Experiment, GridConfig
from pipeline.evaluation.crossed import Interval
from pipeline.evaluation.statistics import mean_interval

if TYPE_CHECKING:
    import torch

    from pipeline.datasets.image_data import Dataset
    from pipeline.models.classifier import Backbone
    from pipeline.models.deployed import Deployed
    from pipeline.models.pretraining import Pretraining, Reconstructing
    from pipeline.report.drawing import Picture

Arrays = dict[str, npt.NDArray[Any]]
Table = list[dict[str, object]]  # rows of the same columns


@dataclass(frozen=True)
class Subject:
    """One arm under one seed, trained; what a study measures.

    Attributes:
        config: The arm's settings.
        dataset: The images; a study looks at the test images only to judge what was chosen without them.
        held_out: Indices of the training images that pretraining did not see.
        embeddings: Standardised features of all training images, shape (N, features).
        backbone: Encoder and standardisation, in eval mode.
        model: The pretrained model around that encoder, in eval mode.
        histories: Learning curve of each cell, by "<mode>_<labels>": its columns.
        judge: A classifier that was trained on all labels and has nothing to do with the arms; None where the study
            asks for none.
        seed: The number of the pretraining and of the draw of the labels.
    """

    config: Experiment
    dataset: Dataset
    held_out: torch.Tensor
    embeddings: torch.Tensor
    backbone: Backbone
    model: Pretraining
    histories: Mapping[str, Mapping[str, Sequence[float]]]
    judge: Deployed | None
    seed: int

    @property
    def drawing_model(self) -> Reconstructing:
        """The model, where the study asks for one that decodes."""
        from pipeline.models.pretraining import Reconstructing

        assert isinstance(self.model, Reconstructing)
        return self.model


@dataclass(frozen=True)
class Measured:
    """The numbers that a study measured of a subject.

    Attributes:
        values: Numbers, columns of the study's results.csv.
        arrays: Arrays that the study's pictures are drawn from, by name.
    """

    values: dict[str, float]
    arrays: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredPoint:
    """One arm under one seed, measured.

    Attributes:
        arm: The name of the arm.
        seed: The number of the pretraining and of the draw of the labels.
        values: All numbers that there are of it: the pretraining's outcome, the errors of its cells by
            "<mode>_<labels>_e_in" and so on, and what the study measured.
        arrays_file: The file of the arrays.
    """

    arm: str
    seed: int
    values: dict[str, float]
    arrays_file: Path

    def arrays(self) -> Arrays:
        """Read the arrays that pictures are drawn from."""
        with np.load(self.arrays_file, allow_pickle=False) as stored:
            return dict(stored)


@dataclass(frozen=True)
class Points:
    """All points of a study, and its settings by arm.

    Attributes:
        points: Arm by arm, each in the order of its seeds.
        settings: The arms' settings, in the order of the config file.
    """

    points: Sequence[MeasuredPoint]
    settings: Mapping[str, Experiment]

    @property
    def dataset(self) -> str:
        """The name of the data set in tables."""
        return next(iter(self.settings.values())).data.title

    @property
    def grid(self) -> GridConfig:
        """The grid's settings, which are the same for all arms, unless the arms differ in how labels are drawn."""
        return next(iter(self.settings.values())).grid

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms, in the order of the config file."""
        return tuple(self.settings)

    def of(self, arm: str) -> list[MeasuredPoint]:
        """Return an arm's points, by seed."""
        return [point for point in self.points if point.arm == arm]

    def values(self, arm: str, name: str) -> list[float]:
        """Return a number of an arm, by seed."""
        return [point.values[name] for point in self.of(arm)]

    def interval(self, arm: str, name: str) -> Interval:
        """Return the mean of an arm's number over the seeds, with a 95 % t interval."""
        return mean_interval(self.values(arm, name))

    def mean(self, arm: str, name: str) -> float:
        """Return the mean of an arm's number over the seeds."""
        return self.interval(arm, name).mean

    def difference(self, first: str, second: str, name: str) -> Interval:
        """Return the mean of a number of the first arm minus that of the second, with a 95 % t interval."""
        return difference(self.values(first, name), self.values(second, name))

    def first(self, arm: str) -> Arrays:
        """Return the arrays of an arm's first seed, for pictures."""
        return self.of(arm)[0].arrays()


@dataclass(frozen=True)
class Finding:
    """One claim put to the test.

    Attributes:
        claim: The claim, in a sentence.
        criterion: The rule that decides, in a sentence that could be written before anything was measured.
        measured: The measurements, in sentences.
        holds: Whether the claim held.
    """

    claim: str
    criterion: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Study:
    """A claim of the theory, and how it is tested.

    Attributes:
        title: The subject, in a few words.
        claim: The claim, in a sentence.
        arms: The variants that are trained: by name, the settings in which each differs from the rest of the
            experiment, such as {"narrow": {"pretrain": {"latent": 2}}}. Where the config has ``study.arms``, those are
            trained instead.
        measure: Returns the numbers of one arm under one seed.
        conclude: Returns what the numbers of all points say.
        draw: Returns pictures by file name without its ending; none if there is nothing to show.
        tables: Returns tables by file name that are written beside results.csv; none if that says it all.
        any_arms: Whether the config may name any arms; otherwise ``conclude`` refers to those above by name.
        judged: Whether a judge is needed: the experiment's own network from scratch, on the grid's largest budget.
        validates: Whether it reads errors on validation labels, so that there have to be some.
        track_unseen_error: Whether its cells watch unseen images, see ``Cell``.
        one_encoder: Whether all seeds share one encoder, as in a comparison, and differ in the draw of labels alone.
        modes: Modes that the grid has to hold.
        decodes: Whether the pretraining method of every arm has to draw images from latents.
        has_prior: Whether the pretraining method of every arm has to have a prior to sample from.
        most_latent: The widest latent that an arm may have; None for any.

    Examples:
        >>> from pipeline.studies import find_study
        >>> study = find_study("bottleneck")
        >>> study.title
        'Bottleneck: width against depth'
    """

    title: str
    claim: str
    arms: Mapping[str, dict[str, Any]]
    measure: Callable[[Subject], Measured]
    conclude: Callable[[Points], list[Finding]]
    draw: Callable[[Points], dict[str, Picture]] = lambda points: {}
    tables: Callable[[Points], dict[str, Table]] = lambda points: {}
    any_arms: bool = False
    judged: bool = False
    validates: bool = False
    track_unseen_error: bool = False
    one_encoder: bool = False
    modes: tuple[str, ...] = ()
    decodes: bool = False
    has_prior: bool = False
    most_latent: int | None = None


def cell_rows(points: Points, column: str) -> Table:
    """Return a row for each cell with its error on the test images, to be put together with those of other data sets.

    Args:
        points: The study's points.
        column: The name of the column that holds the arm.
    """
    grid = points.grid
    return [
        {
            "dataset": points.dataset,
            column: point.arm,
            "mode": mode,
            "labels": labels,
            "seed": point.seed,
            "e_out": point.values[f"{mode}_{labels}_e_out"],
        }
        for point in points.points
        for labels in grid.labels
        for mode in grid.modes
    ]


def difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Return the mean of first minus second over the same seeds, with a 95 % t interval."""
    return mean_interval(np.subtract(first, second))


def below(interval: Interval) -> bool:
    """Whether the interval lies below 0; that of a single seed, which has no limits, never does."""
    return interval.high is not None and interval.high < 0


def above(interval: Interval) -> bool:
    """Whether the interval lies above 0; that of a single seed, which has no limits, never does."""
    return interval.low is not None and interval.low > 0


def show(interval: Interval, unit: str = "", scale: float = 1.0, digits: int = 2) -> str:
    """Write "2.31 ± 0.20 %": the mean and half of the interval, which a single seed does not have."""
    text = f"{scale * interval.mean:.{digits}f}"
    if interval.high is not None:
        text += f" ± {scale * (interval.high - interval.mean):.{digits}f}"
    return f"{text} {unit}".rstrip()


def points_of(interval: Interval) -> str:
    """Write an interval of error rates in percentage points."""
    return show(interval, "points", 100)
