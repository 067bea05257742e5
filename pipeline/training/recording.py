"""What is kept of a training while it goes on: its history, the best weights, a bar, curves."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
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
    """The rounds of a training, after each of which it is measured: epochs, or so many steps.

    Attributes:
        count: Largest number of rounds.
        unit: What history counts in, "epoch" or "step".
        size: Units a round.
        stopping: When training ends before its time and which weights are kept; None trains all rounds and keeps the
            last weights.
    """

    count: int
    unit: str = "epoch"
    size: int = 1
    stopping: Stopping | None = None


@dataclass(frozen=True)
class FitResult:
    """What a training left behind, beside the weights.

    Attributes:
        history: One row a measurement, in their order.
        kept: Number of the row whose weights the model holds now, from 0.
        most: Number of rows that there could have been.
    """

    history: History
    kept: int
    most: int

    @property
    def row(self) -> Row:
        """The row whose weights the model holds now."""
        return self.history[self.kept]

    @property
    def stopped_early(self) -> bool:
        """Whether training ended before its time."""
        return len(self.history) < self.most


class Recorder(pl.Callback):
    """Keeps the history, and the selected weights in memory; Lightning leaves a model with its last ones.

    It stops the training, too: Lightning's EarlyStopping wants the number logged, which takes as long as several steps
    of a head.

    Args:
        network: Whose weights are kept.
        measure: Called after each round; its numbers make the row of history.
        rounds: How the training is divided.
    """

    def __init__(self, network: nn.Module, measure: Callable[[], Row], rounds: Rounds) -> None:
        self.network, self.measure, self.rounds = network, measure, rounds
        self.history: History = []
        self.selection = Selection()
        self.kept_weights: dict[str, torch.Tensor] | None = None
        self.losses = torch.empty(0)  # of the round's steps

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the step's loss."""
        loss: torch.Tensor = outputs["loss"]
        if batch_idx == 0:
            # one tensor for all: one kept from each step would lie between the large ones and hold the heap open
            self.losses = loss.new_empty(int(trainer.num_training_batches))
        self.losses[batch_idx] = loss  # read at the round's end only: a device need not wait for it at each step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure, keep the weights if they are the ones to keep, and stop the training if it is to stop.

        Raises:
            PipelineError: If a number is not finite.
        """
        train_loss = trainer.strategy.reduce(self.losses.mean(), reduce_op="mean")  # over what trains together
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
        """What a checkpoint holds of this callback."""
        return {"history": self.history, "selection": vars(self.selection), "kept_weights": self.kept_weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.history, self.kept_weights = state_dict["history"], state_dict["kept_weights"]
        self.selection = Selection(**state_dict["selection"])

    def finish(self) -> FitResult:
        """Put the kept weights back and hand out the history."""
        if self.kept_weights is None:
            return FitResult(self.history, len(self.history) - 1, self.rounds.count)
        self.network.load_state_dict(self.kept_weights)
        return FitResult(self.history, self.selection.kept, self.rounds.count)


class TensorBoard(pl.Callback):
    """Writes each row of history as events."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.recorder, self.writer = recorder, SummaryWriter(folder)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last row."""
        row = self.recorder.history[-1]
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
