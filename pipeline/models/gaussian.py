"""The diagonal Gaussian over the latent: KL divergence, reparameterised samples, density ratio; pure functions.

A Gaussian is given by its mean ``mu`` and by ``logvar``, the logarithm of its variance, whose exponential is
positive whatever a network says. The arithmetic is at least float32, whatever the precision of the network.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOGVAR_LIMIT = 15.0  # sigma stays between 0.0006 and 1800, far beyond what a latent under a unit prior needs


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 pass unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def soft_clamp(logvar: Tensor) -> Tensor:
    """Squeeze a network's output smoothly into (-LOGVAR_LIMIT, LOGVAR_LIMIT); near 0 it is the identity.

    Without it a stray log-variance of 90 overflows float32. A hard limit would have no gradient to come back by.
    """
    return LOGVAR_LIMIT * (at_least_float32(logvar) / LOGVAR_LIMIT).tanh()


def kl_from_prior(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) of each dimension, in nats (Kingma and Welling 2014, appendix B), shape (B, D)."""
    mu, logvar = at_least_float32(mu), at_least_float32(logvar)
    # expm1 keeps the digits that exp(logvar) - 1 loses where the posterior is close to the prior
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar)


def draw(mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Sample mu + sigma * epsilon, through which gradients reach mu and logvar (Kingma and Welling 2014, section 2.4).

    All have one shape, which may be any; the generator, or else the global one, draws epsilon.
    """
    mu, logvar = at_least_float32(mu), at_least_float32(logvar)
    noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
    return mu + (0.5 * logvar).exp() * noise


def log_prior_over_posterior(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the log of N(z; 0, 1) / N(z; mu, sigma^2), summed over the latent dimensions, in nats.

    The arguments have the shape (..., D), the result has (...).
    """
    mu, logvar = at_least_float32(mu), at_least_float32(logvar)
    standardised = (z - mu) * (-0.5 * logvar).exp()
    return 0.5 * (standardised.square() + logvar - z.square()).sum(-1)
