"""The graph of nearest neighbours among the training images' embeddings: made once, used by every cell that spreads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import Experiment, as_dict
from pipeline.stages import data, pretrain
from pipeline.store import runs

if TYPE_CHECKING:
    from scipy import sparse

    from pipeline.models.classifier import Backbone
    from pipeline.models.inputs import Images


def run(config: Experiment) -> Path:
    """Find the neighbours unless it is done, and return the artefact's folder.

    Raises:
        PipelineError: There are not more images than neighbours, or stage pretrain has not run.
    """
    return runs.build(config.folder, "graph", inputs(config), lambda folder: _make(config, folder))


def inputs(config: Experiment) -> dict[str, Any]:
    """What the graph is made from."""
    settings = used(as_dict(config.train.graph))
    return {
        "stage": "graph",
        "pretrained": runs.fingerprint(pretrain.inputs(config)),
        **{name: settings[name] for name in ("neighbours", "views", "view") if name in settings},
    }


def used(settings: dict[str, Any]) -> dict[str, Any]:
    """The graph's settings without those of views if there are none: changing what is not used makes nothing anew."""
    return settings if settings["views"] else {k: v for k, v in settings.items() if k not in ("views", "view")}


def load(config: Experiment) -> sparse.csr_matrix:
    """The graph, symmetric, shape (N, N) over all training images; made if it is not there yet."""
    from pipeline.models.propagation import similarity_graph

    folder = run(config)
    runs.open_artefact(folder, "run it again")
    with np.load(folder / "neighbours.npz", allow_pickle=False) as stored:
        return similarity_graph(stored["indices"].astype(np.int64), stored["distances"])


def _make(config: Experiment, folder: Path) -> dict[str, Any]:
    from pipeline.learning.classify import neighbours
    from pipeline.training.trainer import threads

    settings, embeddings = config.train.graph, pretrain.load(config).embeddings
    with threads(config.runtime.threads):
        indices, distances = neighbours(settings, embeddings, lambda: _sources(config))
    np.savez(folder / "neighbours.npz", indices=indices.astype(np.int32), distances=distances.astype(np.float32))
    return {"images": len(embeddings), "neighbours": settings.neighbours}


def _sources(config: Experiment) -> tuple[Backbone, Images]:
    """What views are embedded by, and of what."""
    train = data.load(config).train
    backbone, _ = pretrain.restore(config, train.shape)
    return backbone, train.images
