"""Study of how a VAE is trained: a gradient through drawn codes, and a bound in place of log p(x)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.statistics import mean_interval
from pipeline.methods import Method, Parts
from pipeline.methods.vae import METHOD
from pipeline.report.drawing import Picture
from pipeline.studies import charts
from pipeline.studies.definition import (
    Finding,
    Measured,
    Points,
    Study,
    Subject,
    above,
    below,
    difference,
    points_of,
    show,
)
from pipeline.studies.measures import NEAR, USEFUL, are_useless, budgets, posteriors

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pipeline.models.expectations import Expectation
    from pipeline.models.vae import VAE

CLAIM = (
    "Drawing a code cannot be differentiated, so no gradient would reach the encoder; with the noise drawn outside of "
    "the network, mu + sigma * epsilon, it does. What is trained on, the ELBO, lies below log p(x)."
)
IMAGES, DRAWS = 50, 1000  # images that gradients are compared on and whose p(x) is integrated; draws an image
SAMPLES = (1, 10, 100)  # of the importance-weighted bound
CHANCE = (0.5, 1.5)  # mean square of what differs by chance alone, in its standard errors, is near 1
NOISIER = 10  # times the variance, from which on an estimate counts as the noisier one
MARGIN = 0.05  # nats by which a bound that is itself drawn may lie above what it bounds


# --- the arms: pretraining methods that differ in the gradient of what is drawn ---------------------------------


def _stopped(parts: Parts) -> VAE:
    from pipeline.models.expectations import stopped

    return _estimating(parts, stopped)


def _score_function(parts: Parts) -> VAE:
    from pipeline.models.expectations import score_function

    return _estimating(parts, score_function)


def _estimating(parts: Parts, expectation: Expectation) -> VAE:
    from pipeline.models.vae import VAE

    model = METHOD.make_model(parts)
    assert isinstance(model, VAE)
    model.expectation = expectation
    return model


STOPPED: Method = replace(METHOD, summary="VAE without a gradient through its codes", make_model=_stopped)
SCORE: Method = replace(METHOD, summary="VAE by the score function", make_model=_score_function)


# --- what is measured ---------------------------------------------------------------------------------------------


def _measure(subject: Subject) -> Measured:
    from pipeline.evaluation.variational import importance_weighted_bound, integrated_log_likelihood, latent_use

    found = posteriors(subject)
    model, images = found.model, found.images[:IMAGES]
    values = {
        **{f"bound_{samples}": importance_weighted_bound(model, images, samples) for samples in SAMPLES},
        "log_likelihood": integrated_log_likelihood(model, images),
        "spread": float(latent_use(model, found.images).spread.mean()),
        "chance": found.chance,
        **_gradients(model, images),
    }
    return Measured(values, found.arrays)


def _gradients(model: VAE, images: Tensor) -> dict[str, float]:
    """Compare two estimates of the gradient of a model's reconstruction with respect to the means of its codes.

    Returns:
        ``noise``: how many times the variance of one draw by the score function is that of one by mu + sigma * epsilon;
        ``deviation``: the mean square of the difference of both, each the mean of ``DRAWS`` draws, in its standard
        errors; 1 is expected of two estimates of one gradient.
    """
    import torch

    from pipeline.models.expectations import reparameterised, score_function
    from pipeline.models.inputs import as_input

    clean = as_input(images)
    with torch.no_grad():
        mu, logvar = model.encoder.posterior(clean)
    found = []
    for expectation in (reparameterised, score_function):
        generator = torch.Generator().manual_seed(0)
        drawn = [_gradient(model, clean, mu, logvar, expectation, generator) for _ in range(DRAWS)]
        found.append(torch.var_mean(torch.stack(drawn), dim=0))
    (quiet, first), (noisy, second) = found
    deviation = (first - second).square() * DRAWS / (quiet + noisy)
    return {"noise": float(noisy.mean() / quiet.mean()), "deviation": float(deviation.mean())}


def _gradient(
    model: VAE, clean: Tensor, mu: Tensor, logvar: Tensor, expectation: Expectation, generator: Generator
) -> Tensor:
    """Return an estimate from one draw an image, shape (B, D), in nats by the unit of mu."""
    import torch

    mu = mu.clone().requires_grad_()
    errors = expectation(lambda z: model.reconstruction_error(clean, z), mu, logvar, generator)
    (gradient,) = torch.autograd.grad(errors.sum(), mu)
    return gradient


# --- what it says -------------------------------------------------------------------------------------------------


def _conclude(points: Points) -> list[Finding]:
    _, many = budgets(points)
    error = f"frozen_{many}_e_out"
    return [_no_gradient(points, error), _noise(points), _learns_more(points, error), _bound(points)]


def _no_gradient(points: Points, error: str) -> Finding:
    without, with_it = (100 * points.mean(arm, error) for arm in ("stopped", "reparameterised"))
    return Finding(
        "Without a gradient through the drawn codes, the encoder learns nothing about the images.",
        f"The means of the codes spread by less than {NEAR} under every seed, and the frozen E_out is within "
        f"{100 * USEFUL:.0f} points of always naming the commonest class.",
        f"Spread {show(points.interval('stopped', 'spread'), digits=3)}, with the gradient "
        f"{points.mean('reparameterised', 'spread'):.2f}; E_out {without:.1f} % (commonest class: "
        f"{100 * points.mean('stopped', 'chance'):.1f} %), with the gradient {with_it:.1f} %.",
        are_useless(points, "stopped", error),
    )


def _noise(points: Points) -> Finding:
    noise, deviation = (points.values("reparameterised", name) for name in ("noise", "deviation"))
    return Finding(
        "mu + sigma * epsilon gives the gradient that the score function gives without differentiating a draw, with "
        "far less noise.",
        f"At the weights that were trained, on {IMAGES} held-out images, under every seed: the means of {DRAWS} draws "
        f"of both gradients differ as by chance (mean square of the difference in its standard errors {CHANCE[0]} to "
        f"{CHANCE[1]}), and one draw's variance is at least {NOISIER} times as large by the score function.",
        f"Mean square {min(deviation):.2f} to {max(deviation):.2f}; the variance by the score function is "
        f"{min(noise):.0f} to {max(noise):.0f} times as large.",
        all(CHANCE[0] < square < CHANCE[1] for square in deviation) and min(noise) > NOISIER,
    )


def _learns_more(points: Points, error: str) -> Finding:
    bound = points.difference("reparameterised", "score", "holdout_elbo")
    errors = points.difference("reparameterised", "score", error)
    return Finding(
        "So a VAE learns more in the same time.",
        "ELBO on held-out images less that of training by the score function above 0, frozen E_out below 0 (intervals "
        "over seeds).",
        f"ELBO {points.mean('reparameterised', 'holdout_elbo'):.1f} nats, {show(bound, digits=1)} more; E_out "
        f"{100 * points.mean('reparameterised', error):.1f} %, {points_of(errors)} from that of the score function.",
        above(bound) and below(errors),
    )


def _bound(points: Points) -> Finding:
    names = [*(f"bound_{samples}" for samples in SAMPLES), "log_likelihood"]
    rising = [points.values("reparameterised", name) for name in names]
    gaps = [difference(rising[-1], values) for values in rising[:-1]]
    listed = ", ".join(f"with {samples} by {show(gap)}" for samples, gap in zip(SAMPLES, gaps, strict=True))
    return Finding(
        "The ELBO lies below log p(x), and more samples, weighted by importance, close the gap.",
        f"On {IMAGES} held-out images, the bounds with {', '.join(map(str, SAMPLES))} samples an image (one is the "
        "ELBO) and log p(x), integrated over the latent, rise in this order under every seed, the last but for "
        f"{MARGIN} nats of chance; log p(x) minus the ELBO has an interval above 0.",
        f"log p(x) {show(points.interval('reparameterised', 'log_likelihood'))} nats an image; the bound is lower "
        f"{listed} nats.",
        above(gaps[0])
        and all(low <= high for few, more in pairwise(rising[:-1]) for low, high in zip(few, more, strict=True))
        and all(low <= high + MARGIN for low, high in zip(rising[-2], rising[-1], strict=True)),
    )


# --- what it shows ------------------------------------------------------------------------------------------------


def _draw(points: Points) -> dict[str, Picture]:
    first = {arm: points.first(arm) for arm in points.arms}
    _, many = budgets(points)
    by_arm = {
        "ELBO, held-out, nats": "holdout_elbo",
        "spread of mu": "spread",
        f"E_out, {many} labels, %": f"frozen_{many}_e_out",
    }
    bounds = {f"{samples}": f"bound_{samples}" for samples in SAMPLES} | {"log p(x)": "log_likelihood"}
    panels = {title: {arm: points.interval(arm, name) for arm in points.arms} for title, name in by_arm.items()}
    lost = {label: mean_interval(np.negative(points.values("reparameterised", name))) for label, name in bounds.items()}
    return {
        "latent": charts.maps(
            {arm: (found["mu"], found["labels"]) for arm, found in first.items()},
            "mu, first dimension",
            "mu, second dimension",
        ),
        "measures": charts.bars(panels | {"negative bound by samples, nats": lost}),
    }


STUDY = Study(
    "Gradient: through drawn codes, of a bound",
    CLAIM,
    {
        "reparameterised": {},
        "score": {"pretrain": {"method": "pipeline.studies.gradient:SCORE"}},
        "stopped": {"pretrain": {"method": "pipeline.studies.gradient:STOPPED"}},
    },
    _measure,
    _conclude,
    _draw,
    has_prior=True,
    most_latent=2,
)
