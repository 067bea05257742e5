"""Losses and gradients by CUDA graphs: on a GPU, Python launches the kernels of a step once, and then replays them.

A step of a small network is some hundred kernels of a few microseconds each, and Python takes longer to launch them
than the GPU to run them. See "CUDA Graphs" in PyTorch's notes: https://docs.pytorch.org/docs/stable/notes/cuda.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from pipeline.models.pretraining import Pretraining

WARM_UP = 3  # steps before a capture, in which the libraries allocate and choose their kernels
KNOWN = ("torch", "torchvision", "pipeline")  # packages whose modules launch the same kernels at every step

Losses = Callable[..., Sequence[Tensor]]  # (tensors of a batch) to losses, single numbers
Shapes = tuple[torch.Size, ...]


def launches_alike(network: nn.Module) -> bool:
    """Whether all modules of a network come from packages that are known to launch the same kernels at every step.

    A module of somebody else may draw random numbers from Python, or count its calls, which a replay would leave out.

    Examples:
        >>> Own = type("Own", (nn.Linear,), {"__module__": "a_module_of_somebody_else"})
        >>> launches_alike(nn.Sequential(nn.Linear(2, 1))), launches_alike(nn.Sequential(Own(2, 1)))
        (True, False)
    """
    return all(type(module).__module__.split(".")[0] in KNOWN for module in network.modules())


@dataclass(frozen=True)
class Recording:
    """A captured step: its graph, and the tensors that the graph reads and writes whenever it is replayed."""

    graph: torch.cuda.CUDAGraph
    batch: tuple[Tensor, ...]
    losses: list[Tensor]
    gradients: list[Tensor | None]


class Gradients:
    """Computes the losses of a batch and the gradients of their sum; on a GPU, by replaying what it did before.

    The first steps with each shape of batch run as everywhere, though on a stream of their own, and are part of the
    training. Then one is captured, which computes nothing yet, and from then on it is replayed. A replay draws the
    random numbers that the step would have drawn. If a step cannot be captured, all steps run as everywhere.

    Args:
        losses: Returns the losses of a batch. If ``replays``, each call has to launch the same kernels, whatever is in
            the batch, and must not wait for the device.
        network: Holds all parameters and buffers that ``losses`` uses, and those that get gradients.
        replays: Whether steps may be replayed. Without a GPU they never are.
    """

    def __init__(self, losses: Losses, network: nn.Module, replays: bool) -> None:
        self.losses, self.network, self.replays = losses, network, replays
        self.parameters = list(network.parameters())
        self.places: list[int] = []
        self.steps: Counter[Shapes] = Counter()
        self.recordings: dict[Shapes, Recording] = {}
        self.stream: torch.cuda.Stream | None = None

    def begin_round(self) -> None:
        """Forget what was recorded if a parameter or buffer lies elsewhere in memory than in the round before."""
        places = [tensor.data_ptr() for tensor in (*self.network.parameters(), *self.network.buffers())]
        if places != self.places:
            self.places = places
            self.steps.clear()
            self.recordings.clear()

    def __call__(self, *batch: Tensor) -> list[Tensor]:
        """Set the gradients of all parameters, and return the losses, detached."""
        if not (self.replays and batch[0].is_cuda):
            return self._compute(batch)
        shapes = tuple(x.shape for x in batch)
        if shapes not in self.recordings:
            self.steps[shapes] += 1
            if self.steps[shapes] <= WARM_UP:
                return self._warm_up(batch)
            try:
                self.recordings[shapes] = self._capture(batch)
            except RuntimeError as error:
                self._give_up(error)
                return self._compute(batch)
        return self._replay(self.recordings[shapes], batch)

    def _compute(self, batch: tuple[Tensor, ...]) -> list[Tensor]:
        losses = self.losses(*batch)
        for parameter in self.parameters:  # as zero_grad() does, which takes a tenth of a head's step to do it
            parameter.grad = None
        if losses:  # none are, where two folds hold one image each of a batch of two
            torch.autograd.backward(losses)
        return [loss.detach() for loss in losses]

    def _warm_up(self, batch: tuple[Tensor, ...]) -> list[Tensor]:
        """Take a step on the stream that the capture will be on."""
        self.stream = self.stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            losses = self._compute(batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return losses

    def _capture(self, batch: tuple[Tensor, ...]) -> Recording:
        """Record a step without taking it."""
        own, graph = tuple(x.clone() for x in batch), torch.cuda.CUDAGraph()
        # recordings share memory, for only one is replayed at a time, and what it leaves is used before the next
        pool = next((recording.graph.pool() for recording in self.recordings.values()), None)
        before = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=pool, stream=self.stream):
                losses = self._compute(own)
        finally:
            torch.cuda.set_stream(before)  # a capture that fails leaves its own stream behind
        gradients = [None if parameter.grad is None else parameter.grad.detach() for parameter in self.parameters]
        return Recording(graph, own, losses, gradients)

    def _replay(self, recording: Recording, batch: tuple[Tensor, ...]) -> list[Tensor]:
        for own, new in zip(recording.batch, batch, strict=True):
            own.copy_(new)
        recording.graph.replay()
        for parameter, gradient in zip(self.parameters, recording.gradients, strict=True):
            # another tensor on the same memory, for what moves a network would move the graph's own
            parameter.grad = None if gradient is None else gradient.detach()
        return [loss.clone() for loss in recording.losses]  # the next replay writes over them

    def _give_up(self, error: RuntimeError) -> None:
        """Run all further steps without graphs."""
        print(f"steps cannot be replayed as a CUDA graph and take longer: {str(error).splitlines()[0]}", flush=True)
        self.replays = False
        self.recordings.clear()
        with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=self.stream):  # ends the capturing of random numbers
            torch.zeros((), device="cuda")


class Replayed(pl.LightningModule):
    """Trains a model of pretraining as Lightning would by itself, but for losses and gradients by ``Gradients``.

    Args:
        model: Trained in place; its checkpoints are those of a training without this.
    """

    def __init__(self, model: Pretraining) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.gradients = Gradients(lambda *batch: [model.training_step(batch)], model, replays=True)

    def on_train_epoch_start(self) -> None:
        """Begin a round of gradients."""
        self.gradients.begin_round()

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Take a step of the optimiser and the schedule; return the loss."""
        (loss,) = self.gradients(*batch)
        optimizer, rates = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(rates, torch.optim.lr_scheduler.LRScheduler)
        optimizer.step()
        rates.step()
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the model's optimiser and schedule."""
        return self.model.configure_optimizers()

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the model's state, under the model's own names."""
        return self.model.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load a state of the model's."""
        return self.model.load_state_dict(*args, **kwargs)
