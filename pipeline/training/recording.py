"""What is kept of a training while it goes on: its history, the best weights, a bar, curves."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from tqdm import tqdm

from pipeline.errors import PipelineError

Row = dict[str, float]
History = list[Row]


@dataclass(frozen=True)
class Monitored:
    """What of a training is measured, ends, and is given its best weights back by itself: mostly, the whole model.

    Attributes:
        network: Whose weights are kept.
        measure: Called after each epoch; its numbers make the row of history.
    """

    network: nn.Module
    measure: Callable[[], Row]


@dataclass(frozen=True)
class FitResult:
    """What a training left behind, beside the weights.

    Attributes:
        history: One row an epoch, from epoch 1.
        best_epoch: The epoch whose weights the model holds now.
        stopped_epoch: The last epoch trained.
        max_epochs: The epoch at which training would have ended at the latest.
    """

    history: History
    best_epoch: int
    stopped_epoch: int
    max_epochs: int


@dataclass
class _Course:
    """How a part has fared so far: its history, its best epoch, and whether it has ended."""

    history: History = field(default_factory=list)
    best: float = math.inf
    best_epoch: int = 0
    best_weights: dict[str, torch.Tensor] | None = None
    ended: bool = False

    def take(self, row: Row, monitor: str, patience: int, network: nn.Module) -> None:
        """Add an epoch, and end without a new minimum for so many."""
        if row[monitor] < self.best:
            self.best, self.best_epoch = row[monitor], len(self.history)
            self.best_weights = copy.deepcopy(network.state_dict())
        else:
            self.ended = len(self.history) - self.best_epoch >= patience

    def finish(self, network: nn.Module, max_epochs: int) -> FitResult:
        """Put the best weights back."""
        last = len(self.history)
        if self.best_weights is not None:
            network.load_state_dict(self.best_weights)
        return FitResult(self.history, self.best_epoch or last, last, max_epochs)


class Recorder(pl.Callback):
    """Keeps the history, and the best weights in memory; Lightning leaves a model with its last ones.

    It stops the training, too, when all parts have ended: Lightning's EarlyStopping wants the number logged, which
    takes as long as several steps of a head.

    Args:
        parts: Of the model; its steps' loss is one number, or one for each part, shape (parts,).
        monitor: Column of history whose minimum ends a part; None for none.
        patience: Epochs without a new minimum after which it does.
    """

    def __init__(self, parts: Sequence[Monitored], monitor: str | None, patience: int) -> None:
        self.parts, self.monitor, self.patience = parts, monitor, patience
        self.courses = [_Course() for _ in parts]
        self.losses = torch.empty(0)  # of the epoch's steps

    @property
    def rows(self) -> History:
        """History of the first part."""
        return self.courses[0].history

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the step's loss."""
        loss: torch.Tensor = outputs["loss"]
        if batch_idx == 0:
            # one tensor for all: one kept from each step would lie between the large ones and hold the heap open
            self.losses = loss.new_empty(len(self.parts), int(trainer.num_training_batches))
        self.losses[:, batch_idx] = loss  # read at the epoch's end only: a device need not wait for it at each step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure what has not ended, and stop the training when all has.

        Raises:
            PipelineError: A number is not finite.
        """
        going_on = False
        for part, course, losses in zip(self.parts, self.courses, self.losses, strict=True):
            if course.ended:
                continue
            train_loss = trainer.strategy.reduce(losses.mean(), reduce_op="mean")  # over what trains together
            row = {"epoch": float(trainer.current_epoch + 1), "train_loss": float(train_loss)}
            if trainer.is_global_zero:
                row |= part.measure()
            broken = trainer.strategy.broadcast([name for name, value in row.items() if not math.isfinite(value)])
            if broken:
                raise PipelineError(
                    f"training diverged in epoch {trainer.current_epoch + 1}: {', '.join(broken)} is not a finite "
                    "number; lower the learning rate"
                )
            course.history.append(row)
            if self.monitor is not None:
                course.take(row, self.monitor, self.patience, part.network)
            going_on |= not course.ended
        trainer.should_stop |= not going_on

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of this callback."""
        return {"courses": [dict(vars(course)) for course in self.courses]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.courses = [_Course(**state) for state in state_dict["courses"]]

    def finish(self, max_epochs: int) -> list[FitResult]:
        """Put the best weights back and hand out the histories."""
        return [course.finish(part.network, max_epochs) for part, course in zip(self.parts, self.courses, strict=True)]


class TensorBoard(pl.Callback):
    """Writes each row of history as events."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.recorder, self.writer = recorder, SummaryWriter(folder)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last row."""
        row = self.recorder.rows[-1]
        for name, value in row.items():
            if name != "epoch":
                self.writer.add_scalar(name, value, int(row["epoch"]))
        self.writer.flush()  # a run is looked at while it goes on


class Progress(pl.Callback):
    """A bar over all steps with rate and time left; a line an epoch where the output is not a terminal."""

    def __init__(self, description: str, recorder: Recorder) -> None:
        self.description, self.recorder = description, recorder
        self.bar: tqdm | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        total = int(trainer.estimated_stepping_batches)
        self.bar = tqdm(
            total=total,
            initial=trainer.global_step,  # not 0 where a killed training goes on
            desc=self.description,
            unit="step",
            disable=None,
            mininterval=0.5,
        )

    def on_train_batch_end(self, *_: Any) -> None:
        """Count the step."""
        assert self.bar is not None
        self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what was measured."""
        assert self.bar is not None
        row = self.recorder.rows[-1]
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
        if self.bar.disable:
            print(
                f"{self.description}: epoch {len(self.recorder.rows)}/{trainer.max_epochs}: {numbers}",
                flush=True,
            )
        else:
            self.bar.set_postfix_str(numbers)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        assert self.bar is not None
        self.bar.close()
