"""The masked autoencoder and the autoencoder with agreement of views: their arithmetic, and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline import methods
from pipeline.models.decoders import MLPDecoder
from pipeline.models.encoders import MLPEncoder, PatchEncoder
from pipeline.models.losses import binary_cross_entropy
from pipeline.models.masked import MaskedAutoencoder
from pipeline.models.views import ViewAutoencoder, lacking_variance, shared_variance
from tests.conftest import Run

SHAPE = (1, 8, 8)
WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0, "reconstruction": 0.1}
GRID = ("--grid.labels=[50]", "--grid.draws=1", "--grid.modes=[frozen,scratch]", "--grid.baselines=false")


def batch(count: int, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


# --- patches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14)])
def test_an_encoder_of_patches_can_leave_some_out(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    encoder, x = PatchEncoder(shape, 5, [8, 4], [16], patch=4).eval(), batch(6, shape)
    assert encoder.patches == (4 if shape == (1, 8, 8) else 12)
    everything = torch.arange(encoder.patches).flip(0).expand(6, -1)
    assert torch.allclose(encoder.encode_visible(x, everything), encoder(x), atol=1e-6)
    hidden = x.clone()
    hidden[:, :, :4, :4] = 0.123  # the first patch
    visible = torch.arange(1, encoder.patches).expand(6, -1)
    assert not torch.allclose(encoder(hidden), encoder(x))
    assert torch.equal(encoder.encode_visible(hidden, visible), encoder.encode_visible(x, visible))


def test_hidden_patches_cost_nothing() -> None:
    torch.manual_seed(0)
    encoder = PatchEncoder(SHAPE, 5, [8], [16], patch=2)
    model = MaskedAutoencoder(encoder, MLPDecoder(5, SHAPE, [16]), hidden=0.75)
    seen: list[int] = []
    encoder.each.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    model.training_step((batch(10), torch.zeros(10)))
    assert seen == [10 * 4]
    chosen = model.draw_visible(batch(1000))
    assert chosen.shape == (1000, 4)
    assert all(len(set(row)) == 4 for row in chosen.tolist())
    assert torch.bincount(chosen.flatten(), minlength=16).min() > 180  # of 250 that each patch can expect


def test_the_masked_autoencoder_is_charged_for_the_whole_image() -> None:
    torch.manual_seed(0)
    model = MaskedAutoencoder(PatchEncoder(SHAPE, 5, [8], [16]), MLPDecoder(5, SHAPE, [16]), hidden=0.5).eval()
    images = batch(10)
    torch.manual_seed(1)
    loss = model.training_step((images, torch.zeros(10)))
    torch.manual_seed(1)
    latents = model.encoder.encode_visible(images, model.draw_visible(images))
    assert loss.item() == pytest.approx(binary_cross_entropy(model.decoder(latents), images).item())
    assert MaskedAutoencoder(PatchEncoder(SHAPE, 5), nn.Identity(), hidden=0.99).visible == 1


# --- agreement of views ---------------------------------------------------------------------------------------


def test_the_terms_of_agreement_are_those_of_the_paper() -> None:
    features = torch.tensor([[1.0, 10.0, 0.0], [3.0, 14.0, 0.0], [2.0, 12.0, 0.0]])
    assert lacking_variance(features).item() == pytest.approx((0 + 0 + 0.99) / 3, abs=1e-3)
    assert shared_variance(features).item() == pytest.approx(2 * 2.0**2 / 3)  # off the diagonal, by the features


class Shift(nn.Module):
    """Shifts every other batch."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x if self.calls % 2 else x.roll(1, 3)


def test_agreement_is_the_distance_of_two_views_and_the_weights_are_heeded() -> None:
    torch.manual_seed(0)
    images = batch(20)
    model = ViewAutoencoder(MLPEncoder(SHAPE, 4, [16]), MLPDecoder(4, SHAPE, [16]), nn.Identity(), [8, 6], WEIGHTS)
    terms = model.terms(images)
    assert terms["invariance"].item() == 0  # views that are alike
    assert terms["variance"].item() > 0
    assert terms["covariance"].item() > 0
    drawn = binary_cross_entropy(model.decoder(model.encoder(images)), images)
    assert terms["reconstruction"].item() == pytest.approx(0.1 * drawn.item(), rel=1e-4)
    whole = sum(term.item() for term in terms.values())
    assert model.training_step((images, torch.zeros(20))).item() == pytest.approx(whole, rel=1e-4)
    model.corruption, model.weights = Shift(), dict.fromkeys(WEIGHTS, 0.0) | {"invariance": 1.0}
    a, b = (model.projector(model.encoder(view)) for view in (images, images.roll(1, 3)))
    assert model.training_step((images, torch.zeros(20))).item() == pytest.approx((a - b).square().mean().item())


def test_measuring_agreement_keeps_no_statistics() -> None:
    torch.manual_seed(0)
    model = ViewAutoencoder(MLPEncoder(SHAPE, 4, [16]), MLPDecoder(4, SHAPE, [16]), Shift(), [8, 6], WEIGHTS).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        row = model.measure(batch(20))
    assert row.keys() == {"holdout_loss", "holdout_invariance", "holdout_reconstruction"}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# --- the command line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "chosen", "said"),
    [
        ("masked", ("--pretrain.encoder.name=patches", "--pretrain.args.hidden=0.5"), "50 % of each image's patches"),
        ("views", ("--pretrain.args.projector=[32,16]",), "the disagreement of two views is"),
    ],
)
def test_a_built_in_method_goes_through_every_stage(
    method: str, chosen: tuple[str, ...], said: str, runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (f"--pretrain.method={method}", *chosen)
    assert tiny("pretrain", *settings) == 0
    assert tiny("sample", "--count=4", *settings) == 0
    assert tiny("compare", *settings, *GRID) == 0
    assert tiny("report", *settings, *GRID) == 0
    page = (runs / "tiny" / "report.md").read_text()
    assert f"pretrained as a denoising {methods.find_method(method).summary}" in page
    assert said in page
    assert f"When to take this method: {methods.find_method(method).when}" in page
    [cell] = (runs / "tiny" / "cells").glob("frozen-50-0-*")
    assert tiny("export", *settings, f"--cell={cell}") == 0  # with ONNX, compared with the original
    capsys.readouterr()


def test_every_method_says_where_it_is_from_and_when_to_take_it() -> None:
    assert set(methods.BUILT_IN) == {"autoencoder", "masked", "none", "vae", "views"}
    for name in methods.BUILT_IN:
        method = methods.find_method(name)
        assert "https://" in method.reference, name
        assert method.when.endswith("."), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pretrain.method=masked",), "'conv' cannot leave out patches of an image; the method masked needs"),
        (("--pretrain.method=masked", "--pretrain.args.hidden=1"), "hidden: 1.0 is not allowed"),
        (("--pretrain.method=views", "--pretrain.corruption=0"), "makes views that are all alike"),
        (("--pretrain.method=views", "--pretrain.args.projector=[]"), "projector: () is not allowed"),
        (("--pretrain.method=views", "--pretrain.args.variance=-1"), "variance: -1.0 is not allowed"),
        (("--pretrain.encoder={name: patches, args: {patch: 0}}",), "patch: 0 is not allowed"),
    ],
)
def test_what_a_method_cannot_do_is_refused(
    arguments: tuple[str, ...], message: str, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("pretrain", *arguments) == 2
    assert message in capsys.readouterr().err
