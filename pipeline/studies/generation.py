"""Why a variational autoencoder? Decode latent points that no training image maps to, and judge what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import JsonObject
from pipeline.evaluation.crossed import Interval
from pipeline.methods import find_method
from pipeline.report.drawing import Picture
from pipeline.studies import charts
from pipeline.studies.definition import Finding, Measured, Points, Study, Subject, above, below, difference, show

if TYPE_CHECKING:
    from pipeline.models.generation import LatentGaussian

CLAIM = (
    "An autoencoder maps images to scattered points, and what it decodes from anywhere else is mostly no digit; a "
    "variational autoencoder's samples are digits."
)
CLASSIC: JsonObject = {
    "latent": 20,
    "encoder": {"name": "mlp", "widths": [400]},
    "decoder": {"name": "mlp", "widths": [400]},
    "corruption": 0,
    "epochs": 8,
    "batch_size": 256,
    "learning_rate": 0.003,
}
SAMPLES = 5000  # judged
SHOWN = 64  # in a picture
PRIOR = "prior"
WAYS = {  # to draw an autoencoder's latents; the more it knows of the training codes, the fairer
    PRIOR: "N(0, 1) as a VAE's are",
    "independent": "a Gaussian with the training codes' mean and variances",
    "covariance": "a Gaussian with their mean and whole covariance",
}
TYPICAL = 0.95  # a sample counts as a digit if the judge is as sure of it as of this share of the test images


def _measure(subject: Subject) -> Measured:
    from pipeline.evaluation.samples import frechet_distance, judge
    from pipeline.models.generation import sample

    assert subject.judge is not None
    dataset = subject.dataset
    order = np.random.default_rng(subject.seed).permutation(len(dataset.train))[:SAMPLES]
    real = judge(subject.judge, dataset.test.images)
    train = judge(subject.judge, dataset.train.images[order])
    least = np.quantile(real.probabilities.max(1), 1 - TYPICAL)
    values = {
        "frechet_floor": frechet_distance(train.features, real.features),
        "confidence_real": real.confidence,
        "confidence_least": float(least),
        "sure_real": float((real.probabilities.max(1) >= least).mean()),
    }
    arrays = {"shares_real": real.shares}
    for way, latent in _sources(subject).items():
        images = sample(subject.drawing_model, latent, SAMPLES, subject.seed)
        found = judge(subject.judge, images)
        values |= {
            f"frechet_{way}": frechet_distance(found.features, real.features),
            f"confidence_{way}": found.confidence,
            f"sure_{way}": float((found.probabilities.max(1) >= least).mean()),
            f"variety_{way}": found.variety,
            f"remoteness_{way}": _remoteness(subject, latent),
        }
        arrays |= {f"shares_{way}": found.shares, f"images_{way}": images[:SHOWN].numpy()}
    return Measured(values, arrays)


def _sources(subject: Subject) -> dict[str, LatentGaussian]:
    """Return the distributions of latents: the VAE's prior for both; without one, also two fitted to training codes."""
    from pipeline.models.generation import LatentGaussian

    sources = {PRIOR: LatentGaussian.standard(subject.backbone.out_features)}
    if not find_method(subject.config.pretrain.method).has_prior:
        codes = subject.backbone.unstandardise(subject.embeddings)
        sources["independent"] = LatentGaussian.independent(codes.mean(0), codes.std(0))
        sources["covariance"] = LatentGaussian.fitted(codes)
    return sources


def _remoteness(subject: Subject, latent: LatentGaussian) -> float:
    """Compare the distances of sampled latents and of codes of unseen images to the nearest training codes.

    The ratio of the two medians.
    """
    import torch

    codes = subject.backbone.unstandardise(subject.embeddings)
    seen = torch.ones(len(codes), dtype=torch.bool)
    seen[subject.held_out] = False
    points = latent.draw(len(subject.held_out), subject.seed)
    nearest = [torch.cdist(x, codes[seen]).amin(1).median() for x in (points, codes[subject.held_out])]
    return float(nearest[0] / nearest[1])


def _conclude(points: Points) -> list[Finding]:
    return [*(_farther(points, way) for way in WAYS), _fails(points), _works(points)]


def _farther(points: Points, way: str) -> Finding:
    own, vae = points.values("autoencoder", f"frechet_{way}"), points.values("vae", f"frechet_{PRIOR}")
    farther = difference(own, vae)
    return Finding(
        f"An autoencoder's samples, its latents drawn from {WAYS[way]}, lie farther from real images than a VAE's.",
        "Fréchet distance to the test images in the judge's feature space, autoencoder minus VAE: the interval over "
        "seeds lies above 0.",
        f"{np.mean(own):.1f} against {np.mean(vae):.1f}: {show(farther, digits=1)}; training against test images "
        f"{points.mean('vae', 'frechet_floor'):.1f}. Latents lie {points.mean('autoencoder', f'remoteness_{way}'):.1f} "
        "times as far from the nearest training code as those of unseen images.",
        above(farther),
    )


def _fails(points: Points) -> Finding:
    shares = "; ".join(f"{way}: {show(points.interval('autoencoder', f'sure_{way}'), '%', 100, 1)}" for way in WAYS)
    return Finding(
        "Most of an autoencoder's samples are no digit, whichever way they are drawn.",
        f"The judge is as sure of fewer than half of them as of {100 * TYPICAL:.0f} % of the test images, under every "
        "seed.",
        f"{shares}; as sure is at least {100 * points.mean('vae', 'confidence_least'):.0f} %.",
        all(max(points.values("autoencoder", f"sure_{way}")) < 0.5 for way in WAYS),
    )


def _works(points: Points) -> Finding:
    sure = points.values("vae", f"sure_{PRIOR}")
    better = [difference(points.values("autoencoder", f"sure_{way}"), sure) for way in WAYS]
    shares = [point.arrays()[f"shares_{PRIOR}"] for point in points.of("vae")]
    return Finding(
        "Most of a VAE's samples are digits, of every class.",
        f"The judge is as sure of more than half of them as of {100 * TYPICAL:.0f} % of the test images, under every "
        "seed, and of more than of an autoencoder's (intervals over seeds); every class is among them.",
        f"It is of {show(points.interval('vae', f'sure_{PRIOR}'), '%', 100, 1)}; their class histogram has the entropy "
        f"of {points.mean('vae', f'variety_{PRIOR}'):.1f} equally frequent classes of {len(shares[0])}.",
        min(sure) > 0.5 and all(below(interval) for interval in better) and min(x.min() for x in shares) > 0,
    )


def _draw(points: Points) -> dict[str, Picture]:
    drawn = {f"autoencoder, {way}": ("autoencoder", way) for way in WAYS} | {"vae": ("vae", PRIOR)}
    first = {name: points.first(arm) for name, (arm, _) in drawn.items()}

    def panel(quantity: str, other: str, name: str) -> dict[str, Interval]:
        own = {label: points.interval(arm, f"{quantity}_{way}") for label, (arm, way) in drawn.items()}
        return own | {other: points.interval("vae", name)}

    histograms = {
        name: np.mean([point.arrays()[f"shares_{way}"] for point in points.of(arm)], axis=0)
        for name, (arm, way) in drawn.items()
    }
    histograms["test images"] = first["vae"]["shares_real"]
    return {
        "samples": charts.image_grids(
            {name: first[name][f"images_{way}"] for name, (_, way) in drawn.items()}, "Decoded samples."
        ),
        "judgement": charts.bars(
            {
                "Fréchet distance": panel("frechet", "train / test", "frechet_floor"),
                "judge's mean confidence, %": panel("confidence", "test images", "confidence_real"),
                f"as sure as of {100 * TYPICAL:.0f} % of test images, %": panel("sure", "test images", "sure_real"),
            }
        ),
        "classes": charts.histograms(histograms),
    }


STUDY = Study(
    "Generation: sampling the latent space",
    CLAIM,
    {
        "autoencoder": {"pretrain": {**CLASSIC, "method": "autoencoder"}},
        "vae": {"pretrain": {**CLASSIC, "method": "vae"}},
    },
    _measure,
    _conclude,
    _draw,
    judged=True,
    decodes=True,
)
