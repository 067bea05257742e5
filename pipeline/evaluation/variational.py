"""Measures of a variational autoencoder: an estimate of log p(x), and how much each latent dimension says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.models.gaussian import draw, kl_from_prior, log_prior_over_posterior
from pipeline.models.inputs import Images, as_input, chunks
from pipeline.models.vae import VAE

ACTIVE = 0.01  # a unit whose mean varies more than this over the data is active (Burda et al. 2016, section 5.1)

LATTICE_REACH, LATTICE_STEP = 5.0, 0.05  # of an integral over the latent, in standard deviations of the prior

_IMAGES, _DECODED = 100, 2000  # images, and samples of them, at a time: what bounds the memory
_POINTS = 200  # of the lattice at a time, each against that many images


@torch.no_grad()
def importance_weighted_bound(model: VAE, images: Images, samples: int, seed: int = 0) -> float:
    """Return mean of log (1/k sum_i p(x, z_i) / q(z_i | x)) over images, in nats (Burda et al. 2016, equation 8).

    With k = 1 sample it is the ELBO; it rises with k towards log p(x). The model is in eval mode, the images have the
    shape (N, C, H, W), uint8 or floats in [0, 1]; the seed decides the samples, and the binarisation if there is one.
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    total = 0.0
    for chunk in chunks(images, _IMAGES):
        clean = model.likelihood.target(as_input(chunk.to(model.device)), generator)
        mu, logvar = model.encoder.posterior(clean)
        log_sum = torch.full((len(clean),), -math.inf, device=model.device)
        for part in torch.split(torch.arange(samples), max(1, _DECODED // len(clean))):
            weights = _log_weights(model, clean, mu, logvar, len(part), generator)
            log_sum = torch.logaddexp(log_sum, weights.logsumexp(0))
        total += float((log_sum - math.log(samples)).sum())
    return total / len(images)


@torch.no_grad()
def integrated_log_likelihood(model: VAE, images: Images, seed: int = 0) -> float:
    """Return mean log p(x) over images, in nats: p(x | z) N(z; 0, 1) integrated over a latent of one or two dimensions.

    The trapezoid rule on a lattice of step 0.05 out to 5 has an error below 0.002 nats a dimension where posteriors are
    Gaussians inside it with a standard deviation of at least 0.03. The model is in eval mode, the images have the shape
    (N, C, H, W), uint8 or floats in [0, 1]; the seed decides the binarisation if there is one.
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    axis = torch.arange(-LATTICE_REACH, LATTICE_REACH + LATTICE_STEP / 2, LATTICE_STEP, device=model.device)
    lattice = torch.cartesian_prod(*[axis] * model.encoder.out_features).view(-1, model.encoder.out_features)
    log_weights = (math.log(LATTICE_STEP) - 0.5 * math.log(2 * math.pi) - 0.5 * lattice.square()).sum(1)
    total = 0.0
    for chunk in chunks(images, _IMAGES):
        clean = model.likelihood.target(as_input(chunk.to(model.device)), generator)
        log_sum = torch.full((len(clean),), -math.inf, device=model.device)
        for z, weights in zip(torch.split(lattice, _POINTS), torch.split(log_weights, _POINTS), strict=True):
            logits = model.decoder(z).unsqueeze(1).expand(-1, len(clean), -1, -1, -1)
            joint = model.likelihood.log_prob(logits, clean) + weights.unsqueeze(1)
            log_sum = torch.logaddexp(log_sum, joint.logsumexp(0))
        total += float(log_sum.sum())
    return total / len(images)


def _log_weights(
    model: VAE, clean: Tensor, mu: Tensor, logvar: Tensor, samples: int, generator: torch.Generator
) -> Tensor:
    """Return the log of p(x, z) / q(z | x) of that many samples of each image's posterior, shape (samples, B)."""
    mu, logvar = mu.expand(samples, *mu.shape), logvar.expand(samples, *logvar.shape)
    z = draw(mu, logvar, generator)
    logits = model.decoder(z.flatten(0, 1)).unflatten(0, (samples, len(clean)))
    return model.likelihood.log_prob(logits, clean) + log_prior_over_posterior(z, mu, logvar)


@dataclass(frozen=True)
class LatentUse:
    """How the posteriors of some images use the latent dimensions; each a tensor of shape (D,).

    Attributes:
        kl: Mean KL from the prior, nats.
        sigma: Mean standard deviation of the posteriors; near 1 where a dimension is not used.
        spread: Standard deviation of the posteriors' means over the images; near 0 where a dimension is not used.
    """

    kl: Tensor
    sigma: Tensor
    spread: Tensor

    @property
    def active(self) -> Tensor:
        """Which dimensions are active, shape (D,)."""
        return self.spread.square() > ACTIVE

    def rows(self) -> list[dict[str, float]]:
        """Return the rows of latents.csv, one for each dimension."""
        columns = {"kl": self.kl, "mean_sigma": self.sigma, "spread": self.spread, "active": self.active.int()}
        return [
            {"dimension": place, **{name: values[place].item() for name, values in columns.items()}}
            for place in range(len(self.kl))
        ]


@torch.no_grad()
def latent_use(model: VAE, images: Images, seed: int = 0) -> LatentUse:
    """Return how the posteriors of clean images, shape (N, C, H, W), uint8 or floats in [0, 1], use the latent.

    The model is in eval mode; the seed decides the binarisation if there is one.
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    posteriors = [
        model.encoder.posterior(model.likelihood.target(as_input(chunk.to(model.device)), generator))
        for chunk in chunks(images, _DECODED)
    ]
    mu, logvar = (torch.cat(parts).cpu() for parts in zip(*posteriors, strict=True))
    return LatentUse(kl_from_prior(mu, logvar).mean(0), (0.5 * logvar).exp().mean(0), mu.std(0, correction=0))
