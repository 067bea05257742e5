from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.batches import Batches
from pipeline.errors import PipelineError


@given(st.integers(2, 200), st.integers(2, 50), st.integers(0, 9))
def test_an_epoch_hands_out_every_image_once_and_no_batch_has_a_single_one(n: int, size: int, seed: int) -> None:
    images = torch.arange(n + 5, dtype=torch.uint8).view(-1, 1)
    index = torch.arange(5, n + 5)
    loader = Batches(images, torch.arange(n + 5), index, size, seed, lambda: 0)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert all(2 <= len(labels) <= max(size, 3) for _, labels in batches)  # an odd number in pairs: one batch of three
    seen = torch.cat([labels for _, labels in batches])
    assert sorted(seen.tolist()) == index.tolist()
    assert all((x.flatten() == y).all() for x, y in batches)


def test_epochs_differ_and_a_seed_repeats_them() -> None:
    def epochs() -> list[list[int]]:
        count = iter(range(3))
        loader = Batches(torch.zeros(40, 1), torch.arange(40), torch.arange(40), 8, 3, lambda: next(count))
        return [torch.cat([labels for _, labels in loader]).tolist() for _ in range(3)]

    first = epochs()
    assert first == epochs()
    assert first[0] != first[1] != first[2]


@given(st.integers(8, 200), st.integers(8, 50), st.integers(1, 4), st.integers(0, 9))
def test_processes_share_each_batch_without_overlap_or_gap(n: int, size: int, processes: int, seed: int) -> None:
    def loader(rank: int, processes: int) -> Batches:
        return Batches(torch.arange(n), torch.arange(n), torch.arange(n), size, seed, lambda: 1, rank, processes)

    whole = [labels.tolist() for _, labels in loader(0, 1)]
    assert [loader(0, 1).size(number) for number in range(len(whole))] == [len(batch) for batch in whole]
    if min(len(batch) for batch in whole) < 2 * processes:
        with pytest.raises(PipelineError, match="two images each"):
            loader(0, processes)
        return
    parts = [[labels.tolist() for _, labels in loader(rank, processes)] for rank in range(processes)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert [label for share in shares for label in share] == batch
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
