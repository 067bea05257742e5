"""The graph of nearest neighbours among the training images' embeddings, which all cells that spread labels share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from pipeline.artefacts import data_card, encoder
from pipeline.config import Experiment, GraphConfig, JsonObject, as_dict
from pipeline.learning import search
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import Inputs

if TYPE_CHECKING:
    from scipy import sparse


class GraphSize(TypedDict):
    """The size of the graph, and how its neighbours were found.

    Attributes:
        images: Number of images that the graph joins.
        neighbours: Number of neighbours that each of them is joined with.
        search: Either exact or approximate.
        recall: Share of the true neighbours that the search found in a sample of the images, 0 to 1.
    """

    images: int
    neighbours: int
    search: str
    recall: float


def artefact(config: Experiment) -> Artefact[GraphSize]:
    """Return the artefact of the graph, which stage ``compare`` and the cells make when they need it."""
    return Artefact(config.folder, "graph", inputs(config), lambda folder: _make(config, folder), "run it again")


def inputs(config: Experiment) -> Inputs:
    """Return all that the graph is made from."""
    settings = config.train.graph
    return {
        "stage": "graph",
        "pretrained": encoder.artefact(config).fingerprint,
        "neighbours": settings.neighbours,
        "search": search.chosen(settings, data_card.load(config)["train"]),
    }


def used(config: GraphConfig, images: int) -> JsonObject:
    """Return the section ``train.graph`` as plain JSON types, with the search that this number of images gets."""
    return as_dict(config) | {"search": search.chosen(config, images)}


def check(config: Experiment) -> None:
    """Refuse a graph that cannot be made of the experiment's images here.

    Raises:
        PipelineError: If there are not more images than neighbours, or the search needs a package that is missing.
    """
    search.check(config.train.graph, data_card.load(config)["train"])


def load(config: Experiment) -> sparse.csr_matrix:
    """Return the symmetric graph, shape (N, N) over all training images, after making it if it is not there yet.

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
    from pipeline.training.device import find_device, threads

    settings, embeddings = config.train.graph, encoder.load(config).embeddings
    with threads(config.runtime.threads):
        found = neighbours(settings, embeddings, find_device(config.runtime))
    indices, distances = found.indices.astype(np.int32), found.distances.astype(np.float32)
    np.savez(folder / "neighbours.npz", indices=indices, distances=distances)
    images = len(embeddings)
    recall = f", which found {found.recall:.1%} of the true neighbours of a sample" if found.recall < 1 else ""
    print(f"graph: {images:,} images, each with {settings.neighbours} neighbours by {found.search} search{recall}")
    return {"images": images, "neighbours": settings.neighbours, "search": found.search, "recall": found.recall}
