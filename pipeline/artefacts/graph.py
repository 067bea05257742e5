"""The graph of nearest neighbours among the training images' embeddings: made once, used by every cell that spreads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from pipeline.artefacts import data_card, encoder
from pipeline.config import Experiment, as_dict
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import Inputs

if TYPE_CHECKING:
    from scipy import sparse

    from pipeline.models.classifier import Backbone
    from pipeline.models.inputs import Images


class GraphSize(TypedDict):
    """Number of images that the graph joins, and of neighbours that each is joined with."""

    images: int
    neighbours: int


def artefact(config: Experiment) -> Artefact[GraphSize]:
    """The graph of the experiment's encoder; stage compare and the cells make it when they need it."""
    return Artefact(config.folder, "graph", inputs(config), lambda folder: _make(config, folder), "run it again")


def inputs(config: Experiment) -> Inputs:
    """What the graph is made from."""
    settings = used(as_dict(config.train.graph))
    return {
        "stage": "graph",
        "pretrained": encoder.artefact(config).fingerprint,
        **{name: settings[name] for name in ("neighbours", "views", "view_strength") if name in settings},
        **({"invariances": config.invariances.amounts()} if config.train.graph.views else {}),
    }


def used(settings: dict[str, Any]) -> dict[str, Any]:
    """The graph's settings without those of views if there are none: changing what is not used makes nothing anew."""
    return settings if settings["views"] else {k: v for k, v in settings.items() if k not in ("views", "view_strength")}


def load(config: Experiment) -> sparse.csr_matrix:
    """Read the graph, symmetric, shape (N, N) over all training images; it is made if it is not there yet.

    Raises:
        PipelineError: If there are not more images than neighbours, or stage pretrain has not run.
    """
    from pipeline.models.propagation import similarity_graph

    graph = artefact(config)
    folder = graph.build()
    graph.open()
    with np.load(folder / "neighbours.npz", allow_pickle=False) as stored:
        return similarity_graph(stored["indices"].astype(np.int64), stored["distances"])


def _make(config: Experiment, folder: Path) -> GraphSize:
    from pipeline.learning.classify import neighbours
    from pipeline.training.trainer import find_device, threads

    settings, embeddings = config.train.graph, encoder.load(config).embeddings
    device = find_device(config.runtime)
    with threads(config.runtime.threads):
        indices, distances = neighbours(settings, config.invariances, embeddings, lambda: _sources(config), device)
    np.savez(folder / "neighbours.npz", indices=indices.astype(np.int32), distances=distances.astype(np.float32))
    return {"images": len(embeddings), "neighbours": settings.neighbours}


def _sources(config: Experiment) -> tuple[Backbone, Images]:
    """What distorted copies of the images are embedded by, and the images."""
    train = data_card.load_dataset(config).train
    backbone, _ = encoder.restore(config, train.shape)
    return backbone, train.images
