"""Batches sliced from tensors that already lie on the device: no decoding, no copies to workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor


class Batches:
    """Shuffled (images, labels) batches of near-equal size; every image comes once an epoch.

    The order of epoch e depends on (seed, e) alone, so it can be had again without replaying the epochs before.

    Args:
        images: Shape (N, ...), any type.
        labels: Shape (N,).
        index: Which of the N to hand out, shape (M,).
        batch_size: Upper limit; M images come in ceil(M / batch_size) batches whose sizes differ by one at most, so
            that no batch is left with a single image, of which BatchNorm can make nothing.
        seed: Of the order.
    """

    def __init__(self, images: Tensor, labels: Tensor, index: Tensor, batch_size: int, seed: int) -> None:
        self.images, self.labels, self.index, self.seed = images, labels, index, seed
        self.count = -(-len(index) // batch_size)
        self.epoch = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # seeds of neighbouring draws and epochs must not meet: 2**20 epochs lie between two seeds
        generator = torch.Generator().manual_seed((self.seed << 20) + self.epoch)
        self.epoch += 1
        order = torch.randperm(len(self.index), generator=generator).to(self.index.device)
        for chunk in torch.tensor_split(self.index[order], self.count):
            yield self.images[chunk], self.labels[chunk]


class InMemoryData(pl.LightningDataModule):
    """Puts the whole data on the trainer's device once, then slices it.

    Args:
        images: Images or embeddings, shape (N, ...).
        labels: Shape (N,).
        index: Which of the N to train on.
        batch_size: Images a step.
        seed: Of the order of batches.
    """

    def __init__(self, images: Tensor, labels: Tensor, index: Tensor, batch_size: int, seed: int) -> None:
        super().__init__()
        self.images, self.labels, self.index = images, labels, index
        self.batch_size, self.seed = batch_size, seed

    def train_dataloader(self) -> Batches:
        """Shuffled batches on the trainer's device."""
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        return Batches(
            self.images.to(device), self.labels.to(device), self.index.to(device), self.batch_size, self.seed
        )
