"""Estimates of an expectation over drawn codes, which differ in the gradient that reaches the encoder.

Each function estimates E f(z) over z ~ N(mu, sigma^2) by one draw, with the same value; what differs is its gradient
with respect to ``mu`` and ``logvar``. A VAE is trained with ``reparameterised``; the study ``gradient`` compares it
with the others. Mohamed et al. 2020 (https://arxiv.org/abs/1906.10652) survey such estimates.

The arguments of all three: ``function`` maps codes (B, D) to one number for each, (B,); ``mu`` and ``logvar`` have
shape (B, D); ``generator``, or else the global one, draws the codes. The result has shape (B,).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.models.gaussian import draw, log_prior_over_posterior

Function = Callable[[Tensor], Tensor]
Expectation = Callable[[Function, Tensor, Tensor, torch.Generator | None], Tensor]


def reparameterised(function: Function, mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw mu + sigma * epsilon: epsilon is a constant, so the gradient passes (Kingma and Welling 2014)."""
    return function(draw(mu, logvar, generator))


def stopped(function: Function, mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw a code as a random number generator does: no gradient passes through it."""
    return function(draw(mu, logvar, generator).detach())


def score_function(function: Function, mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Weight the gradient of each draw's log-density by its value (Williams 1992), which needs no gradient through it.

    A value counts from the mean of the other draws of the batch, which leaves the gradient without bias and lowers its
    variance.
    """
    z = draw(mu, logvar, generator).detach()
    values = function(z)
    others = (values.sum() - values) / max(1, len(values) - 1)
    log_density = -log_prior_over_posterior(z, mu, logvar)  # but for a term without gradient
    return values + (values - others).detach() * (log_density - log_density.detach())
