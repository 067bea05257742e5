"""The section ``train``: how classifiers are trained."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from typing import Literal

from pipeline.config.plain import JsonObject, as_dict, merged, parse
from pipeline.config.unlabelled import GraphConfig, SelfTrainingConfig
from pipeline.errors import PipelineError, require
from pipeline.modes import FitChanges, Mode, check_name, find_mode

# settings of train that no trial of a cell may change
SHARED = ("validation", "refit", "val_fraction", "folds", "trials")


@dataclass(frozen=True)
class TrainConfig:
    """How a classifier is trained on the labelled subset: one recipe for every mode and every data set.

    A head on a frozen encoder is fitted to convergence, once for each of the strengths in l2. Everything else is
    trained by AdamW in steps, with a linear warm-up and a cosine decay of the learning rate; the exponential moving
    average (EMA) of the weights is measured at even intervals. The measurement that is kept is the last one whose
    validation loss is within one standard error of the lowest, since the loss of few images is mostly chance.

    Attributes:
        validation: How the kept measurement is chosen within the label budget: "holdout" trains on a part of the labels
            and measures the rest; "kfold" leaves each fold out of one training, chooses where these trainings do best
            together, and trains again on all labels for as many steps; "none" trains on all labels and leaves none to
            choose by, for budgets that are too small for that: every training takes all its steps and its last
            measurement is kept, a head takes the middle one of l2, and probabilities are not calibrated.
        refit: Whether holdout, too, trains again on all labels, for as many steps, which takes twice as long.
        val_fraction: Share of the label budget that holdout leaves out; the rest is trained on.
        folds: Number of folds of kfold.
        head_widths: Hidden layers of the head; none makes it linear. Where labels are spread, graph has its own.
        batch_size: Number of labelled images in each step.
        length: Number of steps of a training on labels alone, for each square root of a label in the budget: 500 steps
            with 100 labels, 1581 with 1000.
        unlabelled_steps: Number of steps of a training that also learns from images without labels, in modes that
            spread labels.
        evaluations: Number of times that a training is measured, at even intervals of steps.
        minimum: Share of the steps before which no training is stopped.
        patience: Share of the steps after which a training is stopped if in all of them the validation loss stayed more
            than a standard error above its lowest value and E_in did not fall; 0 never stops.
        warmup: Number of steps in which the learning rate rises, at most half of all.
        weight_decay: Weight decay of AdamW, for encoder and head, in a training on labels alone.
        unlabelled_weight_decay: The same in a training that also learns from images without labels: with so many
            examples, a strong decay does harm. It keeps the network from contradicting a spread label that is wrong.
        label_smoothing: Share of a label that is spread evenly over all classes, 0 to 1; not used for labels that were
            spread over a graph, which are probabilities already.
        class_weights: "balanced" lets every class count the same in the loss of every mode, however many of the labels
            are its own; "none" lets every label count the same.
        ema_decay: Share of its value that the EMA of the weights keeps at each step; 0 keeps the weights themselves.
        l2: Strengths of the L2 penalty that a head on a frozen encoder is fitted with, in units of the cross-entropy of
            one label; the validation labels choose among them. Without any, the middle one is taken; of an even
            number, the stronger of the two in the middle.
        augment: Strength of the invariances in the images that an encoder is trained on, the same in every mode; 0 for
            none. The embeddings that a head alone is trained on are those of clean images.
        clean_fraction: Share of these images that are not augmented. A network that was trained on augmented images
            alone errs more on clean ones, which its BatchNorm statistics do not include.
        modes: By a mode's name, changes of its own settings, such as {finetune: {encoder_lr: 0.001}}; all others keep
            the mode's defaults. The settings are encoder_lr, head_lr and head_first, which pipeline.modes.FitConfig
            explains.
        graph: How labels are spread over images without labels.
        self_training: How an encoder learns spread labels.
        trials: By the mode's name, other settings of this section that each cell tries beside those above, such as
            [{weight_decay: 0.1}, {modes: {finetune: {encoder_lr: 0.0003}}}]. The cell keeps those with the lowest error
            on its own validation labels, or, among equal errors, the lowest loss; so the choice is paid for out of the
            label budget. In a grid, every mode needs the same number of trials. With validation "none", there are none.
    """

    validation: Literal["holdout", "kfold", "none"] = "holdout"
    refit: bool = False
    val_fraction: float = 0.2
    folds: int = 5
    head_widths: tuple[int, ...] = ()
    batch_size: int = 64
    length: float = 50.0
    unlabelled_steps: int = 2000
    evaluations: int = 20
    minimum: float = 0.4
    patience: float = 0.4
    warmup: int = 50
    weight_decay: float = 1.0
    unlabelled_weight_decay: float = 0.3
    label_smoothing: float = 0.1
    class_weights: Literal["none", "balanced"] = "none"
    ema_decay: float = 0.99
    l2: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    augment: float = 0.5
    clean_fraction: float = 0.25
    modes: dict[str, FitChanges] = field(default_factory=dict, hash=False)
    graph: GraphConfig = field(default_factory=GraphConfig)
    self_training: SelfTrainingConfig = field(default_factory=SelfTrainingConfig)
    trials: dict[str, list[JsonObject]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        require(0 < self.val_fraction < 1, "train.val_fraction", self.val_fraction, "a share between 0 and 1")
        require(self.folds > 1, "train.folds", self.folds, "at least 2")
        least = 4 if self.validation == "kfold" else 2  # of which a fold learns from half, and BatchNorm from two
        require(self.batch_size >= least, "train.batch_size", self.batch_size, f"at least {least} images")
        require(all(w > 0 for w in self.head_widths), "train.head_widths", self.head_widths, "positive sizes")
        require(0 < self.length < math.inf, "train.length", self.length, "a positive number of steps")
        for name in ("unlabelled_steps", "evaluations"):
            value = getattr(self, name)
            require(value > 0, f"train.{name}", value, "at least 1")
        for name in ("warmup", "weight_decay", "unlabelled_weight_decay", "augment"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"train.{name}", value, "at least 0")
        for name in ("minimum", "patience"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"train.{name}", value, "a share of the steps, 0 to 1")
        for name in ("label_smoothing", "ema_decay", "clean_fraction"):
            value = getattr(self, name)
            require(0 <= value < 1, f"train.{name}", value, "a share of at least 0, below 1")
        require(len(self.l2) > 0, "train.l2", self.l2, "at least one strength")
        require(all(0 < value < math.inf for value in self.l2), "train.l2", self.l2, "positive strengths")
        for name in self.modes:
            self.mode(name)
        if any(self.trials.values()):
            expected = "none where train.validation is none, which leaves no label to choose by"
            require(self.validation != "none", "train.trials", list(self.trials), expected)
        for name in self.trials:
            check_name("train.trials", name)
            self.candidates(name)

    def mode(self, name: str) -> Mode:
        """Return the mode of this name with the settings that this section gives it.

        Raises:
            PipelineError: If there is no such mode, or a setting is impossible for it.
        """
        try:
            mode = find_mode(name).changed(self.modes.get(name, FitChanges()))
        except PipelineError as error:
            raise PipelineError(f"train.modes.{name}: {error}" if name in self.modes else str(error)) from error
        if mode.self_trains:
            expected = f"a share above 0 for mode {name}, whose EMA confirms the spread labels"
            require(self.ema_decay > 0, "train.ema_decay", self.ema_decay, expected)
        return mode

    def candidates(self, mode: str) -> tuple[TrainConfig, ...]:
        """Return the settings that a cell of the mode chooses among: these, and these with the changes of each trial.

        Raises:
            PipelineError: If a trial changes what it may not, or a setting to what it cannot be.
        """
        if not self.trials.get(mode):
            return (replace(self, trials={}) if self.trials else self,)
        return _candidates(self, mode)


@functools.lru_cache(maxsize=64)  # a cell's identity is asked for often, and checking settings takes a while
def _candidates(train: TrainConfig, mode: str) -> tuple[TrainConfig, ...]:
    own = replace(train, trials={})
    candidates = [own]
    for number, changes in enumerate(train.trials.get(mode, ()), 1):
        where = f"train.trials.{mode}, {number} of {len(train.trials[mode])}"
        for name in SHARED:
            require(name not in changes, f"{where}: {name}", changes.get(name), "to be the same for all trials")
        changed: TrainConfig = parse(TrainConfig, "train", {"train": merged(as_dict(own), changes)}, where)["train"]
        for name in ("neighbours", "search"):
            value = getattr(changed.graph, name)
            same = value == getattr(train.graph, name)
            require(same, f"{where}: graph.{name}", value, "the graph to be the same for all trials")
        candidates.append(changed)
    return tuple(candidates)
