"""The labelled image that is nearest to each mistake of a cell, as its encoder sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.modes import Mode

if TYPE_CHECKING:
    from pipeline.artefacts.cell_inputs import CellInputs
    from pipeline.learning.classify import Trained

Places = npt.NDArray[np.int64]


def nearest_labelled(mode: Mode, trained: Trained, shared: CellInputs, wrong: Places) -> Places:
    """Find the image that was trained on whose latent is nearest to that of each mistake.

    Args:
        mode: The cell's mode.
        trained: Its classifier.
        shared: The images and the pretrained encoder; the latents of a frozen encoder are there already.
        wrong: The places of the test images that were taken for a wrong class, shape (mistakes,).

    Returns:
        Places among the training images, shape (mistakes,).
    """
    from sklearn.neighbors import NearestNeighbors

    from pipeline.models.inputs import infer

    if not len(wrong):
        return wrong
    known, backbone = trained.split.train, trained.model.backbone.eval()  # else BatchNorm would learn from test images
    if mode.pretrained and not mode.trains_encoder:
        labelled, mistaken = shared.pretrained.embeddings[known], shared.test_embeddings[wrong]
    else:
        labelled = infer(backbone, shared.dataset.train.images[known])
        mistaken = infer(backbone, shared.dataset.test.images[wrong])
    neighbours = NearestNeighbors(n_neighbors=1).fit(labelled.numpy())
    nearest: Places = known[neighbours.kneighbors(mistaken.numpy(), return_distance=False)[:, 0]]
    return nearest
