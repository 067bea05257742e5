"""Which search finds the neighbours of the graph: a rule by the number of images, since the bits depend on it."""

from __future__ import annotations

from typing import Literal

from pipeline import extras
from pipeline.config import GraphConfig
from pipeline.errors import PipelineError

EXACT_UP_TO = 100_000  # images; half a minute on two cores, and a hundred times as long for ten times the images


def chosen(settings: GraphConfig, images: int) -> Literal["exact", "approximate"]:
    """Return the search that ``train.graph.search`` means for this number of images."""
    if settings.search != "auto":
        return settings.search
    return "exact" if images <= EXACT_UP_TO else "approximate"


def check(settings: GraphConfig, images: int) -> None:
    """Refuse a graph that cannot be made of this number of images here.

    Raises:
        PipelineError: If there are not more images than neighbours, or the search needs a package that is missing.
    """
    if images <= settings.neighbours:
        raise PipelineError(f"train.graph.neighbours: {settings.neighbours} of {images} images; lower it")
    if chosen(settings, images) == "approximate" and extras.missing("large"):
        raise PipelineError(
            f"train.graph.search: {settings.search}, and {images:,} images: the approximate search needs faiss; run "
            f"{extras.install('large')}, or take exact, whose time grows with the square of their number"
        )
