"""The experiment: all sections of the settings together, checked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.config.checks import check_folder_name
from pipeline.config.data import DataConfig
from pipeline.config.grid import GridConfig, StudyConfig
from pipeline.config.invariances import InvariancesConfig
from pipeline.config.plain import JsonObject, parse
from pipeline.config.pretrain import PretrainConfig
from pipeline.config.runtime import RuntimeConfig
from pipeline.config.train import TrainConfig

ABLATED = ("finetune", "scratch")  # modes that an ablation trains once more


@dataclass(frozen=True)
class Experiment:
    """One experiment; everything it makes lies in runs/<name>/.

    Attributes:
        name: Name of the experiment's folder below runs.
        runs: Folder of all experiments.
        data: The images.
        invariances: The changes that leave an image's class as it is.
        pretrain: How the encoder is pretrained.
        train: How classifiers are trained.
        grid: The cells that compare trains.
        study: The study that study makes.
        runtime: Where and how the commands run.
    """

    name: str = "mnist"
    runs: str = "runs"
    data: DataConfig = field(default_factory=DataConfig)
    invariances: InvariancesConfig = field(default_factory=InvariancesConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    grid: GridConfig = field(default_factory=GridConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        check_folder_name("name", self.name)
        object.__setattr__(self, "runs", str(Path(self.runs).expanduser()))

    @property
    def folder(self) -> Path:
        """The folder of all that the experiment makes."""
        return Path(self.runs) / self.name

    @property
    def by_encoder(self) -> tuple[Experiment, ...]:
        """The experiment once for each encoder of its grid, with the seed of that encoder's pretraining."""
        seeds = range(self.pretrain.seed, self.pretrain.seed + self.grid.encoders)
        return tuple(replace(self, pretrain=replace(self.pretrain, seed=seed)) for seed in seeds)

    @property
    def ablation(self) -> Experiment | None:
        """The experiment whose grid is trained once more as if no invariances were known, at the smallest budget.

        It is None unless the grid asks for it; where invariances name none; where ``grid.modes`` has none of the modes
        that are trained so; and where labels are chosen, by an encoder that knows the invariances.
        """
        grid = self.grid
        modes = tuple(mode for mode in ABLATED if mode in grid.modes)
        if not (grid.ablation and modes and self.invariances.amounts()) or grid.sampling == "chosen":
            return None
        smallest = replace(grid, modes=modes, labels=(min(grid.labels),), baselines=False, ablation=False)
        return replace(self, invariances=InvariancesConfig("none"), grid=smallest)


def from_parsed(chosen: Any) -> Experiment:
    """Make the experiment from a parser's namespace, which may also hold a stage's own options."""
    return Experiment(**{field.name: chosen[field.name] for field in dataclasses.fields(Experiment)})


def from_dict(settings: JsonObject, where: str) -> Experiment:
    """Make an experiment from plain JSON types, checked like those of a config file: the inverse of ``as_dict``.

    Args:
        settings: Values by the names of the settings; what is missing takes its default.
        where: Beginning of the message if a setting is refused.

    Raises:
        PipelineError: If a setting is unknown or not allowed; the message starts with ``where``.
    """
    return from_parsed(parse(Experiment, None, settings, where))
