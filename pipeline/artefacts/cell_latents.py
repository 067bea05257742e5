"""Images as the encoder of a cell sees them: the labelled ones nearest to its mistakes, and a sample of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.modes import Mode

if TYPE_CHECKING:
    import torch

    from pipeline.artefacts.cell_inputs import CellInputs
    from pipeline.evaluation.novelty import TrainingSample
    from pipeline.learning.classify import Trained

Places = npt.NDArray[np.int64]

KNOWN, FURTHER = 500, 1000  # images of a training sample: those that are kept, and those that set its limits


def nearest_labelled(mode: Mode, trained: Trained, shared: CellInputs, wrong: Places) -> Places:
    """Find the image that was trained on whose latent is nearest to that of each mistake.

    The mistakes are places of test images, shape (mistakes,). The latents of a frozen encoder are among the shared
    inputs.

    Returns:
        Places among the training images, shape (mistakes,).
    """
    from sklearn.neighbors import NearestNeighbors

    if not len(wrong):
        return wrong
    known, labelled = trained.split.train, _latents(mode, trained, shared, trained.split.train)
    if mode.trains_encoder:
        mistaken = _encode(trained, shared.dataset.test.images[wrong])
    else:
        mistaken = shared.test_embeddings[wrong]
    neighbours = NearestNeighbors(n_neighbors=1).fit(labelled.numpy())
    nearest: Places = known[neighbours.kneighbors(mistaken.numpy(), return_distance=False)[:, 0]]
    return nearest


def training_sample(mode: Mode, trained: Trained, shared: CellInputs, seed: int) -> TrainingSample:
    """Draw a sample of the training images, by which stage ``predict`` tells which new images are unlike them.

    Its limits are set by images whose labels were not learnt from, as long as there are any: an encoder that is trained
    along pulls those that it learns from together.

    Args:
        mode: The cell's mode.
        trained: The cell's classifier.
        shared: The images and the pretrained encoder.
        seed: The seed of the draw.
    """
    from pipeline.evaluation.novelty import TrainingSample, looks

    train = shared.dataset.train
    order = np.random.default_rng(seed).permutation(len(train))
    order = np.concatenate([order[np.isin(order, trained.split.train)], order[~np.isin(order, trained.split.train)]])
    further = min(FURTHER, max(len(order) - KNOWN, len(order) // 2))
    known = np.random.default_rng(seed).permutation(order[:-further])[:KNOWN]
    places = np.concatenate([known, order[-further:]])
    latents = _latents(mode, trained, shared, places).numpy()
    return TrainingSample.of(latents, looks(train.images[places]), known=len(known))


def _latents(mode: Mode, trained: Trained, shared: CellInputs, places: Places) -> torch.Tensor:
    """Return the latents of training images, shape (places, features)."""
    if mode.trains_encoder:
        return _encode(trained, shared.dataset.train.images[places])
    return shared.pretrained.embeddings[places]


def _encode(trained: Trained, images: torch.Tensor) -> torch.Tensor:
    from pipeline.models.inputs import infer

    return infer(trained.model.backbone.eval(), images)  # else BatchNorm would learn from them
