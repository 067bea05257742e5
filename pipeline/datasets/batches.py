"""Batches that are sliced from tensors on the training's device, or read from files ahead of the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor

from pipeline.datasets.streamed import Streamed
from pipeline.errors import PipelineError
from pipeline.models.inputs import Images

HELD = 2**28  # bytes up to which the images that are trained on are read from files into memory


class Batches:
    """Shuffled (images, labels) batches of near-equal size, which hold every image once in each epoch.

    The order depends on (seed, epoch) alone, so any epoch can be repeated without those before it. If several processes
    train together, each gets a different part of every batch.

    Args:
        images: Images or embeddings of any type, shape (N, ...); a tensor, or in files.
        labels: Labels, shape (N,).
        index: The M of these N that are used, as indices, shape (M,).
        batch_size: The largest size of a batch. There are ceil(M / batch_size) batches, whose sizes differ by at most
            one; fewer, if a batch would hold a single image, for which BatchNorm cannot be computed.
        seed: Seed of the order.
        epoch: Returns the number of the epoch, from 0; called when an epoch begins.
        rank: The number of this process, from 0.
        processes: The number of processes that train together.

    Raises:
        PipelineError: If some process would get fewer than two images of a batch.
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
        """Return the number of images in a batch, in all processes together; batches are counted from 0."""
        return len(self.index) // self.count + (number < len(self.index) % self.count)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        batches = torch.tensor_split(_shuffled(self.index, self.seed, self.epoch()), self.count)
        chunks = [torch.tensor_split(batch, self.processes)[self.rank] for batch in batches]
        yield from zip(_taken(self.images, chunks), (self.labels[chunk] for chunk in chunks), strict=True)


class StepBatches:
    """A fixed number of (images, labels) batches of one size from an endless stream of shuffled passes over images.

    The stream depends on the seed alone, so any round can be repeated without those before it. A batch may hold the end
    of one pass and the start of the next; it holds images more than once if there are fewer than its size.

    Args:
        images: Images or embeddings of any type, shape (N, ...); a tensor, or in files.
        labels: Labels, shape (N,).
        index: The M of these N that are used, as indices, shape (M,).
        batch_size: The number of images in a batch.
        steps: The number of batches in a round.
        seed: Seed of the order.
        round_number: Returns the number of the round, from 0; called when a round begins.
    """

    def __init__(
        self,
        images: Images,
        labels: Tensor,
        index: Tensor,
        batch_size: int,
        steps: int,
        seed: int,
        round_number: Callable[[], int],
    ) -> None:
        self.images, self.labels, self.index = images, labels, index
        self.batch_size, self.steps, self.seed, self.round_number = batch_size, steps, seed, round_number

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        wanted = self.steps * self.batch_size
        first_pass, skipped = divmod(self.round_number() * wanted, len(self.index))
        passes = -(-(skipped + wanted) // len(self.index))
        stream = torch.cat([_shuffled(self.index, self.seed, first_pass + number) for number in range(passes)])
        chunks = list(torch.split(stream[skipped : skipped + wanted], self.batch_size))
        return zip(_taken(self.images, chunks), (self.labels[chunk] for chunk in chunks), strict=True)


def _shuffled(index: Tensor, seed: int, number: int) -> Tensor:
    """Return indices in the order of the pass with this number, which no other seed shares for 2**20 passes."""
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed((seed << 20) + number))
    return index[order.to(index.device)]


def _taken(images: Images, chunks: list[Tensor]) -> Iterator[Tensor]:
    """Yield the images at the indices of each batch; from files, the next batches are read while one is used."""
    if isinstance(images, Streamed):
        return images.ahead(chunks)
    return (images[chunk] for chunk in chunks)


class WholeRound:
    """A loader that yields all batches of a round as one item, for a module that takes its own steps.

    Args:
        batches: The batches of a round.
    """

    def __init__(self, batches: StepBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[StepBatches]:
        yield self.batches


class InMemoryData(pl.LightningDataModule):
    """A data module that copies all data to the device once and slices it there; streamed images stay in files.

    Args:
        images: Images or embeddings, shape (N, ...); a tensor, or in files.
        labels: Labels, shape (N,).
        index: The indices of those that are trained on, shape (M,).
        batch_size: The number of images in each step, in all processes together.
        seed: Seed of the order of batches.
        steps: The number of steps in a round, for a module that takes its own steps; 0 makes each epoch a round.
    """

    def __init__(
        self, images: Images, labels: Tensor, index: Tensor, batch_size: int, seed: int, steps: int = 0
    ) -> None:
        super().__init__()
        self.images, self.labels, self.index = images, labels, index
        self.batch_size, self.seed, self.steps = batch_size, seed, steps

    def train_dataloader(self) -> Batches | WholeRound:
        """Return the loader of shuffled batches on the trainer's device."""
        trainer = self.trainer
        assert trainer is not None
        images, labels, index = self.images, self.labels, self.index
        if isinstance(images, Streamed) and len(index) * math.prod(images.shape[1:]) <= HELD:
            images, labels, index = images[index], labels[index], torch.arange(len(index))
        if isinstance(images, Tensor):
            images, labels, index = (x.to(trainer.strategy.root_device) for x in (images, labels, index))

        def number() -> int:
            return trainer.current_epoch

        if self.steps:
            return WholeRound(StepBatches(images, labels, index, self.batch_size, self.steps, self.seed, number))
        place = (trainer.global_rank, trainer.world_size)
        return Batches(images, labels, index, self.batch_size, self.seed, number, *place)
