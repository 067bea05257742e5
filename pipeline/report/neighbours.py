"""The page of the images that an encoder finds most like a picture: one offline file in the style of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report import page
from pipeline.report.atlas import Atlas, Pixels, thumbnails

TEMPLATE = "neighbours.html.jinja"


@dataclass(frozen=True)
class Neighbour:
    """An image as the page shows it: where it lies in the atlas, its name, and its distance in words."""

    tile: str
    name: str
    distance: str


def page_of_neighbours(
    name: str, names: Sequence[str], distances: Sequence[float], pixels: Pixels, searched: int
) -> str:
    """Return the page as HTML.

    Args:
        name: The name of the picture that neighbours were looked for of.
        names: The names of its neighbours, the nearest first.
        distances: Their distances from it, in the same order.
        pixels: The picture and its neighbours, shape (1 + neighbours, C, H, W).
        searched: The number of images that they were found among.
    """
    atlas = Atlas(thumbnails(pixels))
    neighbours = [
        Neighbour(atlas.place(place), own, f"{distance:.3g}")
        for place, (own, distance) in enumerate(zip(names, distances, strict=True), 1)
    ]
    return page.fill_html(
        TEMPLATE, name=name, picture=atlas.place(0), neighbours=neighbours, atlas=atlas, searched=searched
    )
