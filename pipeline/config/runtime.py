"""The section ``runtime``: where and how the commands run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pipeline.errors import require


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how the commands run; results under different settings are comparable, but not identical to the bit.

    Attributes:
        accelerator: The kind of device, "auto", "cpu", "gpu" or "mps", as in Lightning.
        precision: "auto" takes bfloat16 where the hardware computes it natively; "32" or "bf16" force one.
        compile: Whether the steps of pretraining are compiled with torch.compile, which needs a C++ compiler. The first
            epoch takes longer, so only long trainings gain from it; docs/performance.md says from which length on.
        threads: Number of CPU threads of pretraining; 0 takes all cores. A cell always uses one thread, so that a cell
            trained alone equals the same cell trained among others.
        backend: Where the cells of a grid and the points of a study run: "processes" of this machine, or the workers of
            a "dask" or "ray" cluster, which need the extra of that name and the same file system.
        address: Address of a running cluster, such as tcp://host:8786 (Dask) or host:6379 (Ray); "" starts one on this
            machine, of grid.jobs workers, which ends with the command.
        devices: Number of processes that pretrain together on each machine, each with a GPU if there are any. A cell
            always has one process.
        nodes: Number of machines that pretrain together; torchrun or SLURM has to start the command on each of them.
        progress: Whether progress bars are shown; they never are if the output is not a terminal.
        tensorboard: Whether the curves of pretraining are also logged for TensorBoard, below the experiment's folder;
            needs the extra [tensorboard]. history.csv is always written.
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
        """The number of processes that pretrain together, on all machines."""
        return self.devices * self.nodes

    @property
    def alone(self) -> RuntimeConfig:
        """The same settings for a single process."""
        return replace(self, devices=1, nodes=1)
