"""Steps that are replayed as CUDA graphs: when they are captured, and what happens where they cannot be.

A stand-in takes the place of the GPU; on a GPU, `python -m benchmarks cuda_graphs` compares the times of both ways.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.config import InvariancesConfig, PretrainConfig, RuntimeConfig
from pipeline.learning import pretrain
from pipeline.models.classifier import Classifier, Rates, make_head
from pipeline.models.cuda_graphs import Gradients
from pipeline.models.inputs import infer
from pipeline.models.pretraining import Pretraining
from pipeline.models.side_by_side import FoldLearner, Schedule, SideBySide
from pipeline.training import trainer


class OnGpu(Tensor):
    """A tensor that says that it lies on a GPU."""

    is_cuda = True


class Stream:
    """A stream that need not wait."""

    def wait_stream(self, other: Stream) -> None:
        pass


class Gpu:
    """Stands in for ``torch.cuda``: what is captured is computed, and a replay only counts.

    Attributes:
        captures: How many captures were begun.
        replays: How many times a graph was replayed.
        error: Raised by a capture in which anything is computed.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.captures = self.replays = 0
        self.error: RuntimeError | None = None
        names = {"Stream": Stream, "current_stream": Stream, "set_stream": lambda stream: None, "graph": self.graph}
        names |= {"stream": contextlib.nullcontext, "CUDAGraph": lambda: self}
        for name, value in names.items():
            monkeypatch.setattr(torch.cuda, name, value)

    @contextlib.contextmanager
    def graph(self, graph: Gpu, pool: Any = None, stream: Any = None) -> Iterator[None]:
        self.captures += 1
        error, self.error = self.error, None
        yield
        if error is not None:
            raise error

    def pool(self) -> int:
        return 1

    def replay(self) -> None:
        self.replays += 1


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def batch(size: int = 4) -> Tensor:
    return torch.ones(size, 3).as_subclass(OnGpu)


def gradients(network: nn.Module, replays: bool = True) -> tuple[Gradients, list[int]]:
    """Gradients of a network's mean output, and the sizes of the batches that it computed."""
    sizes: list[int] = []

    def losses(x: Tensor) -> list[Tensor]:
        sizes.append(len(x))
        return [network(x).mean()]

    found = Gradients(losses, network, replays)
    found.begin_round()
    return found, sizes


def test_each_shape_of_batch_is_captured_once_after_three_steps_and_then_replayed(gpu: Gpu) -> None:
    compute, sizes = gradients(nn.Linear(3, 1))
    for size in (4, 5) * 6:
        compute(batch(size))
    assert sizes == [4, 5] * 4, "three steps each, and the capture"
    assert (gpu.captures, gpu.replays) == (2, 6)


def test_a_replay_reads_the_batch_at_hand_and_leaves_its_gradients(gpu: Gpu) -> None:
    network = nn.Linear(3, 1)
    compute, _ = gradients(network)
    for _ in range(4):
        compute(batch())
    network.weight.grad = None  # as a step with a batch of another shape does
    compute(7 * batch())
    (recording,) = compute.recordings.values()
    assert (recording.batch[0] == 7).all()
    assert network.weight.grad is not None
    assert recording.gradients[0] is not None
    assert network.weight.grad.data_ptr() == recording.gradients[0].data_ptr()


def test_gradients_stay_where_the_graph_writes_them_after_a_measurement_too(gpu: Gpu) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 1))
    compute, _ = gradients(network)
    for _ in range(4):
        compute(torch.ones(3, 1, 4, 4).as_subclass(OnGpu))
    places = grad_places(network)
    infer(network, torch.ones(3, 1, 4, 4))  # puts weights, and gradients with them, into one layout
    compute(torch.ones(3, 1, 4, 4).as_subclass(OnGpu))
    assert grad_places(network) == places


def grad_places(network: nn.Module) -> list[int]:
    return [parameter.grad.data_ptr() for parameter in network.parameters() if parameter.grad is not None]


def test_weights_that_have_moved_are_captured_anew(gpu: Gpu) -> None:
    network = nn.Linear(3, 1)
    compute, sizes = gradients(network)
    for _ in range(6):
        compute(batch())
    compute.begin_round()
    compute(batch())
    assert (len(sizes), gpu.replays) == (4, 4)
    network.weight.data = network.weight.data.clone()
    compute.begin_round()
    compute(batch())
    assert (len(sizes), gpu.replays) == (5, 4)


def test_a_step_that_cannot_be_captured_goes_on_without_and_says_so_once(
    gpu: Gpu, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: None)  # there is no device to make them on
    network = nn.Linear(3, 1)
    compute, sizes = gradients(network)
    gpu.error = RuntimeError("operation not permitted when stream is capturing\nand a trace")
    plain = gradients(network, replays=False)[0](batch())
    assert [compute(batch()) for _ in range(7)] == [plain] * 7
    assert (gpu.replays, len(sizes)) == (0, 8)
    said = capsys.readouterr().out
    assert said.count("cannot be replayed") == 1
    assert "operation not permitted" in said
    assert "trace" not in said


def test_folds_class_weights_and_own_classifiers_are_not_replayed() -> None:
    class Own(Classifier):
        pass

    def replays(kind: type[Classifier], rates: Rates, parts: list[list[int]]) -> bool:
        learners = [
            FoldLearner(
                kind(nn.Identity(), make_head(3, 2), False, nn.Identity(), rates),
                torch.zeros(4, dtype=torch.int64),
                torch.tensor(part),
            )
            for part in parts
        ]
        return SideBySide(learners, Schedule(10, 1)).gradients.replays

    everything = [[0, 1, 2, 3]]
    assert replays(Classifier, Rates(), everything)
    assert not replays(Classifier, Rates(), [[0, 1], [2, 3]])
    assert not replays(Classifier, Rates(class_weights=(1.0, 2.0)), everything)
    assert not replays(Own, Rates(), everything)


@pytest.mark.parametrize("method", ["autoencoder", "vae"])
def test_pretraining_by_own_steps_has_the_bits_of_lightnings(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (150, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    settings = PretrainConfig(method=method, epochs=2, batch_size=64, holdout=20)
    found = []
    for replayed in (False, True):
        monkeypatch.setattr(trainer, "_can_replay", lambda model, runtime, own=replayed: own)
        runtime = RuntimeConfig(progress=False, accelerator="cpu")
        _, model, result = pretrain.train(settings, InvariancesConfig(preset="digits"), runtime, images)
        found.append((model.state_dict(), result.history))
    (plain, history), (own, own_history) = found
    assert history == own_history
    assert plain.keys() == own.keys()
    assert all(torch.equal(plain[name], own[name]) for name in plain)


def test_a_model_is_replayed_on_a_gpu_of_its_own_if_its_steps_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Pretraining):
        pass

    def model(args: dict[str, Any]) -> Pretraining:
        from pipeline import methods

        settings = PretrainConfig(method="vae", args=args)
        encoder = methods.new_backbone(settings, (1, 8, 8)).encoder
        return methods.new_model(settings, InvariancesConfig(), (1, 8, 8), encoder)

    alone = RuntimeConfig()
    assert not trainer._can_replay(model({}), RuntimeConfig(accelerator="cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert trainer._can_replay(model({}), alone)
    assert not trainer._can_replay(model({}), RuntimeConfig(devices=2))
    assert not trainer._can_replay(model({}), RuntimeConfig(compile=True))
    assert not trainer._can_replay(model({"kl_warmup": 1.0}), alone)
    assert not trainer._can_replay(Own(nn.Linear(2, 1)), alone)
