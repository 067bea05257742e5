"""BatchNorm's statistics belong to clean images, when a model is measured and when it is kept."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pipeline.config import DataConfig, InvariancesConfig, NetworkConfig, PretrainConfig, RuntimeConfig
from pipeline.datasets.loading import load
from pipeline.learning.pretrain import pretrain, split_holdout
from pipeline.models.batch_statistics import reestimate, reestimated
from pipeline.models.encoders import ConvEncoder

SHAPE = (1, 8, 8)
SMALL = PretrainConfig(latent=8, encoder=NetworkConfig(widths=(4, 8), hidden=(16,)), epochs=2, holdout=100)
QUIET = RuntimeConfig(precision="32", progress=False)
DIGITS = InvariancesConfig("digits")


@pytest.fixture(scope="module")
def images() -> Tensor:
    digits: Tensor = load(DataConfig("digits")).train.images
    return digits


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def statistics(layer: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean, layer.running_var


def test_the_first_layers_statistics_are_the_plain_average_over_batches() -> None:
    torch.manual_seed(0)
    encoder, batches = ConvEncoder(SHAPE, 4, [4, 8]), torch.rand(3, 16, *SHAPE)
    encoder(torch.rand(16, *SHAPE))  # something to be forgotten
    reestimate(encoder, encoder, batches)
    first, second = norms(encoder)
    maps = [encoder.layers[0](batch).transpose(0, 1).flatten(1) for batch in batches]
    mean, variance = statistics(first)
    assert torch.allclose(mean, torch.stack([x.mean(1) for x in maps]).mean(0), atol=1e-6)
    assert torch.allclose(variance, torch.stack([x.var(1) for x in maps]).mean(0), atol=1e-6)
    before = copy.deepcopy(encoder)
    for layer in norms(before):
        layer.reset_running_stats()
        layer.momentum = None
    for batch in batches:
        before(batch)  # as PyTorch averages, in train mode
    assert torch.allclose(statistics(second)[1], statistics(norms(before)[1])[1], atol=1e-6)


def test_afterwards_all_is_as_before_but_for_the_statistics() -> None:
    torch.manual_seed(0)
    unreached, frozen = nn.BatchNorm1d(4), nn.BatchNorm2d(4).eval()
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), frozen, nn.Dropout(0.5))
    model = nn.ModuleList([network, unreached])
    modes = [module.training for module in model.modules()]
    unreached(torch.rand(5, 4))
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with reestimated(model, network, torch.rand(2, 6, *SHAPE, generator=torch.Generator().manual_seed(0))):
        inside = model.state_dict()
        changed = {name for name in state if not torch.equal(state[name], inside[name])}
        assert changed == {f"0.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(random, torch.get_rng_state())
    assert all("forward" not in vars(module) for module in model.modules())


@pytest.mark.parametrize("method", ["autoencoder", "vae"])
def test_a_pretrained_model_has_the_statistics_of_clean_images_and_history_was_measured_with_them(
    method: str, images: Tensor
) -> None:
    settings = replace(SMALL, method=method, corruption=2.0)
    found = pretrain(settings, DIGITS, QUIET, images)
    held_out, seen = split_holdout(settings, len(images))
    clean = found.model.encoder
    maps = next(m for m in clean.modules() if isinstance(m, nn.Conv2d))(images[seen] / 255).transpose(0, 1).flatten(1)
    mean, variance = statistics(norms(clean)[0])
    assert torch.allclose(mean, maps.mean(1), atol=1e-3)
    assert torch.allclose(variance, maps.var(1), rtol=0.02)
    with torch.no_grad():
        measured = found.model.measure(images[held_out])["holdout_loss"]
    assert measured == pytest.approx(found.result.history[-1]["holdout_loss"], rel=1e-6)


def test_measuring_does_not_change_a_training(images: Tensor) -> None:
    """The same images are trained on; with others held out, nothing but the measurements differs."""
    measured = pretrain(SMALL, DIGITS, QUIET, images)
    _, seen = split_holdout(SMALL, len(images))
    alone = pretrain(replace(SMALL, holdout=0), DIGITS, QUIET, images[seen])
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(SMALL.seed))
    again = pretrain(replace(SMALL, holdout=0), DIGITS, QUIET, images[seen][order.argsort()])
    assert [row["train_loss"] for row in again.result.history] == [row["train_loss"] for row in measured.result.history]
    assert alone.result.history != again.result.history  # the order of images matters, so the above says something
    for name, weight in measured.backbone.encoder.state_dict().items():
        assert torch.equal(weight, again.backbone.encoder.state_dict()[name]), name


def test_a_corrupted_training_reconstructs_clean_images_better_for_it(images: Tensor) -> None:
    settings = replace(SMALL, corruption=2.0, epochs=4)
    found = pretrain(settings, DIGITS, QUIET, images)
    held_out, _ = split_holdout(settings, len(images))
    kept = found.result.history[-1]["holdout_loss"]
    torch.manual_seed(0)
    model = found.model.train()
    corrupted = model.corruption(images / 255)  # type: ignore[operator]
    reestimate(model, model, corrupted.split(256))
    with torch.no_grad():
        assert model.eval().measure(images[held_out])["holdout_loss"] > kept + 0.1
