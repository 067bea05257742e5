"""The one place that builds networks from settings, seeds, a Trainer and its callbacks."""

from __future__ import annotations

import copy
import inspect
import math
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed
from tqdm import tqdm

from pipeline import plugins
from pipeline.config import DistortionConfig, NetworkConfig, RuntimeConfig
from pipeline.datasets.augment import RandomDistortion, Sometimes
from pipeline.datasets.batches import InMemoryData
from pipeline.errors import PipelineError
from pipeline.models.encoders import Shape
from pipeline.resuming import AtomicCheckpoints, SaveEpochs, usable
from pipeline.team import OneBatch

_EXPECTED_WARNINGS = (
    r"Found \d+ module\(s\) in eval mode",  # a frozen encoder is meant to be
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6.6 beside torch 2.13; nothing of ours
)

History = list[dict[str, float]]
Precision = Literal["32-true", "bf16-mixed"]

ENCODERS = {"conv": "pipeline.models.encoders:ConvEncoder", "mlp": "pipeline.models.encoders:MLPEncoder"}


def make_encoder(config: NetworkConfig, in_shape: Shape, latent: int) -> nn.Module:
    """The encoder that the settings name, from images of this shape to this latent width."""
    return _make_network("encoder", config, ENCODERS, in_shape, latent)


def make_decoder(config: NetworkConfig, latent: int, out_shape: Shape) -> nn.Module:
    """The decoder that the settings name, from this latent width to images of this shape."""
    built_in = {"conv": "pipeline.models.decoders:ConvDecoder", "mlp": "pipeline.models.decoders:MLPDecoder"}
    return _make_network("decoder", config, built_in, latent, out_shape)


def _make_network(part: str, config: NetworkConfig, built_in: dict[str, str], *positional: Any) -> nn.Module:
    """A built-in by name, a package's, or a class by import path; all take the same two positional arguments."""
    factory = plugins.find(f"pretrain.{part}.name", config.name, built_in, f"pipeline.{part}s")
    arguments: dict[str, Any] = dict(config.args)
    if config.name in built_in:
        arguments["widths"] = config.widths
        if config.name == "conv":
            arguments["hidden"] = config.hidden
    try:
        inspect.signature(factory).bind(*positional, **arguments)
    except TypeError as error:
        raise PipelineError(f"pretrain.{part}: {config.name} was called with {arguments}: {error}") from error
    try:
        network: nn.Module = factory(*positional, **arguments)
    except Exception as error:  # the network is the user's: whatever it raises is what they have to see
        shown = plugins.own_traceback(error, __file__)
        raise PipelineError(f"pretrain.{part}: {config.name} failed\n{shown}") from error
    if part == "encoder" and not isinstance(getattr(network, "out_features", None), int):
        raise PipelineError(
            f"pretrain.encoder: {config.name} has no .out_features; expected how many features it makes"
        )
    return network


def make_distortion(config: DistortionConfig | None, untouched: float = 0.0) -> nn.Module:
    """The batched distortion with these strengths, of all images of a batch but a share; the identity for none."""
    if config is None:
        return nn.Identity()
    distortion = RandomDistortion(**asdict(config))
    return Sometimes(distortion, untouched) if untouched else distortion


def resolve_precision(runtime: RuntimeConfig) -> Precision:
    """Lightning's name of the precision: bfloat16 for "auto" only where the hardware computes it natively."""
    return explain_precision(runtime)[0]


def explain_precision(runtime: RuntimeConfig) -> tuple[Precision, str]:
    """The precision, and why it is that one."""
    if runtime.precision != "auto":
        chosen: Precision = "bf16-mixed" if runtime.precision == "bf16" else "32-true"
        return chosen, f"runtime.precision is {runtime.precision}"
    if _on_gpu(runtime):
        native, hardware = torch.cuda.is_bf16_supported(), "the GPU"
    else:
        native, hardware = bool(torch.cpu.get_capabilities().get("avx512_bf16")), "the CPU"
    if native:
        return "bf16-mixed", f"{hardware} computes bfloat16 natively"
    return "32-true", f"{hardware} does not compute bfloat16 natively"


def _on_gpu(runtime: RuntimeConfig) -> bool:
    return torch.cuda.is_available() and runtime.accelerator not in ("cpu", "mps")


@contextmanager
def threads(count: int) -> Iterator[int]:
    """Run a block with this many CPU threads; 0 leaves them as they are. Gives their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield count or before
    finally:
        torch.set_num_threads(before)


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
class FitResult:
    """What a training left behind, beside the weights.

    Attributes:
        history: One row an epoch, from epoch 1.
        best_epoch: The epoch whose weights the model holds now.
        stopped_epoch: The last epoch trained.
    """

    history: History
    best_epoch: int
    stopped_epoch: int


def fit(
    model: pl.LightningModule,
    data: InMemoryData,
    runtime: RuntimeConfig,
    max_epochs: int,
    measure: Callable[[], dict[str, float]],
    monitor: str | None = None,
    patience: int = 0,
    description: str = "",
    checkpoint: Path | None = None,
    apart: float = 0,
    tensorboard: Path | None = None,
) -> FitResult:
    """Train a model, measure it after every epoch and, with a monitor, stop early and restore the best weights.

    Args:
        model: Trained in place; a prior ``seed_everything`` decides augmentation and dropout.
        data: The batches.
        runtime: Device and precision, and how many processes train together: all of them call this.
        max_epochs: Upper limit.
        measure: Called after each epoch, by the first process; its numbers make the row of history.
        monitor: Column of history whose minimum is looked for; None trains to the end and keeps the last weights.
        patience: Epochs without a new minimum after which training stops.
        description: Shown beside the progress bar; empty for none.
        checkpoint: File that the training is saved to after each epoch, and goes on from if it is there; the result is
            the same to the bit. None for none.
        apart: Seconds between two savings, at least.
        tensorboard: Folder for TensorBoard's events, the columns of history; None for none.

    Raises:
        PipelineError: The loss became NaN or infinite, the device is not there, another process was lost, or the step
            cannot be compiled.
    """
    recorder = _Recorder(measure, monitor, patience)
    callbacks: list[pl.Callback] = [recorder]
    if runtime.processes > 1:
        callbacks.append(OneBatch())
    if description and runtime.progress:
        callbacks.append(_Progress(description, recorder))
    if tensorboard is not None:
        callbacks.append(_TensorBoard(tensorboard, recorder))
    if checkpoint is not None:
        callbacks.append(SaveEpochs(checkpoint, apart))  # last: what the others keep of an epoch belongs into it
    trainer = make_trainer(runtime, max_epochs, callbacks)
    start = checkpoint if usable(checkpoint) else None
    if runtime.compile and model.automatic_optimization:
        model.training_step = torch.compile(model.training_step)  # type: ignore[method-assign]
    _fit_or_stop(trainer, model.to(memory_format=torch.channels_last), data, start)
    model.trainer = None  # it holds the data, and a model outlives its training
    vars(model).pop("training_step", None)  # a compiled one cannot be pickled
    return recorder.finish(model)


def make_trainer(runtime: RuntimeConfig, max_epochs: int, callbacks: list[pl.Callback]) -> pl.Trainer:
    """A Trainer that logs, saves and prints nothing by itself.

    Raises:
        PipelineError: The device is not there.
    """
    try:
        return pl.Trainer(
            accelerator=runtime.accelerator,
            devices=runtime.devices,
            num_nodes=runtime.nodes,
            strategy="ddp" if runtime.processes > 1 else "auto",
            sync_batchnorm=runtime.processes > 1 and _on_gpu(runtime),  # torch has it for GPUs only
            precision=resolve_precision(runtime),
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


def _fit_or_stop(trainer: pl.Trainer, model: pl.LightningModule, data: InMemoryData, start: Path | None) -> None:
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


class _Recorder(pl.Callback):
    """Keeps the history, and the best weights in memory; Lightning leaves a model with its last ones.

    It stops the training, too: Lightning's EarlyStopping wants the number logged, which takes as long as several steps
    of a head.
    """

    def __init__(self, measure: Callable[[], dict[str, float]], monitor: str | None, patience: int) -> None:
        self.measure, self.monitor, self.patience = measure, monitor, patience
        self.history: History = []
        self.losses = torch.empty(0)  # of the epoch's steps
        self.best, self.best_epoch = math.inf, 0
        self.best_weights: dict[str, torch.Tensor] | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss: torch.Tensor = outputs["loss"]
        if batch_idx == 0:
            # one tensor for all: one kept from each step would lie between the large ones and hold the heap open
            self.losses = loss.new_empty(int(trainer.num_training_batches))
        self.losses[batch_idx] = loss  # read at the epoch's end only: a device need not wait for it at each step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        own = self.losses.mean()
        train_loss = trainer.strategy.reduce(own, reduce_op="mean")  # over the processes that train together
        row = {"epoch": float(trainer.current_epoch + 1), "train_loss": float(train_loss)}
        if trainer.is_global_zero:
            row |= self.measure()
        broken = trainer.strategy.broadcast([name for name, value in row.items() if not math.isfinite(value)])
        if broken:
            raise PipelineError(
                f"training diverged in epoch {trainer.current_epoch + 1}: {', '.join(broken)} is not a finite "
                "number; lower the learning rate"
            )
        self.history.append(row)
        if self.monitor is None:
            return
        if row[self.monitor] < self.best:
            self.best, self.best_epoch = row[self.monitor], len(self.history)
            self.best_weights = copy.deepcopy(pl_module.state_dict())
        elif len(self.history) - self.best_epoch >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": self.history,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    def finish(self, model: pl.LightningModule) -> FitResult:
        """Put the best weights back and hand out the history."""
        last = len(self.history)
        if self.best_weights is not None:
            model.load_state_dict(self.best_weights)
        return FitResult(self.history, self.best_epoch or last, last)


class _TensorBoard(pl.Callback):
    """Writes each row of history as events."""

    def __init__(self, folder: Path, recorder: _Recorder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.recorder, self.writer = recorder, SummaryWriter(folder)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        row = self.recorder.history[-1]
        for name, value in row.items():
            if name != "epoch":
                self.writer.add_scalar(name, value, int(row["epoch"]))
        self.writer.flush()  # a run is looked at while it goes on


class _Progress(pl.Callback):
    """A bar over all steps with rate and time left; a line an epoch where the output is not a terminal."""

    def __init__(self, description: str, recorder: _Recorder) -> None:
        self.description, self.recorder = description, recorder
        self.bar: tqdm | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
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
        assert self.bar is not None
        self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
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
        assert self.bar is not None
        self.bar.close()
