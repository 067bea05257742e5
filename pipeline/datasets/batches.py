"""Batches sliced from tensors that already lie on the device, or read from files ahead of the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import pytorch_lightning as pl
import torch
from torch import Tensor

from pipeline.datasets.streamed import Streamed
from pipeline.errors import PipelineError
from pipeline.models.inputs import Images

HELD = 2**28  # bytes of images out of files that are taken into memory where no others are trained on


class Batches:
    """Shuffled (images, labels) batches of near-equal size; every image comes once an epoch.

    The order depends on (seed, epoch) alone, so it can be had again without replaying the epochs before. Where several
    processes train together, each gets its own part of every batch, and no image comes to two of them.

    Args:
        images: Shape (N, ...), any type; a tensor, or in files.
        labels: Shape (N,).
        index: Which of the N to hand out, shape (M,).
        batch_size: Upper limit; M images come in ceil(M / batch_size) batches whose sizes differ by one at most. One
            that would hold a single image, of which BatchNorm can make nothing, joins another.
        seed: Of the order.
        epoch: Asked which epoch it is, from 0, whenever one begins.
        rank: Number of this process, from 0.
        processes: Number of processes that train together.

    Raises:
        PipelineError: Some process would get fewer than two images of a batch.
    """

    def __init__(
        self,
        images: Images,
        labels: Tensor,
        index: Tensor,
        batch_size: int,
        seed: int,
        epoch: Callable[[], int],
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.images, self.labels, self.index, self.seed, self.epoch = images, labels, index, seed, epoch
        self.count = min(-(-len(index) // batch_size), max(1, len(index) // 2))
        self.rank, self.processes = rank, processes
        if processes > 1 and self.size(self.count - 1) < 2 * processes:
            raise PipelineError(
                f"batch_size: {processes} processes cannot have two images each of a batch of "
                f"{self.size(self.count - 1)}; raise it, or train in fewer processes"
            )

    def __len__(self) -> int:
        return self.count

    def size(self, number: int) -> int:
        """Images of the batch with this number, from 0, in all processes together."""
        return len(self.index) // self.count + (number < len(self.index) % self.count)

    def order(self) -> Tensor:
        """The images of this epoch, in their order."""
        # seeds of neighbouring draws and epochs must not meet: 2**20 epochs lie between two seeds
        generator = torch.Generator().manual_seed((self.seed << 20) + self.epoch())
        order = torch.randperm(len(self.index), generator=generator).to(self.index.device)
        return self.index[order]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        batches = torch.tensor_split(self.order(), self.count)
        chunks = [torch.tensor_split(batch, self.processes)[self.rank] for batch in batches]
        if isinstance(self.images, Streamed):
            images = self.images.ahead(chunks)
        else:
            images = (self.images[chunk] for chunk in chunks)
        yield from zip(images, (self.labels[chunk] for chunk in chunks), strict=True)


class StackedBatches:
    """Batches of several draws from the same data, the first of each beside one another, then the second.

    Args:
        draws: Of as many images each, in memory.
    """

    def __init__(self, draws: Sequence[Batches]) -> None:
        self.draws = draws

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        first = self.draws[0]
        for index in torch.tensor_split(torch.stack([draw.order() for draw in self.draws]), len(first), dim=1):
            yield first.images[index], first.labels[index]


class WholeEpoch:
    """A loader whose one batch an epoch is all of the epoch's batches.

    Args:
        batches: They.
    """

    def __init__(self, batches: Batches | StackedBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Batches | StackedBatches]:
        yield self.batches


class InMemoryData(pl.LightningDataModule):
    """Puts the whole data on the trainer's device once, then slices it; leaves in files what is streamed.

    Args:
        images: Images or embeddings, shape (N, ...); a tensor, or in files.
        labels: Shape (N,).
        index: Which of the N to train on.
        batch_size: Images a step, in all processes together.
        seed: Of the order of batches.
    """

    def __init__(self, images: Images, labels: Tensor, index: Tensor, batch_size: int, seed: int) -> None:
        super().__init__()
        self.images, self.labels, self.index = images, labels, index
        self.batch_size, self.seed = batch_size, seed

    def train_dataloader(self) -> Batches | WholeEpoch:
        """Shuffled batches on the trainer's device; a whole epoch of them for a module that takes its own steps."""
        trainer = self.trainer
        assert trainer is not None
        images, labels, index = self.images, self.labels, self.index
        if isinstance(images, Streamed) and len(index) * math.prod(images.shape[1:]) <= HELD:
            images, labels, index = images[index], labels[index], torch.arange(len(index))
        if isinstance(images, Tensor):
            images, labels, index = (x.to(trainer.strategy.root_device) for x in (images, labels, index))
        place = (trainer.global_rank, trainer.world_size)
        batches = Batches(images, labels, index, self.batch_size, self.seed, lambda: trainer.current_epoch, *place)
        return batches if trainer.lightning_module.automatic_optimization else WholeEpoch(batches)


class StackedData(pl.LightningDataModule):
    """Puts the data on the trainer's device once, and slices several draws of it at a time.

    Args:
        images: Images or embeddings, shape (N, ...).
        labels: Shape (N,).
        draws: Of each, which of the N to train on, as many in each, and the seed of the order of its batches.
        batch_size: Images a step of each draw.
    """

    def __init__(self, images: Tensor, labels: Tensor, draws: Sequence[tuple[Tensor, int]], batch_size: int) -> None:
        super().__init__()
        self.images, self.labels, self.draws, self.batch_size = images, labels, draws, batch_size

    def stacked(self, device: torch.device, epoch: Callable[[], int]) -> StackedBatches:
        """The batches of an epoch, on a device."""
        images, labels = self.images.to(device), self.labels.to(device)
        return StackedBatches(
            [Batches(images, labels, index.to(device), self.batch_size, seed, epoch) for index, seed in self.draws]
        )

    def train_dataloader(self) -> WholeEpoch:
        """A whole epoch of batches."""
        trainer = self.trainer
        assert trainer is not None
        return WholeEpoch(self.stacked(trainer.strategy.root_device, lambda: trainer.current_epoch))
