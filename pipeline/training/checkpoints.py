"""A killed training goes on where its last epoch ended, bit for bit as if nothing had happened.

Lightning's checkpoints hold weights, optimiser, schedule and loops. What they lack is the state of the random
generators, without which corruption and dropout would differ from then on; it is added here. They are read as plain
data, never as code, begin with the SHA-256 of the rest, and are written so that a kill in the midst of writing leaves
the one before.
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

PARTS = {"epoch", "state_dict", "optimizer_states", "callbacks", "loops"}  # of a checkpoint of Lightning's
BRIEF = 10.0  # seconds of training that are repeated rather than saved


class NoCheckpointError(Exception):
    """A file is not a checkpoint as it was written here."""


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all, and loaded without running what they hold.

    Lightning's own writer swallows a PermissionError.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside, then rename.

        Raises:
            PipelineError: The folder cannot be written to, or the disk is full.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        disk.write_atomic(Path(path), hashlib.sha256(content.getbuffer()).digest() + content.getbuffer())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Tensors and plain values; anything else is refused by torch.

        Raises:
            NoCheckpointError: A byte was changed, or parts are missing.
        """
        content = Path(path).read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            raise NoCheckpointError("its SHA-256 differs from the one that stands in it")
        checkpoint: dict[str, Any] = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
        if not (isinstance(checkpoint, dict) and checkpoint.keys() >= PARTS and _states_in(checkpoint)):
            raise NoCheckpointError("parts of it are missing")
        return checkpoint


class SaveEpochs(pl.Callback):
    """Saves the training after an epoch, and restores the random generators of every process when it goes on.

    Args:
        path: The checkpoint's file.
        save_every: Seconds between two savings, at least; 0 saves every epoch.
    """

    def __init__(self, path: Path, save_every: float) -> None:
        self.path, self.save_every = path, save_every
        self.saved = time.monotonic()
        self.restored: dict[str, Any] | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the generators where they stood, once everything that draws from them in starting has been made."""
        if self.restored is not None:
            set_random_states(self.restored)
            self.restored = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save; the last of the callbacks, so that what the others keep of this epoch is in it.

        The epoch that early stopping ends with is not saved: going on from it would train one more.
        """
        if not trainer.should_stop and time.monotonic() - self.saved >= self.save_every:
            trainer.save_checkpoint(self.path)
            self.saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint holds of this callback; each process is asked for it."""
        if not distributed.is_initialized():
            return {"random": [random_states()]}
        gathered: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(gathered, random_states())
        return {"random": gathered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep this process's states until the first epoch begins.

        Raises:
            PipelineError: The training was begun by another number of processes.
        """
        states = state_dict["random"]
        rank, processes = (
            (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
        )
        if len(states) != processes:
            raise PipelineError(
                f"{self.path} is of a training by {len(states)} processes, this is one by {processes}; go on with as "
                "many (runtime.devices x runtime.nodes), or delete it to begin anew"
            )
        self.restored = states[rank]


def usable(path: Path | None) -> bool:
    """Whether a checkpoint is there and whole; one that cannot be read is said to be left out."""
    if path is None or not path.is_file():
        return False
    try:
        AtomicCheckpoints().load_checkpoint(path)
    except Exception as error:  # whatever a broken or hostile file raises, it is not gone on from
        reason = error if isinstance(error, NoCheckpointError) else type(error).__name__
        print(f"{path} cannot be read ({reason}); training begins anew")
        return False
    return True


def _states_in(checkpoint: dict[str, Any]) -> bool:
    """Whether history and the generators' states are there, as they are not in a checkpoint of an older version."""
    callbacks = checkpoint["callbacks"]
    return Recorder.__qualname__ in callbacks and "random" in callbacks.get(SaveEpochs.__qualname__, {})


def random_states() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's generators, as plain values and tensors."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],  # each process has one
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Put the generators into states that ``random_states`` gave."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(states["numpy"]))
    torch.set_rng_state(states["torch"])
    for state in states["cuda"]:
        torch.cuda.set_rng_state(state)
