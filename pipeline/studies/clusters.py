"""Does a latent space that never saw a label group the classes?"""

from __future__ import annotations

import numpy as np

from pipeline.config import JsonObject
from pipeline.report.drawing import Picture
from pipeline.studies import charts
from pipeline.studies.definition import Finding, Measured, Points, Study, Subject, above, difference, points_of

CLAIM = "Without any label, an autoencoder learns to group the digits in its latent space."
ARMS: dict[str, JsonObject] = {
    "autoencoder": {},
    "denoising": {"pretrain": {"corruption": 1.0}},
    "vae": {"pretrain": {"method": "vae"}},
}
CLUSTERED, SHOWN = 10_000, 1000  # images; the map of more takes minutes and shows no more
PCA_PIXELS = 50  # components that stand for pixels: clustering 784 of them takes minutes and finds no more


def _measure(subject: Subject) -> Measured:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    from pipeline.evaluation.clustering import cluster
    from pipeline.models.inputs import as_input

    train = subject.dataset.train
    known = np.flatnonzero(train.labels.numpy() >= 0)
    index = np.random.default_rng(subject.seed).permutation(known)[:CLUSTERED]
    labels, classes = train.labels.numpy()[index], len(train.class_names)
    features = subject.embeddings[index].numpy()
    with threadpool_limits(1):
        pixels = as_input(train.images[index]).flatten(1).numpy()
        reduced = PCA(min(PCA_PIXELS, *pixels.shape), svd_solver="covariance_eigh").fit_transform(pixels)
        values = cluster(features, labels, classes, subject.seed)
        values |= {f"pixels_{name}": value for name, value in cluster(reduced, labels, classes, subject.seed).items()}
        if subject.seed:  # the map shows the first seed
            return Measured(values)
        shown = features[:SHOWN]
        plane = TSNE(perplexity=min(30, len(shown) / 4), max_iter=500, random_state=0).fit_transform(shown)
    return Measured(values, {"plane": plane, "labels": labels[:SHOWN]})


def _conclude(points: Points) -> list[Finding]:
    return [_groups(points, arm) for arm in points.arms]


def _groups(points: Points, arm: str) -> Finding:
    own, pixels = (points.values(arm, f"{prefix}kmeans_accuracy") for prefix in ("", "pixels_"))
    gain = difference(own, pixels)
    shown = "; ".join(
        f"{where}: "
        + ", ".join(
            f"{name} {100 * points.mean(arm, f'{prefix}{key}_accuracy'):.1f} % (NMI "
            f"{points.mean(arm, f'{prefix}{key}_nmi'):.2f})"
            for key, name in (("kmeans", "k-means"), ("mixture", "Gaussian mixture"))
        )
        for prefix, where in (("", "latent"), ("pixels_", "pixels"))
    )
    return Finding(
        f"The latent space of the arm {arm} groups the classes better than pixels do.",
        "Accuracy of k-means with one cluster a class, best matched with the classes: on the latent minus on the first "
        f"{PCA_PIXELS} principal components of the pixels; the interval over seeds lies above 0.",
        f"{points_of(gain)}. {shown[0].upper()}{shown[1:]}.",
        above(gain),
    )


def _draw(points: Points) -> dict[str, Picture]:
    first = {arm: points.first(arm) for arm in points.arms}
    names = {"kmeans_accuracy": "k-means accuracy, %", "mixture_accuracy": "mixture accuracy, %", "kmeans_nmi": "NMI"}
    bars = {
        title: {
            **{arm: points.interval(arm, name) for arm in points.arms},
            "pixels": points.interval(points.arms[0], f"pixels_{name}"),
        }
        for name, title in names.items()
    }
    return {
        "map": charts.maps({arm: (found["plane"], found["labels"]) for arm, found in first.items()}, "t-SNE", ""),
        "agreement": charts.bars(bars),
    }


STUDY = Study("Clusters: what a latent space groups", CLAIM, ARMS, _measure, _conclude, _draw, any_arms=True)
