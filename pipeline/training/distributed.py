"""Several processes, on one machine or more, that train one model as one process would.

Lightning starts them, or finds itself started by torchrun or SLURM, and averages their gradients. What is left to see
to: that the average is the gradient of the whole batch, that random numbers differ between the processes, and that one
of them alone does the rest of the work.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from pipeline.config import RuntimeConfig
from pipeline.datasets.batches import Batches
from pipeline.errors import PipelineError

# Lightning announces devices, processes and tips at every fit; a grid of cells would repeat it a hundred times
for _name in ("lightning_fabric", "pytorch_lightning"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def join(runtime: RuntimeConfig) -> Fabric:
    """Start the other processes, unless that was done from outside, and wait until all are there.

    A process that is started here runs the same command; it finds out here which one it is.

    Raises:
        PipelineError: If the devices are missing, or the number of processes is not the one of the settings.
    """
    try:
        fabric = Fabric(
            accelerator=runtime.accelerator, devices=runtime.devices, num_nodes=runtime.nodes, strategy="ddp"
        )
        fabric.launch()
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise PipelineError(
            f"runtime.devices, runtime.nodes: {runtime.devices} on each of {runtime.nodes} cannot be used: {error}"
        ) from error
    return fabric


class OneBatch(pl.Callback):
    """A callback with which several processes take the same steps as one process that has the whole batch."""

    def __init__(self) -> None:
        self.weight = 1.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give each process but the first its own random numbers; the first keeps those that it would have alone."""
        if trainer.global_rank:
            mixed = np.random.SeedSequence((torch.initial_seed(), trainer.global_rank))
            pl.seed_everything(int(mixed.generate_state(1)[0]), verbose=False)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the weight of this process's loss: parts of a batch that cannot be divided evenly differ by one image."""
        batches = trainer.train_dataloader
        assert isinstance(batches, Batches)
        self.weight = len(batch[1]) * trainer.world_size / batches.size(batch_idx)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: torch.Tensor) -> None:
        """Scale the gradients so that their mean over the processes is the mean over the images."""
        weight = self.weight
        loss.register_hook(lambda gradient: gradient * weight)  # type: ignore[no-untyped-call]
