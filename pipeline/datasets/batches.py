"""Batches sliced from tensors that already lie on the device, or read from files ahead of the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

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
        return self.index[_permutation(len(self.index), self.seed, self.epoch()).to(self.index.device)]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        batches = torch.tensor_split(self.order(), self.count)
        chunks = [torch.tensor_split(batch, self.processes)[self.rank] for batch in batches]
        yield from zip(_taken(self.images, chunks), (self.labels[chunk] for chunk in chunks), strict=True)


class StepBatches:
    """So many (images, labels) batches of one size, cut from an endless stream of shuffled passes over the images.

    The stream depends on the seed alone, so a round can be had again without replaying those before. A batch may reach
    from one pass into the next, and a small set of images comes in it more than once.

    Args:
        images: Shape (N, ...), any type; a tensor, or in files.
        labels: Shape (N,).
        index: Which of the N to hand out, shape (M,).
        batch_size: Images a batch.
        steps: Batches a round.
        seed: Seed of the order.
        round_number: Asked which round it is, from 0, whenever one begins.
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
        stream = torch.cat([self._shuffled(first_pass + number) for number in range(passes)])
        chunks = list(torch.split(stream[skipped : skipped + wanted], self.batch_size))
        return zip(_taken(self.images, chunks), (self.labels[chunk] for chunk in chunks), strict=True)

    def _shuffled(self, number: int) -> Tensor:
        """The images in the order of a pass over all of them."""
        return self.index[_permutation(len(self.index), self.seed, number).to(self.index.device)]


def _permutation(count: int, seed: int, number: int) -> Tensor:
    """A random order for each seed and number of a pass; 2**20 passes lie between two seeds, so that none meet."""
    return torch.randperm(count, generator=torch.Generator().manual_seed((seed << 20) + number))


def _taken(images: Images, chunks: list[Tensor]) -> Iterator[Tensor]:
    """The images at these indices; of images in files, the next are read while those before are trained on."""
    if isinstance(images, Streamed):
        return images.ahead(chunks)
    return (images[chunk] for chunk in chunks)


class WholeRound:
    """A loader whose one batch a round is all of the round's batches, for a module that takes its own steps.

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
    """Puts the whole data on the trainer's device once, then slices it; leaves in files what is streamed.

    Args:
        images: Images or embeddings, shape (N, ...); a tensor, or in files.
        labels: Shape (N,).
        index: Which of the N to train on.
        batch_size: Images a step, in all processes together.
        seed: Seed of the order of batches.
        steps: Steps a round, for a module that takes them itself; 0 makes a round of an epoch of batches.
    """

    def __init__(
        self, images: Images, labels: Tensor, index: Tensor, batch_size: int, seed: int, steps: int = 0
    ) -> None:
        super().__init__()
        self.images, self.labels, self.index = images, labels, index
        self.batch_size, self.seed, self.steps = batch_size, seed, steps

    def train_dataloader(self) -> Batches | WholeRound:
        """Shuffled batches on the trainer's device."""
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
