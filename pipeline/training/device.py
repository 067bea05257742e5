"""The device and the number of CPU threads that things are computed with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipeline.config import RuntimeConfig


def find_device(runtime: RuntimeConfig) -> torch.device:
    """Return the device for computations outside of trainings: the first CUDA device, if they use it, or the CPU."""
    return torch.device("cuda" if on_gpu(runtime) else "cpu")


def on_gpu(runtime: RuntimeConfig) -> bool:
    """Whether a training with these settings uses a CUDA device."""
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
