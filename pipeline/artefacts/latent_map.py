"""The map of the latent space: some test images' embeddings in the plane, made once for each pretrained encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import numpy.typing as npt

from pipeline.artefacts import data_card, encoder
from pipeline.config import Experiment
from pipeline.invocation import command
from pipeline.store.artefact import Artefact

if TYPE_CHECKING:
    from pipeline.datasets.image_data import ImageData

SHOWN = 2000  # test images; t-SNE of so many takes some seconds
PERPLEXITY = 30  # neighbours that t-SNE keeps together
STEPS = 500  # of t-SNE; 1000 take twice as long, and as many neighbours on the map are neighbours in the latent space


@dataclass(frozen=True)
class Plane:
    """Where test images lie.

    Attributes:
        shown: Their numbers in the test set, shape (N,), class after class.
        pca: Their places in the plane of the first two principal components, shape (N, 2).
        tsne: Their places by t-SNE, shape (N, 2).
        explained: Share of the variance along each of the two components; NaN where all images lie in one point.
    """

    shown: npt.NDArray[np.int64]
    pca: npt.NDArray[np.float32]
    tsne: npt.NDArray[np.float32]
    explained: npt.NDArray[np.float64]


class MapSize(TypedDict):
    """Number of images that the map shows."""

    images: int


def load(config: Experiment, test: ImageData, most: int) -> Plane:
    """Read the map of at most so many test images; it is made if it is not there yet.

    Raises:
        PipelineError: If stage pretrain has not run, or a file of the map was changed.
    """
    images = min(SHOWN, most, len(test))
    made_from = {
        "stage": "map",
        "data": data_card.load(config)["sha256"],
        "pretrained": encoder.artefact(config).fingerprint,
        "images": images,
        "perplexity": PERPLEXITY,
        "steps": STEPS,
    }
    latent_map: Artefact[MapSize] = Artefact(
        config.folder,
        "map",
        made_from,
        lambda folder: _make(config, test, images, folder),
        f"delete the folder and run `{command('report')}` again",
    )
    folder = latent_map.build()
    latent_map.open()
    with np.load(folder / "plane.npz", allow_pickle=False) as stored:
        return Plane(stored["shown"], stored["pca"], stored["tsne"], stored["explained"])


def _make(config: Experiment, test: ImageData, images: int, folder: Path) -> MapSize:
    import torch
    from sklearn.decomposition import PCA

    from pipeline.models.inputs import infer
    from pipeline.training.device import threads

    shown = np.random.default_rng(0).permutation(len(test))[:images]
    shown = shown[np.argsort(test.labels.numpy()[shown], kind="stable")]
    backbone = encoder.restore_backbone(config, test.shape)
    with threads(config.runtime.threads):
        embeddings = infer(backbone, test.images[torch.from_numpy(shown)]).double().numpy()
        pca = PCA(min(2, *embeddings.shape), svd_solver="full")
        with np.errstate(invalid="ignore"):  # a dead encoder embeds all images to one point: 0 of 0 variance
            plane = pca.fit_transform(embeddings)
        plane = np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))  # a latent of one number makes a line
        placed = _place(embeddings, plane)
    explained = np.resize(np.append(pca.explained_variance_ratio_, 0.0), 2)
    np.savez(
        folder / "plane.npz",
        shown=shown.astype(np.int64),
        pca=plane.astype(np.float32),
        tsne=placed.astype(np.float32),
        explained=explained,
    )
    return {"images": len(shown)}


def _place(embeddings: npt.NDArray[np.float64], plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Place embeddings, shape (N, features), in the plane by t-SNE, which starts from the plane given, shape (N, 2)."""
    from sklearn.manifold import TSNE

    if len(embeddings) < 5:  # too few to have neighbours
        return plane.astype(np.float32)
    start = 1e-4 * plane / max(float(plane[:, 0].std()), 1e-9)  # small, as is usual; a dead encoder has no spread
    tsne = TSNE(perplexity=min(PERPLEXITY, (len(embeddings) - 1) / 3), init=start, max_iter=STEPS, random_state=0)
    placed: npt.NDArray[np.float32] = tsne.fit_transform(embeddings)
    return placed
