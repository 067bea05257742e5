"""Why a variational autoencoder? Decode latent points that no training image maps to, and judge what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.methods import find_method
from pipeline.report.drawing import Picture
from pipeline.studies import figures
from pipeline.studies.base import Finding, Measured, Points, Study, Subject, above, below, show

if TYPE_CHECKING:
    import torch

    from pipeline.models.generation import LatentGaussian

CLAIM = (
    "An autoencoder maps images to scattered points, and what it decodes from anywhere else is mostly no digit; a "
    "variational autoencoder's samples are digits."
)
SAMPLES = 5000  # judged
SHOWN = 64  # in a picture
DIGIT = 0.9  # a sample is taken for a digit if the judge is at least this sure of a class


def _measure(subject: Subject) -> Measured:
    from pipeline.evaluation.samples import frechet_distance, judge
    from pipeline.models.generation import sample

    assert subject.judge is not None
    dataset = subject.dataset
    order = np.random.default_rng(subject.seed).permutation(len(dataset.train))[:SAMPLES]
    real = judge(subject.judge, dataset.test.images)
    train = judge(subject.judge, dataset.train.images[order])
    values = {"frechet_floor": frechet_distance(train.features, real.features), "confidence_real": real.confidence}
    arrays = {"shares_real": real.shares}
    for name, latent in _sources(subject).items():
        images = sample(subject.model, latent, SAMPLES, subject.seed)
        found = judge(subject.judge, images)
        values |= {
            f"frechet{name}": frechet_distance(found.features, real.features),
            f"confidence{name}": found.confidence,
            f"sure{name}": float((found.probabilities.max(1) >= DIGIT).mean()),
            f"variety{name}": found.variety,
        }
        arrays |= {f"shares{name}": found.shares, f"images{name}": images[:SHOWN].numpy()}
    values["remoteness"] = _remoteness(subject)
    return Measured(values, arrays)


def _sources(subject: Subject) -> dict[str, LatentGaussian]:
    """What latents are drawn from: the prior, or for lack of one the Gaussian that fits the training codes best.

    That one knows the codes' correlations, which is more than the usual independent one does; the latter stands beside.
    """
    from pipeline.models.generation import LatentGaussian

    if find_method(subject.config.pretrain).has_prior:
        return {"": LatentGaussian.standard(subject.config.pretrain.latent)}
    codes = _codes(subject)
    return {"": LatentGaussian.fitted(codes), "_independent": LatentGaussian.independent(codes.mean(0), codes.std(0))}


def _codes(subject: Subject) -> torch.Tensor:
    """The latents of all training images, shape (N, D): the embeddings before standardisation."""
    norm = subject.backbone.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return subject.embeddings * (norm.running_var + norm.eps).sqrt() + norm.running_mean


def _remoteness(subject: Subject) -> float:
    """How much farther from the nearest training code a sampled latent lies than the code of an unseen image does.

    The ratio of the two medians.
    """
    import torch

    codes = _codes(subject)
    seen = torch.ones(len(codes), dtype=torch.bool)
    seen[subject.held_out] = False
    points = _sources(subject)[""].draw(len(subject.held_out), subject.seed)
    nearest = [torch.cdist(x, codes[seen]).amin(1).median() for x in (points, codes[subject.held_out])]
    return float(nearest[0] / nearest[1])


def _conclude(points: Points) -> list[Finding]:
    return [_farther(points), _fails(points), _works(points)]


def _farther(points: Points) -> Finding:
    difference = points.difference("autoencoder", "vae", "frechet")
    floor = points.mean("vae", "frechet_floor")
    shown = {arm: show(points.interval(arm, "frechet"), digits=1) for arm in ("autoencoder", "vae")}
    return Finding(
        "The autoencoder's samples lie farther from real images than the VAE's.",
        "Fréchet distance to the test images in the judge's feature space, autoencoder minus VAE: the interval over "
        "seeds lies above 0.",
        f"Autoencoder {shown['autoencoder']} (latents from a Gaussian with the training codes' covariance; with "
        f"independent dimensions {points.mean('autoencoder', 'frechet_independent'):.1f}), VAE {shown['vae']}; "
        f"training against test images {floor:.1f}.",
        above(difference),
    )


def _fails(points: Points) -> Finding:
    sure = points.interval("autoencoder", "sure")
    return Finding(
        "Most of the autoencoder's samples are no digit.",
        f"The judge is at least {100 * DIGIT:.0f} % sure of fewer than half of them under every seed.",
        f"It is of {show(sure, '%', 100, 1)}. A sampled latent lies "
        f"{points.mean('autoencoder', 'remoteness'):.1f} times as far from the nearest training code as an unseen "
        "image's code does.",
        max(points.values("autoencoder", "sure")) < 0.5,
    )


def _works(points: Points) -> Finding:
    sure, difference = points.interval("vae", "sure"), points.difference("autoencoder", "vae", "sure")
    classes = len(points.of("vae")[0].arrays()["shares"])
    return Finding(
        "Most of the VAE's samples are digits, of every class.",
        f"The judge is at least {100 * DIGIT:.0f} % sure of more than half of them under every seed, and of more than "
        "of the autoencoder's (interval over seeds); every class is among them.",
        f"It is of {show(sure, '%', 100, 1)}; its class histogram has the entropy of "
        f"{points.mean('vae', 'variety'):.1f} equally frequent classes of {classes}.",
        min(points.values("vae", "sure")) > 0.5
        and below(difference)
        and all(point.arrays()["shares"].min() > 0 for point in points.of("vae")),
    )


def _draw(points: Points) -> dict[str, Picture]:
    first = {arm: points.of(arm)[0].arrays() for arm in points.arms}
    panels = {
        "Fréchet distance": {arm: points.interval(arm, "frechet") for arm in points.arms},
        "judge's mean confidence": {arm: points.interval(arm, "confidence") for arm in points.arms},
        f"share of which it is {100 * DIGIT:.0f} % sure": {arm: points.interval(arm, "sure") for arm in points.arms},
    }
    panels["Fréchet distance"]["train / test"] = points.interval(points.arms[0], "frechet_floor")
    panels["judge's mean confidence"]["test images"] = points.interval(points.arms[0], "confidence_real")
    histograms = {arm: np.mean([p.arrays()["shares"] for p in points.of(arm)], axis=0) for arm in points.arms}
    histograms["test images"] = first[points.arms[0]]["shares_real"]
    return {
        "samples": figures.image_grids({arm: found["images"] for arm, found in first.items()}, 8, "Decoded samples."),
        "judgement": figures.bars(panels),
        "classes": figures.histograms(histograms),
    }


STUDY = Study(
    "Generation: sampling the latent space",
    CLAIM,
    ("autoencoder", "vae"),
    _measure,
    _conclude,
    _draw,
    judged=True,
)
