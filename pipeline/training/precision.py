"""Which arithmetic trains an encoder, told without importing torch where the system's files tell it."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pipeline.config import Experiment, RuntimeConfig

Precision = Literal["32", "bf16"]

CPU_FLAG = "avx512_bf16"  # of processors whose matrix products in bfloat16 are faster than in float32
CPUINFO = Path("/proc/cpuinfo")
GPUS = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))  # one of them is there where Linux has a GPU


def resolve_precision(runtime: RuntimeConfig) -> Precision:
    """Return the precision that is meant: for "auto", bfloat16 where this machine computes it natively."""
    if runtime.precision != "auto":
        return runtime.precision
    return "bf16" if computes_bfloat16(runtime.accelerator) else "32"


def explain_precision(runtime: RuntimeConfig) -> str:
    """Say which precision is meant, and whether the hardware is made for bfloat16."""
    does = "computes" if computes_bfloat16(runtime.accelerator) else "does not compute"
    return f"{resolve_precision(runtime)}, on hardware that {does} bfloat16 natively"


def with_fixed_precision(config: Experiment) -> Experiment:
    """Replace "auto" by what it means here, so that other machines do not take it to mean something else."""
    return replace(config, runtime=replace(config.runtime, precision=resolve_precision(config.runtime)))


@functools.cache
def computes_bfloat16(accelerator: str) -> bool:
    """Whether the hardware that this accelerator stands for computes bfloat16 natively."""
    if accelerator not in ("cpu", "mps") and _may_have_gpu():
        import torch

        if torch.cuda.is_available():
            return bool(torch.cuda.is_bf16_supported())
    if CPUINFO.is_file():
        return CPU_FLAG in CPUINFO.read_text().split()
    import torch

    return bool(torch.cpu.get_capabilities().get(CPU_FLAG))


def _may_have_gpu() -> bool:
    return not CPUINFO.is_file() or any(path.exists() for path in GPUS)
