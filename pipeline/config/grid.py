"""The sections ``grid`` and ``study``: which classifiers are trained and compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.config.checks import check_folder_name
from pipeline.config.plain import JsonObject
from pipeline.errors import require
from pipeline.modes import check_name


@dataclass(frozen=True)
class GridConfig:
    """The cells that compare trains: modes x labels x draws x encoders.

    Attributes:
        modes: Modes by name: those that `train --help` lists, those that installed packages add, and import paths
            "module:OBJECT" of your own.
        labels: Label budgets, validation included.
        sampling: How a labelled subset is drawn: "stratified" takes the classes in turn, for which the labels
            of all images have to be known; "random" takes any image, as a user does who has labelled nothing yet; the
            test images of a class that it misses count as errors; "chosen" takes the images that ``strategy`` chooses
            by their embeddings with the draw's seed, which may miss a class, too.
        strategy: The strategy that chooses images where sampling is "chosen": one that `suggest --help` lists, one that
            an installed package adds, or the import path "module:OBJECT" of your own.
        draws: Number of random draws of the labelled subset, with the seeds 0, 1, ...; every mode sees the same ones.
            The exact paired test can give p < 0.05 from six draws on, and for six differences at once from eight on.
        encoders: Number of encoders that are pretrained, with the seeds pretrain.seed, pretrain.seed + 1, ...; each
            mode that starts from one is trained with each of them on each draw. With one, the intervals do not say how
            much another pretraining would change.
        margin: Difference in E_out, in percentage points, up to which two modes count as equally good.
        ablation: Whether finetune and scratch, as far as modes names them, are trained once more with the smallest
            budget and without any invariances, from an encoder that was pretrained without any, so that the report can
            tell the gain from invariances and that from images without labels apart. It takes one more pretraining.
            Where labels are chosen, by an encoder that knows the invariances, there is no such training.
        jobs: Number of encoders, and then of cells, that are trained at a time on this machine; 0 takes all cores. On a
            cluster each worker trains one.
        baselines: Whether the classical baselines are trained on the same draws.
    """

    modes: tuple[str, ...] = ("frozen", "finetune", "scratch")
    labels: tuple[int, ...] = (100, 1000)
    sampling: Literal["stratified", "random", "chosen"] = "stratified"
    strategy: str = "typiclust"
    draws: int = 8
    encoders: int = 1
    margin: float = 0.1
    ablation: bool = False
    jobs: int = 0
    baselines: bool = True

    def __post_init__(self) -> None:
        require(len(self.modes) > 0, "grid.modes", self.modes, "at least one mode")
        require(len(set(self.modes)) == len(self.modes), "grid.modes", self.modes, "each mode once")
        for mode in self.modes:
            check_name("grid.modes", mode)
        require(len(self.labels) > 0, "grid.labels", self.labels, "at least one budget")
        require(all(n > 0 for n in self.labels), "grid.labels", self.labels, "positive budgets")
        require(len(set(self.labels)) == len(self.labels), "grid.labels", self.labels, "each budget once")
        require(self.draws > 0, "grid.draws", self.draws, "at least 1")
        require(self.encoders > 0, "grid.encoders", self.encoders, "at least 1")
        if self.sampling == "chosen":  # else labels would differ between the modes that are compared
            require(self.encoders == 1, "grid.encoders", self.encoders, "1 where labels are chosen by the encoder")
        require(0 <= self.margin <= 100, "grid.margin", self.margin, "percentage points, 0 to 100")
        require(self.jobs >= 0, "grid.jobs", self.jobs, "0 (all cores) or a number of processes")


@dataclass(frozen=True)
class StudyConfig:
    """The study that stage study makes; no other stage reads this section.

    Attributes:
        name: A study by name, see the stage's help; a name that an installed package adds; or the import path
            "module:object" of your own.
        arms: Arms that are trained in place of the study's own: by an arm's name, the settings in which it differs
            from the rest of the experiment, such as {pretrain: {latent: 2}}. Every arm is pretrained once for each draw
            of the grid, with its seed.
    """

    name: str = ""
    arms: dict[str, JsonObject] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for arm in self.arms:
            check_folder_name("study.arms", arm)
