from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.batches import Batches


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
