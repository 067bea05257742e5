"""The time of a step of pretraining in float32 and in bfloat16. It is measured to be shown, and decides nothing."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace

import torch
from pytorch_lightning.utilities.seed import isolate_rng

from pipeline import methods
from pipeline.config import InvariancesConfig, PretrainConfig, RuntimeConfig
from pipeline.datasets.batches import InMemoryData
from pipeline.models.encoders import Shape
from pipeline.training.precision import Precision
from pipeline.training.recording import Rounds
from pipeline.training.trainer import fit

ROUNDS = 5  # of a step each, of which the first, in which the libraries choose their kernels, does not count


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a step in either precision."""

    float32: float
    bfloat16: float

    def other_is_faster(self, precision: Precision) -> float:
        """Return how many times as fast the precision is that is not this one."""
        return self.bfloat16 / self.float32 if precision == "bf16" else self.float32 / self.bfloat16


def measure_steps(
    settings: PretrainConfig, invariances: InvariancesConfig, runtime: RuntimeConfig, shape: Shape
) -> StepTimes:
    """Take a few steps on random images of this shape, both ways; the random generators are as before in the end.

    Raises:
        PipelineError: If a network or the method cannot be made, or the device is not there.
    """
    alone = replace(runtime.alone, compile=False)
    with isolate_rng():
        return StepTimes(
            float32=_seconds(settings, invariances, replace(alone, precision="32"), shape),
            bfloat16=_seconds(settings, invariances, replace(alone, precision="bf16"), shape),
        )


def _seconds(settings: PretrainConfig, invariances: InvariancesConfig, runtime: RuntimeConfig, shape: Shape) -> float:
    count = settings.batch_size
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8)
    model = methods.new_model(settings, invariances, shape, methods.new_backbone(settings, shape).encoder)
    data = InMemoryData(images, torch.full((count,), -1), torch.arange(count), count, seed=0)
    ends: list[float] = []

    def note() -> dict[str, float]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ends.append(time.perf_counter())
        return {}

    fit(model, data, runtime, Rounds(ROUNDS), note)
    return min(end - start for start, end in itertools.pairwise(ends))
