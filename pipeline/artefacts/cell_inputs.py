"""The results of earlier stages that cells need, each read and checked when it is used first."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artefacts import choice, data_card, encoder, graph
from pipeline.config import Experiment
from pipeline.datasets.splits import LabelSplit
from pipeline.learning.plan import Pretrained, split_budget

PCA_VALUES = 2**28  # the number of pixel values that PCA is fitted to at most; as floats, they take a gigabyte

if TYPE_CHECKING:
    import torch
    from scipy import sparse
    from sklearn.decomposition import PCA

    from pipeline.datasets.image_data import Dataset
    from pipeline.evaluation.baselines import Pixels


class CellInputs:
    """The images and the encoder of one experiment, shared by many cells in one process."""

    def __init__(self, config: Experiment) -> None:
        self.config = config

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The training and test images, checked against the data card."""
        return data_card.load_dataset(self.config)

    @functools.cached_property
    def pretrained(self) -> Pretrained:
        """The pretrained encoder, and its embeddings of all training images."""
        return encoder.load(self.config)

    @functools.cached_property
    def test_embeddings(self) -> torch.Tensor:
        """The embeddings of the test images, shape (N, features), to be used after a classifier has been selected."""
        from pipeline.models.inputs import infer

        test = self.dataset.test
        return infer(encoder.restore_backbone(self.config, test.shape), test.images)

    @functools.cached_property
    def graph(self) -> sparse.csr_matrix:
        """The graph of nearest neighbours among the embeddings, shape (N, N)."""
        return graph.load(self.config)

    @functools.cached_property
    def pca(self) -> PCA:
        """PCA of all training images, or of a random part with ``PCA_VALUES`` pixel values; it needs no label."""
        from pipeline.evaluation.baselines import fit_pca

        images = self.dataset.train.images
        most = PCA_VALUES // math.prod(images.shape[1:])
        if len(images) <= most:
            return fit_pca(pixels(images[:]))
        return fit_pca(pixels(images[np.sort(np.random.default_rng(0).permutation(len(images))[:most])]))

    def splits(self, labels: int, seed: int) -> list[LabelSplit]:
        """Split the labels of a draw into training and validation parts: one split, or one a fold.

        Raises:
            PipelineError: If the budget cannot be drawn or divided so.
        """
        train, draw = self.dataset.train, choice.draw(self.config, labels, seed)
        return split_budget(self.config.train, train.labels.numpy(), len(train.class_names), draw, train.groups)


def pixels(images: torch.Tensor) -> Pixels:
    """Turn uint8 images, shape (N, C, H, W), into rows of floats from 0 to 1, shape (N, pixels), for scikit-learn."""
    flat = images.flatten(1).numpy().astype("float32")
    flat /= 255
    return flat
