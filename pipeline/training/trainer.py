"""The one place that makes a Trainer with its callbacks, and seeds."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch._dynamo.exc import BackendCompilerFailed

from pipeline.config import RuntimeConfig
from pipeline.errors import PipelineError
from pipeline.models.cuda_graphs import Replayed, launches_alike
from pipeline.models.pretraining import Pretraining
from pipeline.training.checkpoints import AtomicCheckpoints, SaveEpochs, usable
from pipeline.training.device import on_gpu
from pipeline.training.distributed import OneBatch
from pipeline.training.precision import resolve_precision
from pipeline.training.recording import FitResult, Progress, Recorder, Rounds, Row, TensorBoard

_EXPECTED_WARNINGS = (
    r"Found \d+ module\(s\) in eval mode",  # a frozen encoder is meant to be
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6.6 beside torch 2.13; nothing of ours
)


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Run a block without the warnings that libraries give of one another."""
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    pl.seed_everything(seed, verbose=False)


@dataclass(frozen=True)
class Saving:
    """Where a training is saved, so that it can go on after a kill.

    Attributes:
        checkpoint: The file that the training is saved to after a round. If it exists, the training goes on from it,
            and ends with the same bits as without an interruption. None saves nothing.
        every: The least number of seconds between two savings.
    """

    checkpoint: Path | None = None
    every: float = 0.0


@dataclass(frozen=True)
class Showing:
    """How a training is shown while it goes on.

    Attributes:
        description: Text beside the progress bar; empty for no bar.
        tensorboard: Folder for TensorBoard's events, the columns of history; None for none.
    """

    description: str = ""
    tensorboard: Path | None = None


def fit(
    model: pl.LightningModule,
    data: pl.LightningDataModule,
    runtime: RuntimeConfig,
    rounds: Rounds,
    measure: Callable[[], Row],
    saving: Saving = Saving(),  # it cannot be changed
    showing: Showing = Showing(),
) -> FitResult:
    """Train a model, measure it after every round, and put the selected weights back.

    Args:
        model: Trained in place; a prior ``seed_everything`` decides augmentation and dropout.
        data: The batches.
        runtime: Device and precision, and how many processes train together: all of them call this.
        rounds: How long the training goes on, and when it ends before its time.
        measure: Gives the numbers of history after each round, in the first process.
        saving: Where the training is saved.
        showing: How it is shown.

    Raises:
        PipelineError: If the loss became NaN or infinite, the device is not there, another process was lost, or the
            step cannot be compiled.
    """
    recorder = Recorder(model, measure, rounds)
    callbacks: list[pl.Callback] = [recorder]
    if runtime.processes > 1:
        callbacks.append(OneBatch())
    if showing.description and runtime.progress:
        callbacks.append(Progress(showing.description, recorder))
    if showing.tensorboard is not None:
        callbacks.append(TensorBoard(showing.tensorboard, recorder))
    if saving.checkpoint is not None:  # last: what the others keep of a round belongs into it
        callbacks.append(SaveEpochs(saving.checkpoint, saving.every))
    trainer = make_trainer(runtime, rounds.count, callbacks)
    start = saving.checkpoint if usable(saving.checkpoint) else None
    if runtime.compile and model.automatic_optimization:
        model.training_step = torch.compile(model.training_step)  # type: ignore[method-assign]
    model.to(memory_format=torch.channels_last)
    _fit_or_stop(trainer, Replayed(model) if _can_replay(model, runtime) else model, data, start)
    model.trainer = None  # it holds the data, and a model outlives its training
    vars(model).pop("training_step", None)  # a compiled one cannot be pickled
    return recorder.finish()


def _can_replay(model: pl.LightningModule, runtime: RuntimeConfig) -> TypeGuard[Pretraining]:
    """Whether the steps of a training are replayed as CUDA graphs; what takes its own steps sees to that itself."""
    alone_on_gpu = on_gpu(runtime) and runtime.processes == 1 and not runtime.compile
    return alone_on_gpu and isinstance(model, Pretraining) and model.steps_alike and launches_alike(model)


def make_trainer(runtime: RuntimeConfig, max_epochs: int, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Make a Trainer that logs, saves and prints nothing by itself.

    Raises:
        PipelineError: If the device is missing.
    """
    try:
        return pl.Trainer(
            accelerator=runtime.accelerator,
            devices=runtime.devices,
            num_nodes=runtime.nodes,
            strategy="ddp" if runtime.processes > 1 else "auto",
            sync_batchnorm=runtime.processes > 1 and on_gpu(runtime),  # torch has it for GPUs only
            precision="bf16-mixed" if resolve_precision(runtime) == "bf16" else "32-true",
            max_epochs=max_epochs,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            plugins=[AtomicCheckpoints()],
        )
    except (ValueError, MisconfigurationException) as error:
        raise PipelineError(f"runtime.accelerator: {runtime.accelerator!r} cannot be used: {error}") from error


def _fit_or_stop(
    trainer: pl.Trainer, model: pl.LightningModule, data: pl.LightningDataModule, start: Path | None
) -> None:
    """Fit; an interrupted fit must not pass for a finished one, as Lightning would have it."""
    try:
        with expected_warnings():
            trainer.fit(model, datamodule=data, ckpt_path=start)
    except BackendCompilerFailed as error:
        reason = str(error).splitlines()[0]
        raise PipelineError(f"runtime.compile: {reason}; install a C++ compiler, or set it to false") from error
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except RuntimeError as error:
        if trainer.world_size == 1:
            raise
        raise PipelineError(
            f"process {trainer.global_rank} of {trainer.world_size}, from 0, cannot go on: {error}; the same command "
            "goes on after the last whole epoch"
        ) from error
    if trainer.received_sigterm:
        raise SystemExit(128 + signal.SIGTERM)
