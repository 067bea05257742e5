"""The section ``runtime``: where and how the commands run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pipeline.errors import require


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how it runs; the results are comparable across these settings, not bit-identical.

    Attributes:
        accelerator: "auto", "cpu", "gpu", "mps": as Lightning understands it.
        precision: "auto" takes bfloat16 where the hardware computes it natively; "32" or "bf16" force one.
        compile: Compile the steps of pretraining with torch.compile; needs a C++ compiler. The first epoch takes some
            time longer, so it pays in long trainings only; docs/performance.md says from when on.
        threads: CPU threads of pretraining; 0 takes all cores. A cell always uses one, so that a cell trained
            alone equals the same cell trained among others.
        backend: Where the cells of a grid and the points of a study run: "processes" of this machine, or the workers of
            a "dask" or "ray" cluster, which need the extra of that name and the same file system.
        address: Of a cluster that is there, such as tcp://host:8786 (Dask) or host:6379 (Ray); empty: one on this
            machine, of grid.jobs workers, which ends with the command.
        devices: Processes that pretrain together on each machine, a GPU each if it has them. A cell always has one.
        nodes: Machines that pretrain together; torchrun or SLURM has to start the command on each of them.
        progress: Show progress bars; they are never shown where the output is not a terminal.
        tensorboard: Log the curves of pretraining for TensorBoard, too, below the experiment's folder; needs the extra
            [tensorboard]. history.csv is written anyway.
    """

    accelerator: str = "auto"
    precision: Literal["auto", "32", "bf16"] = "auto"
    compile: bool = False
    threads: int = 0
    backend: Literal["processes", "dask", "ray"] = "processes"
    address: str = ""
    devices: int = 1
    nodes: int = 1
    progress: bool = True
    tensorboard: bool = False

    def __post_init__(self) -> None:
        require(self.threads >= 0, "runtime.threads", self.threads, "0 (all cores) or a number of threads")
        for name in ("devices", "nodes"):
            value = getattr(self, name)
            require(value > 0, f"runtime.{name}", value, "at least 1")
        local = self.backend == "processes"
        require(not (self.address and local), "runtime.address", self.address, "none; runtime.backend is processes")

    @property
    def processes(self) -> int:
        """How many pretrain together."""
        return self.devices * self.nodes

    @property
    def alone(self) -> RuntimeConfig:
        """The same for a single process."""
        return replace(self, devices=1, nodes=1)
