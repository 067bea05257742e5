from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist
from typing import Any

import matplotlib.image
import pytest
import torch
from torch import Tensor, nn

from pipeline.models import generation
from pipeline.models.autoencoder import Autoencoder
from pipeline.models.decoders import MLPDecoder
from pipeline.models.encoders import MLPEncoder
from pipeline.models.generation import LatentGaussian
from pipeline.models.inputs import BLOCK, in_blocks
from pipeline.models.vae import VAE, MeanEncoder
from tests.conftest import Run

SHAPE = (1, 8, 8)


@pytest.fixture(params=["autoencoder", "vae"])
def model(request: pytest.FixtureRequest) -> Autoencoder | VAE:
    torch.manual_seed(0)
    decoder = MLPDecoder(2, SHAPE, [16])
    if request.param == "vae":
        return VAE(MeanEncoder(MLPEncoder(SHAPE, 4, [16])), decoder, nn.Identity()).eval()
    return Autoencoder(MLPEncoder(SHAPE, 2, [16]), decoder, nn.Identity()).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (6, *SHAPE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_samples_follow_the_seed_and_the_gaussian(model: Autoencoder | VAE) -> None:
    prior = LatentGaussian.standard(2)
    first = generation.sample(model, prior, 7, seed=1)
    assert first.shape == (7, *SHAPE)
    assert 0 <= first.min() <= first.max() <= 1
    assert torch.equal(first, generation.sample(model, prior, 7, seed=1))
    assert not torch.equal(first, generation.sample(model, prior, 7, seed=2))
    point = LatentGaussian(torch.tensor([1.0, -2.0]), torch.zeros(2, 2))
    assert torch.allclose(
        generation.sample(model, point, 3), model.decode(torch.tensor([[1.0, -2.0]])).expand(3, -1, -1, -1)
    )


def test_many_images_are_decoded_in_pieces(model: Autoencoder | VAE) -> None:
    latents = torch.randn(2 * BLOCK + 1, 2)
    with torch.no_grad():
        assert torch.allclose(generation.decode(model, latents), model.decode(latents), atol=1e-6)


def test_reconstructions_go_through_the_embedding(model: Autoencoder | VAE, images: Tensor) -> None:
    rebuilt = generation.reconstruct(model, images)
    assert torch.equal(rebuilt, generation.decode(model, in_blocks(model.embed, images)))
    assert torch.allclose(rebuilt, generation.reconstruct(model, images / 255), atol=1e-6)
    assert not rebuilt.requires_grad


def test_interpolations_begin_and_end_at_the_reconstructions(model: Autoencoder | VAE, images: Tensor) -> None:
    lines = generation.interpolate(model, images[:3], images[3:], steps=5).reshape(3, 5, *SHAPE)
    assert torch.allclose(lines[:, 0], generation.reconstruct(model, images[:3]), atol=1e-6)
    assert torch.allclose(lines[:, -1], generation.reconstruct(model, images[3:]), atol=1e-6)
    middle = (model.embed(images[:3]) + model.embed(images[3:])) / 2
    assert torch.allclose(lines[:, 2], generation.decode(model, middle), atol=1e-6)


def test_a_manifold_is_spaced_by_the_quantiles_of_the_gaussian(model: Autoencoder | VAE) -> None:
    gaussian = LatentGaussian.independent(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.5]))
    grid = generation.manifold(model, gaussian, side=4).reshape(4, 4, *SHAPE)
    quantiles = torch.tensor([NormalDist().inv_cdf(share) for share in (0.125, 0.375, 0.625, 0.875)])
    for row, column in ((0, 0), (1, 3), (3, 2)):
        point = torch.stack([1 + 2 * quantiles[column], 0.5 * quantiles[3 - row]])
        assert torch.allclose(grid[row, column], generation.decode(model, point[None])[0], atol=1e-5)


def test_a_manifold_needs_two_dimensions(model: Autoencoder | VAE) -> None:
    with pytest.raises(ValueError, match="2 latent dimensions, not of 3"):
        generation.manifold(model, LatentGaussian.standard(3), side=4)


# --- through the command line ---------------------------------------------------------------------------------


def artefact(runs: Path) -> tuple[Path, dict[str, Any]]:
    [folder] = (runs / "tiny").glob("sample-*")
    outcome: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["outcome"]
    return folder, outcome


def test_sampling_an_autoencoder(runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("sample", "--count=9") == 0
    said = capsys.readouterr().out
    assert "denoising autoencoder: 9 samples, latents drawn from a Gaussian fitted to the training embeddings" in said
    folder, outcome = artefact(runs)
    assert outcome == {"latents_from": "a Gaussian fitted to the training embeddings"}
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures == {"samples.png", "reconstructions.png", "interpolations.png"}
    picture = matplotlib.image.imread(folder / "samples.png")
    assert picture.shape[:2] == (3 * 58 + 2, 3 * 58 + 2)
    assert picture.std() > 0.05
    assert tiny("sample", "--count=9") == 0  # recognised: still one folder
    artefact(runs)


def test_sampling_a_vae(runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    likelihood = ("--pretrain.method=vae", "--pretrain.latent=2", "--pretrain.args.likelihood=gaussian")
    settings = (*likelihood, "--pretrain.args.importance_samples=5", "--pretrain.holdout=1")
    assert tiny("sample", *settings) == 2
    assert "run `python -m pipeline pretrain` with the same settings" in capsys.readouterr().err
    assert tiny("pretrain", *settings) == 0
    assert tiny("sample", *settings) == 0
    said = capsys.readouterr().out
    folder, outcome = artefact(runs)
    found = outcome["test"]
    assert f"on 360 test images: negative elbo {found['negative_elbo']:.2f}" in said
    assert found["negative_elbo"] == pytest.approx(found["reconstruction"] + found["kl"])
    assert found["negative_log_likelihood"] < found["negative_elbo"]
    assert len(list(folder.glob("*.png"))) == 4
    assert matplotlib.image.imread(folder / "manifold.png").shape[0] == 20 * 58 + 2


@pytest.mark.parametrize(("option", "message"), [("--count=0", "count: 0"), ("--seed=-1", "seed: -1")])
def test_bad_options_are_refused(option: str, message: str, tiny: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny("sample", option) == 2
    assert message in capsys.readouterr().err
