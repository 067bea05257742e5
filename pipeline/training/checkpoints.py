"""Checkpoints, from which a killed training goes on after its last saved epoch, with the same bits as without the kill.

Lightning's checkpoints hold weights, optimiser, schedule and loops. The states of the random generators, which
corruption and dropout depend on, are added here. A file begins with the SHA-256 of its content and is written
atomically, so that a kill while it is written leaves the previous one. It is read as plain data, never as code.
"""

from __future__ import annotations

import hashlib
import io
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import distributed

from pipeline.errors import PipelineError
from pipeline.store import disk
from pipeline.training.recording import Recorder

PARTS = {"epoch", "state_dict", "optimizer_states", "callbacks", "loops"}  # keys of a Lightning checkpoint
BRIEF = 10.0  # seconds between two savings of a short training, which is cheap to repeat


class NoCheckpointError(Exception):
    """A file is not a complete checkpoint as it was written."""


class AtomicCheckpoints(TorchCheckpointIO):
    """A Lightning plug-in that writes checkpoints atomically, and loads them without running code.

    Unlike Lightning's own writer, it reports a PermissionError.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint to a temporary file and rename it.

        Raises:
            PipelineError: If the folder cannot be written to, or the disk is full.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        disk.write_atomic(Path(path), hashlib.sha256(content.getbuffer()).digest() + content.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint of tensors and plain values; torch refuses anything else.

        Raises:
            NoCheckpointError: If a byte was changed, or parts are missing.
        """
        content = Path(path).read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            raise NoCheckpointError("its SHA-256 is not the one that it holds")
        checkpoint: dict[str, Any] = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
        if not (isinstance(checkpoint, dict) and checkpoint.keys() >= PARTS and _states_in(checkpoint)):
            raise NoCheckpointError("parts of it are missing")
        return checkpoint


class SaveEpochs(pl.Callback):
    """A callback that saves the training after an epoch, and restores the random generators when it goes on.

    Args:
        path: The checkpoint's file.
        save_every: The least number of seconds between two savings; 0 saves every epoch.
    """

    def __init__(self, path: Path, save_every: float) -> None:
        self.path, self.save_every = path, save_every
        self.saved = time.monotonic()
        self.restored: dict[str, Any] | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the random generators, after the start of the training has drawn from them."""
        if self.restored is not None:
            set_random_states(self.restored)
            self.restored = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the training; this is the last callback, so that the others' states of this epoch are included.

        The epoch at which early stopping ends is not saved, since going on from it would train one more.
        """
        if not trainer.should_stop and time.monotonic() - self.saved >= self.save_every:
            trainer.save_checkpoint(self.path)
            self.saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the random generators of all processes; each process calls this."""
        if not distributed.is_initialized():
            return {"random": [random_states()]}
        gathered: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(gathered, random_states())
        return {"random": gathered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the generators' states of this process until the first epoch begins.

        Raises:
            PipelineError: If the training was begun by another number of processes.
        """
        states = state_dict["random"]
        rank, processes = 0, 1
        if distributed.is_initialized():
            rank, processes = distributed.get_rank(), distributed.get_world_size()
        if len(states) != processes:
            raise PipelineError(
                f"{self.path} is of a training by {len(states)} processes, but this one has {processes}; use the same "
                "number (runtime.devices x runtime.nodes), or delete the file to begin anew"
            )
        self.restored = states[rank]


def usable(path: Path | None) -> bool:
    """Whether there is a complete checkpoint at the path; a message is printed if there is one that cannot be read."""
    if path is None or not path.is_file():
        return False
    try:
        AtomicCheckpoints().load_checkpoint(path)
    except Exception as error:  # a broken or hostile file can raise anything
        reason = error if isinstance(error, NoCheckpointError) else type(error).__name__
        print(f"{path} cannot be read ({reason}); training begins anew")
        return False
    return True


def _states_in(checkpoint: dict[str, Any]) -> bool:
    """Whether a checkpoint holds the history and the generators' states, which those of older versions lack."""
    callbacks = checkpoint["callbacks"]
    return Recorder.__qualname__ in callbacks and "random" in callbacks.get(SaveEpochs.__qualname__, {})


def random_states() -> dict[str, Any]:
    """Return the states of the random generators of Python, NumPy and torch, as plain values and tensors."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],  # each process has one device
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Set the random generators to states that ``random_states`` has returned."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(states["numpy"]))
    torch.set_rng_state(states["torch"])
    for state in states["cuda"]:
        torch.cuda.set_rng_state(state)
