from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Normal, kl_divergence

from pipeline import methods
from pipeline.config import DataConfig, InvariancesConfig, PretrainConfig
from pipeline.datasets.loading import load
from pipeline.errors import PipelineError
from pipeline.evaluation.variational import importance_weighted_bound, integrated_log_likelihood, latent_use
from pipeline.methods.vae import Settings
from pipeline.models.decoders import MLPDecoder
from pipeline.models.encoders import ConvEncoder, MLPEncoder
from pipeline.models.expectations import Expectation, reparameterised, score_function, stopped
from pipeline.models.gaussian import draw, kl_from_prior, log_prior_over_posterior, soft_clamp
from pipeline.models.likelihoods import LIKELIHOODS, Gaussian
from pipeline.models.vae import VAE, Bound, MeanEncoder, evaluate_bound
from tests.conftest import Run

SHAPE = (1, 8, 8)
VAE_SETTINGS = ("--pretrain.method=vae", "--pretrain.corruption=0", "--pretrain.args.importance_samples=5")


def log_prob(distribution: Distribution, value: Tensor) -> Tensor:
    """As torch computes it; its distributions carry no types."""
    result: Tensor = distribution.log_prob(value)
    return result


def last_layer(model: VAE) -> nn.Linear:
    """Of the encoder: mu of each dimension, then the log-variances."""
    *_, last = (module for module in model.encoder.modules() if isinstance(module, nn.Linear))
    return last


def tiny_vae(latent: int = 4, **settings: Any) -> VAE:
    encoder = MeanEncoder(MLPEncoder(SHAPE, 2 * latent, [32]))
    model = VAE(encoder, MLPDecoder(latent, SHAPE, [32]), nn.Identity(), **settings)
    model.log = lambda *_, **__: None  # type: ignore[method-assign]
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    digits: Tensor = load(DataConfig("digits")).train.images
    return digits


@pytest.fixture(scope="module")
def trained(images: Tensor) -> VAE:
    torch.manual_seed(0)
    model = tiny_vae()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(300):
        optimizer.zero_grad()
        batch = images[torch.randint(len(images), (64,))]
        model.training_step((batch, torch.zeros(64))).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model.eval()


# --- the Gaussian ---------------------------------------------------------------------------------------------


def test_kl_equals_that_of_torch() -> None:
    torch.manual_seed(0)
    mu, logvar = 3 * torch.randn(50, 7, dtype=torch.float64), 4 * torch.randn(50, 7, dtype=torch.float64)
    reference = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0))
    assert torch.allclose(kl_from_prior(mu, logvar), reference, rtol=1e-12)
    assert torch.allclose(kl_from_prior(mu.float(), logvar.float()).double(), reference, rtol=1e-5)


def test_kl_close_to_the_prior_keeps_its_digits() -> None:
    logvar = torch.full((1, 1), 1e-3)
    assert kl_from_prior(torch.zeros(1, 1), logvar).item() == pytest.approx(0.25e-6, rel=1e-2)


def test_density_ratio_equals_that_of_torch() -> None:
    torch.manual_seed(0)
    mu, logvar, z = torch.randn(3, 6, 5, dtype=torch.float64)
    reference = log_prob(Normal(0.0, 1.0), z) - log_prob(Normal(mu, (0.5 * logvar).exp()), z)
    assert torch.allclose(log_prior_over_posterior(z, mu, logvar), reference.sum(-1))


def test_reparameterised_gradients_are_those_of_the_expectation() -> None:
    """E[(z - 2)^2] = (mu - 2)^2 + sigma^2, whose gradients are 2 (mu - 2) and, by log sigma^2, sigma^2."""
    mu, logvar = torch.tensor([0.7], requires_grad=True), torch.tensor([-0.4], requires_grad=True)
    z = draw(mu.expand(400_000), logvar.expand(400_000), torch.Generator().manual_seed(0))
    (z - 2).square().mean().backward()  # type: ignore[no-untyped-call]
    assert mu.grad is not None
    assert logvar.grad is not None
    assert mu.grad.item() == pytest.approx(2 * (0.7 - 2), abs=0.01)
    assert logvar.grad.item() == pytest.approx(math.exp(-0.4), abs=0.01)
    assert z.var().item() == pytest.approx(math.exp(-0.4), abs=0.01)


def test_log_variances_are_clamped_softly() -> None:
    logvar = torch.tensor([-1e9, -50.0, -0.5, 0.0, 0.5, 50.0, 1e9], requires_grad=True)
    clamped = soft_clamp(logvar)
    assert clamped.abs().max() <= 15
    assert torch.allclose(clamped[2:5], logvar[2:5], atol=1e-3)
    clamped.sum().backward()  # type: ignore[no-untyped-call]
    assert logvar.grad is not None
    assert (logvar.grad[1:6] > 0).all()


# --- likelihoods ----------------------------------------------------------------------------------------------


def test_likelihoods_equal_those_of_torch() -> None:
    torch.manual_seed(0)
    logits, images = torch.randn(3, 5, *SHAPE), torch.rand(5, *SHAPE)
    binary = images.round()
    for name in ("bernoulli", "binarised"):
        reference = log_prob(Bernoulli(logits=logits), binary.expand_as(logits)).sum((2, 3, 4))
        assert torch.allclose(LIKELIHOODS[name]().log_prob(logits, binary), reference, rtol=1e-5)
    gaussian = Gaussian()
    gaussian.log_scale.data.fill_(-1.5)
    normal = Normal(logits.sigmoid(), math.exp(15 * math.tanh(-0.1)))
    assert torch.allclose(gaussian.log_prob(logits, images), log_prob(normal, images).sum((2, 3, 4)), rtol=1e-4)


def test_binarised_batches_are_binary_new_each_time_and_have_the_grey_levels_for_their_mean() -> None:
    likelihood, grey = LIKELIHOODS["binarised"](), torch.rand(1, *SHAPE)
    torch.manual_seed(0)
    draws = likelihood.target(grey.expand(4000, *SHAPE))
    assert set(draws.flatten().tolist()) == {0.0, 1.0}
    assert not torch.equal(draws[0], draws[1])
    assert (draws.mean(0) - grey[0]).abs().max() < 5 * 0.5 / math.sqrt(4000)
    first, second = (likelihood.target(grey, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_the_gaussian_learns_its_scale(images: Tensor) -> None:
    torch.manual_seed(0)
    model = tiny_vae(likelihood="gaussian")
    model.training_step((images[:50], torch.zeros(50))).backward()  # type: ignore[no-untyped-call]
    assert isinstance(model.likelihood, Gaussian)
    assert model.likelihood.log_scale.grad is not None
    assert model.likelihood.log_scale.grad > 0  # a scale of 1 is too wide for intensities in [0, 1]
    assert "log_scale" in model.parts()["likelihood"].state_dict()


# --- the model ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_loss_is_the_negative_elbo_summed_over_pixels_and_latents(likelihood: str, images: Tensor) -> None:
    model, batch = tiny_vae(likelihood=likelihood).eval(), images[:20]
    torch.manual_seed(1)
    loss = model.training_step((batch, torch.zeros(20)))
    torch.manual_seed(1)
    clean = torch.bernoulli(batch / 255) if likelihood == "binarised" else batch / 255
    mu, raw = model.encoder.network(clean).chunk(2, 1)
    posterior = Normal(mu, (0.5 * soft_clamp(raw)).exp())
    logits = model.decoder(mu + posterior.stddev * torch.randn(20, 4))
    if likelihood == "gaussian":
        density = log_prob(Normal(logits.sigmoid(), 1.0), clean)
    else:
        density = -nn.functional.binary_cross_entropy_with_logits(logits, clean, reduction="none")
    negative_elbo = (kl_divergence(posterior, Normal(0.0, 1.0)).sum(1) - density.sum((1, 2, 3))).mean()
    assert loss.item() == pytest.approx(negative_elbo.item(), rel=1e-5)


def test_embedding_is_deterministic_and_is_mu(trained: VAE, images: Tensor) -> None:
    first, second = trained.embed(images[:30]), trained.embed(images[:30])
    assert torch.equal(first, second)
    assert torch.equal(first, trained.encoder.posterior(images[:30] / 255)[0])
    assert trained.encoder.out_features == first.shape[1] == 4
    assert torch.equal(trained(images[:30]), trained.decoder(first).sigmoid())


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("bias", [-1e6, -50.0, 50.0, 1e6])
def test_extreme_inputs_and_log_variances_stay_finite(likelihood: str, bias: float) -> None:
    model = tiny_vae(likelihood=likelihood).eval()
    last_layer(model).bias.data[4:] = bias
    for batch in (torch.zeros(3, *SHAPE), torch.ones(3, *SHAPE), torch.full((3, *SHAPE), 255, dtype=torch.uint8)):
        loss = model.training_step((batch, torch.zeros(3)))
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.isfinite()
        assert model(batch).shape == batch.shape
        assert math.isfinite(importance_weighted_bound(model, batch, 3))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_float32_agrees_with_double_precision(trained: VAE, images: Tensor) -> None:
    import copy

    double = copy.deepcopy(trained).double()
    clean, noise = images[:200].double() / 255, torch.randn(200, 4, dtype=torch.float64)

    def bound(model: VAE, dtype: torch.dtype) -> Bound:
        mu, logvar = model.encoder.posterior(clean.to(dtype))
        logits = model.decoder(mu + (0.5 * logvar).exp() * noise.to(dtype))
        reconstruction = -model.likelihood.log_prob(logits, clean.to(dtype)).mean()
        return Bound(reconstruction, kl_from_prior(mu, logvar).mean(0))

    single, reference = bound(trained, torch.float32), bound(double, torch.float64)
    assert reference.elbo.dtype == torch.float64
    assert single.elbo.item() == pytest.approx(reference.elbo.item(), rel=1e-5)


def test_half_precision_is_left_for_the_loss(images: Tensor) -> None:
    model = tiny_vae()
    with torch.autocast("cpu", torch.bfloat16):
        bound = model.bound(images[:20] / 255, images[:20] / 255)
    assert bound.reconstruction.dtype == bound.kl.dtype == torch.float32


def test_beta_weighs_the_kl_and_free_bits_are_free() -> None:
    bound = Bound(torch.tensor(70.0), torch.tensor([0.1, 2.0, 0.0]))
    assert bound.elbo.item() == pytest.approx(-72.1)
    assert bound.objective(beta=4.0, free_bits=0.0).item() == pytest.approx(70 + 4 * 2.1)
    assert bound.objective(beta=1.0, free_bits=0.5).item() == pytest.approx(70 + 0.5 + 2 + 0.5)
    assert bound.objective(beta=1.0, free_bits=0.0, reconstruction=0.0).item() == pytest.approx(2.1)
    kl = torch.tensor([0.1, 2.0], requires_grad=True)
    Bound(torch.tensor(0.0), kl).objective(1.0, 0.5).backward()  # type: ignore[no-untyped-call]
    assert kl.grad is not None
    assert kl.grad.tolist() == [0.0, 1.0]


def test_warm_up_raises_beta_linearly() -> None:
    class Clock:
        max_epochs, estimated_stepping_batches, global_step = 10, 100, 0

    model, seen = tiny_vae(beta=2.0, kl_warmup=2.5), []
    model._trainer = Clock()  # type: ignore[assignment]
    for Clock.global_step in (0, 5, 25, 80):
        seen.append(model.current_beta())
    assert seen == pytest.approx([0.0, 0.4, 2.0, 2.0])


def test_the_corruption_is_shown_to_the_encoder_alone(images: Tensor) -> None:
    class Blank(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    model, clean = tiny_vae().eval(), images[:20] / 255
    model.corruption = Blank()
    torch.manual_seed(0)
    loss = model.training_step((images[:20], torch.zeros(20)))
    torch.manual_seed(0)
    expected = model.bound(clean, torch.zeros_like(clean)).objective(1.0, 0.0)
    assert loss.item() == pytest.approx(expected.item())


# --- what is measured -----------------------------------------------------------------------------------------


def test_the_bound_tightens_with_importance_samples(trained: VAE, images: Tensor) -> None:
    shown = images[:400]
    elbo = evaluate_bound(trained, shown).elbo.item()
    bounds = [importance_weighted_bound(trained, shown, samples) for samples in (1, 5, 50, 500)]
    assert bounds[0] == pytest.approx(elbo, abs=0.3)
    assert bounds == sorted(bounds)
    assert bounds[-1] > elbo + 0.2


def test_importance_weights_do_not_depend_on_how_they_are_cut_up(trained: VAE, images: Tensor) -> None:
    """One image decodes all samples at once; the reference is the definition, sample by sample."""
    clean, generator = images[:1] / 255, torch.Generator().manual_seed(0)
    with torch.no_grad():
        mu, logvar = trained.encoder.posterior(clean)
        z = draw(mu.expand(40, 1, 4), logvar.expand(40, 1, 4), generator)[:, 0]
        log_p = log_prob(Normal(0.0, 1.0), z).sum(1) + trained.likelihood.log_prob(trained.decoder(z), clean)
        weights = log_p - log_prob(Normal(mu, (0.5 * logvar).exp()), z).sum(1)
    expected = (weights.double().exp().mean()).log().item()
    assert importance_weighted_bound(trained, images[:1], 40) == pytest.approx(expected, rel=1e-5)


def test_measuring_leaves_training_alone(trained: VAE, images: Tensor) -> None:
    state = torch.get_rng_state()
    first, second = trained.measure(images[:1500]), trained.measure(images[:1500])
    assert first == second
    assert torch.equal(state, torch.get_rng_state())
    assert first["holdout_elbo"] == pytest.approx(-first["holdout_reconstruction"] - first["holdout_kl"])
    assert first["holdout_loss"] == pytest.approx(-first["holdout_elbo"])


def test_active_units_are_those_whose_mean_moves(trained: VAE, images: Tensor) -> None:
    import copy

    model = copy.deepcopy(trained)
    for row in (2, 6):  # mu and log-variance of the third dimension
        last_layer(model).weight.data[row] = 0
        last_layer(model).bias.data[row] = 0
    use = latent_use(model, images)
    assert use.active.tolist() == [True, True, False, True]
    assert [values[2].item() for values in (use.kl, use.sigma, use.spread)] == [0, 1, 0]
    assert use.kl.sum().item() == pytest.approx(evaluate_bound(model, images).kl.sum().item(), rel=1e-4)
    assert [row["active"] for row in use.rows()] == [1, 1, 0, 1]


# --- settings -------------------------------------------------------------------------------------------------


def test_a_method_has_its_own_settings_and_no_others() -> None:
    plain, vae = PretrainConfig(), PretrainConfig(method="vae", args={"beta": 4})
    assert methods.resolved(plain)["args"] == {"loss": "bce"}
    assert methods.resolved(plain) == methods.resolved(PretrainConfig(args={"loss": "bce"}))
    assert methods.own_settings(vae) == Settings(beta=4.0)
    assert methods.resolved(vae)["args"]["beta"] == 4.0
    with pytest.raises(PipelineError, match=r"args.beta: the method autoencoder has no such setting; .* loss"):
        methods.own_settings(PretrainConfig(args={"beta": 4}))
    with pytest.raises(PipelineError, match=r"pretrain.args: .*likelihood"):
        methods.own_settings(PretrainConfig(method="vae", args={"likelihood": "poisson"}))
    assert methods.architecture(plain) != methods.architecture(vae)
    assert methods.architecture(vae) == methods.architecture(PretrainConfig(method="vae"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": -1.0}, "pretrain.args: beta: -1.0"),
        ({"beta": math.nan}, "pretrain.args: beta"),
        ({"kl_warmup": -1.0}, "pretrain.args: kl_warmup"),
        ({"free_bits": math.inf}, "pretrain.args: free_bits"),
        ({"importance_samples": 0}, "pretrain.args: importance_samples"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        methods.own_settings(PretrainConfig(method="vae", args=settings))


def test_a_warm_up_longer_than_the_training_is_refused() -> None:
    config = PretrainConfig(method="vae", args={"kl_warmup": 17.0})
    encoder = methods.new_backbone(config, SHAPE).encoder
    with pytest.raises(PipelineError, match=r"at most pretrain.epochs, 16"):
        methods.new_model(config, InvariancesConfig(), SHAPE, encoder)


def test_any_encoder_can_be_a_posterior() -> None:
    encoder = MeanEncoder(ConvEncoder(SHAPE, 6, [4]))
    mu, logvar = encoder.posterior(torch.rand(5, *SHAPE))
    assert mu.shape == logvar.shape == (5, 3)


# --- through the command line ---------------------------------------------------------------------------------


def outcome(runs: Path) -> tuple[Path, dict[str, Any]]:
    for manifest in (runs / "tiny").glob("pretrain-*/manifest.json"):
        content = json.loads(manifest.read_text())
        if content["inputs"]["pretrain"]["method"] == "vae":
            return manifest.parent, content["outcome"]
    raise AssertionError("no VAE was pretrained")


def test_a_vae_goes_through_every_stage(runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("pretrain", *VAE_SETTINGS) == 0
    folder, found = outcome(runs)
    with (folder / "latents.csv").open() as file:
        latents = list(csv.DictReader(file))
    assert len(latents) == 16
    assert sum(int(row["active"]) for row in latents) == found["active_units"]
    assert sum(float(row["kl"]) for row in latents) == pytest.approx(found["holdout_kl"], rel=1e-4)
    assert found["holdout_log_likelihood"] > found["holdout_elbo"] - 0.5
    assert (
        (folder / "history.csv")
        .read_text()
        .startswith("epoch,train_loss,holdout_loss,holdout_elbo,holdout_reconstruction,holdout_kl\n")
    )
    embeddings = load_file(folder / "embeddings.safetensors")["train"]
    assert embeddings.shape[1] == 16
    assert embeddings.std(0).max() < 1.01
    capsys.readouterr()
    assert tiny("compare", *VAE_SETTINGS, "--grid.labels=[50]", "--grid.draws=1", "--grid.baselines=false") == 0
    assert tiny("report", *VAE_SETTINGS, "--grid.labels=[50]", "--grid.draws=1", "--grid.baselines=false") == 0
    page = (runs / "tiny" / "report.md").read_text()
    assert "pretrained as a variational autoencoder for 2 epochs" in page
    assert "negative ELBO" in page
    assert f"{found['active_units']} of its 16 latent dimensions are active" in page


@pytest.mark.parametrize("likelihood", ["binarised", "gaussian"])
def test_other_likelihoods_and_a_corruption(likelihood: str, runs: Path, tiny: Run) -> None:
    noise = ("--invariances.preset=none", "--invariances.noise=0.2", "--pretrain.corruption=1")
    chosen = (*VAE_SETTINGS, f"--pretrain.args.likelihood={likelihood}", *noise)
    warm = ("--pretrain.args.kl_warmup=1", "--pretrain.args.free_bits=0.1", "--pretrain.args.beta=2")
    assert tiny("pretrain", *chosen, *warm) == 0
    folder, found = outcome(runs)
    assert found["holdout_loss"] >= -found["holdout_elbo"]
    assert (len(load_file(folder / "likelihood.safetensors")) == 1) == (likelihood == "gaussian")
    assert tiny("train", "--mode=frozen", *chosen, *warm) == 0


def test_settings_of_a_method_are_checked_by_every_stage(tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("data", "--pretrain.args.beta=4") == 2
    assert "pretrain.args.beta: the method autoencoder has no such setting" in capsys.readouterr().err
    assert tiny("pretrain", "--pretrain.method=vae", "--pretrain.args.beta=high") == 2
    assert "pretrain.args" in capsys.readouterr().err
    assert tiny("pretrain", "--help") == 0
    assert "free_bits: float, default 0.0" in capsys.readouterr().out


@pytest.mark.parametrize("expectation", [reparameterised, score_function])
def test_a_gradient_reaches_the_encoder_through_drawn_codes(expectation: Expectation) -> None:
    # E (z - 1)^2 over N(mu, sigma^2) is (mu - 1)^2 + sigma^2, here with mu = 2 and sigma = 1
    mu = torch.full((200_000, 1), 2.0, requires_grad=True)
    logvar = torch.zeros_like(mu, requires_grad=True)
    values = expectation(lambda z: (z - 1).square().sum(1), mu, logvar, torch.Generator().manual_seed(0))
    assert values.mean().item() == pytest.approx(2, abs=0.03)
    gradients = torch.autograd.grad(values.sum(), [mu, logvar])
    assert [gradient.mean().item() for gradient in gradients] == pytest.approx([2, 1], abs=0.05)


def test_no_gradient_passes_through_a_code_that_is_merely_drawn() -> None:
    mu = torch.full((5, 1), 2.0, requires_grad=True)
    assert not stopped(lambda z: z.square().sum(1), mu, torch.zeros_like(mu)).requires_grad


@pytest.mark.parametrize("latent", [1, 2])
def test_a_narrow_latent_is_integrated_over(images: Tensor, latent: int) -> None:
    torch.manual_seed(0)
    model = tiny_vae(latent)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for batch in torch.split(images, 256) * 10:
        optimizer.zero_grad()
        torch.autograd.backward(model.training_step((batch, batch)))
        optimizer.step()
    model.eval()
    log_likelihood = integrated_log_likelihood(model, images[:50])
    assert importance_weighted_bound(model, images[:50], 2000) == pytest.approx(log_likelihood, abs=0.02)
    assert float(evaluate_bound(model, images[:50]).elbo) < log_likelihood - 0.05
