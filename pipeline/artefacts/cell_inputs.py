"""What earlier stages left, read and checked when first asked for."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artefacts import data_card, encoder, graph
from pipeline.config import Experiment

PCA_VALUES = 2**28  # pixel values that PCA is fitted to at most

if TYPE_CHECKING:
    import torch
    from scipy import sparse
    from sklearn.decomposition import PCA

    from pipeline.datasets.image_data import Dataset
    from pipeline.evaluation.baselines import Pixels
    from pipeline.learning.plan import Pretrained


class CellInputs:
    """Images and encoder of one experiment, to be shared by many cells in one process."""

    def __init__(self, config: Experiment) -> None:
        self.config = config

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The images."""
        return data_card.load_dataset(self.config)

    @functools.cached_property
    def pretrained(self) -> Pretrained:
        """The encoder and the embeddings."""
        return encoder.load(self.config)

    @functools.cached_property
    def test_embeddings(self) -> torch.Tensor:
        """Embeddings of the test images, shape (N, features); to be asked for when a classifier has been selected."""
        from pipeline.models.inputs import infer

        test = self.dataset.test
        backbone, _ = encoder.restore(self.config, test.shape)
        return infer(backbone, test.images)

    @functools.cached_property
    def graph(self) -> sparse.csr_matrix:
        """The graph of nearest neighbours among the embeddings."""
        return graph.load(self.config)

    @functools.cached_property
    def pca(self) -> PCA:
        """PCA of all training images, which needs no label; of a gigabyte of floats at random if they are more."""
        from pipeline.evaluation.baselines import fit_pca

        images = self.dataset.train.images
        most = PCA_VALUES // math.prod(images.shape[1:])
        if len(images) <= most:
            return fit_pca(pixels(images[:]))
        return fit_pca(pixels(images[np.sort(np.random.default_rng(0).permutation(len(images))[:most])]))


def pixels(images: torch.Tensor) -> Pixels:
    """Images (N, C, H, W) as rows of floats in [0, 1], as scikit-learn takes them, shape (N, pixels)."""
    flat = images.flatten(1).numpy().astype("float32")
    flat /= 255
    return flat
