"""Callbacks that record a training: its history and the selected weights, a progress bar, curves for TensorBoard."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from tqdm import tqdm

from pipeline.errors import PipelineError
from pipeline.training.stopping import Selection, Stopping

Row = dict[str, float]
History = list[Row]


@dataclass(frozen=True)
class Rounds:
    """The rounds of a training, which is measured after each of them: epochs, or a number of steps.

    Attributes:
        count: The largest number of rounds.
        unit: The unit that the history counts in, "epoch" or "step".
        size: The number of units in a round.
        stopping: When the training ends early; the selected weights are kept. None trains all rounds and keeps the last
            weights.
    """

    count: int
    unit: str = "epoch"
    size: int = 1
    stopping: Stopping | None = None


@dataclass(frozen=True)
class FitResult:
    """The result of a training, beside the weights.

    Attributes:
        history: One row for each measurement, in order.
        kept: The number of the row whose weights the model has now, from 0.
        most: The number of rows of a training that is not stopped early.
    """

    history: History
    kept: int
    most: int

    @property
    def row(self) -> Row:
        """The row of history whose weights the model has now."""
        return self.history[self.kept]

    @property
    def stopped_early(self) -> bool:
        """Whether the training ended before its last round."""
        return len(self.history) < self.most


class Recorder(pl.Callback):
    """A callback that records the history, keeps the selected weights in memory, and stops the training.

    Lightning's EarlyStopping is not used: it needs the number to be logged, which takes as long as several steps of a
    head.

    Args:
        network: The network whose weights are kept.
        measure: Returns the numbers of a row of history; called after each round.
        rounds: How the training is divided into rounds, and when it ends.
    """

    def __init__(self, network: nn.Module, measure: Callable[[], Row], rounds: Rounds) -> None:
        self.network, self.measure, self.rounds = network, measure, rounds
        self.history: History = []
        self.selection = Selection()
        self.kept_weights: dict[str, torch.Tensor] | None = None
        self.losses = torch.empty(0)  # the losses of the steps of this round

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Store the loss of the step."""
        loss: torch.Tensor = outputs["loss"]
        if batch_idx == 0:
            # one tensor for all, since small ones from each step would fragment the heap
            self.losses = loss.new_empty(int(trainer.num_training_batches))
        self.losses[batch_idx] = (
            loss  # not read before the end of the round, so that the device need not wait at each step
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row to the history, keep the weights if they are selected, and decide whether the training stops.

        Raises:
            PipelineError: If a number of the row is not finite.
        """
        train_loss = trainer.strategy.reduce(self.losses.mean(), reduce_op="mean")  # the mean over all processes
        done = (trainer.current_epoch + 1) * self.rounds.size
        row = {self.rounds.unit: float(done), "train_loss": float(train_loss)}
        if trainer.is_global_zero:
            row |= self.measure()
        broken = trainer.strategy.broadcast([name for name, value in row.items() if not math.isfinite(value)])
        if broken:
            raise PipelineError(
                f"training diverged in {self.rounds.unit} {done}: {', '.join(broken)} is not a finite number; lower "
                "the learning rate"
            )
        self.history.append(row)
        if self.rounds.stopping is not None:
            if self.selection.take(row):
                self.kept_weights = copy.deepcopy(self.network.state_dict())
            trainer.should_stop |= self.selection.ends(self.rounds.stopping)

    def state_dict(self) -> dict[str, Any]:
        """Return the history, the selection and the kept weights, for a checkpoint."""
        return {"history": self.history, "selection": vars(self.selection), "kept_weights": self.kept_weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history, the selection and the kept weights from a checkpoint."""
        self.history, self.kept_weights = state_dict["history"], state_dict["kept_weights"]
        self.selection = Selection(**state_dict["selection"])

    def finish(self) -> FitResult:
        """Load the kept weights into the network, and return the result of the training."""
        if self.kept_weights is None:
            return FitResult(self.history, len(self.history) - 1, self.rounds.count)
        self.network.load_state_dict(self.kept_weights)
        return FitResult(self.history, self.selection.kept, self.rounds.count)


class TensorBoard(pl.Callback):
    """A callback that writes each row of history as events for TensorBoard."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.recorder, self.writer = recorder, SummaryWriter(folder)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last row."""
        row = self.recorder.history[-1]
        for name, value in row.items():
            if name != "epoch":
                self.writer.add_scalar(name, value, int(row["epoch"]))
        self.writer.flush()  # so that curves can be seen while the training goes on


class Progress(pl.Callback):
    """A callback that shows a progress bar over all steps.

    Without a terminal, or in a worker, whose bar would be mixed with those of others, it prints a line for each epoch.
    """

    def __init__(self, description: str, recorder: Recorder) -> None:
        self.description, self.recorder = description, recorder
        self.bar: tqdm | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        total = int(trainer.estimated_stepping_batches)
        self.bar = tqdm(
            total=total,
            initial=trainer.global_step,  # not 0 if a killed training goes on
            desc=self.description,
            unit="step",
            disable=None if current_process().name == "MainProcess" else True,
            mininterval=0.5,
        )

    def on_train_batch_end(self, *_: Any) -> None:
        """Count the step."""
        assert self.bar is not None
        self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the numbers of the last row of history."""
        assert self.bar is not None
        row = self.recorder.history[-1]
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
        if self.bar.disable:
            print(
                f"{self.description}: epoch {len(self.recorder.history)}/{trainer.max_epochs}: {numbers}",
                flush=True,
            )
        else:
            self.bar.set_postfix_str(numbers)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        assert self.bar is not None
        self.bar.close()
