"""Section "Latent space": a map of test images as the pretrained encoder sees them, and what each mode says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from matplotlib.figure import Figure as Drawing

from pipeline.artefacts import latent_map
from pipeline.config import JsonObject
from pipeline.report.atlas import Atlas, room, thumbnails
from pipeline.report.blocks import Custom, Section, Text
from pipeline.report.drawing import Floats, Picture, class_look, color_variable, scatter_classes, styled, svg
from pipeline.report.evidence import Counts, Evidence

_POINTS_AN_INCH = 72  # the unit of the pictures' lines


@dataclass(frozen=True)
class Projection:
    """Embeddings in two dimensions.

    Attributes:
        key: A plain name.
        title: The name for the reader.
        points: Where the images lie, shape (N, 2).
        axes: The names of the two axes, if they mean something.
    """

    key: str
    title: str
    points: Floats
    axes: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class LegendEntry:
    """A class beside the map, by which the map can be filtered."""

    number: int
    name: str
    color: str
    shape: str


def latent_space(evidence: Evidence) -> Section | None:
    """Return the section; None where no mode of the grid starts from a pretrained encoder."""
    if evidence.pretrained is None:
        return None
    test = evidence.dataset.test
    plane = latent_map.load(evidence.config, test, room(test.shape))
    atlas = Atlas(thumbnails(test.images[plane.shown.tolist()].numpy()))
    names = ("first principal component", "second principal component")
    projections = [
        Projection("tsne", "t-SNE", plane.tsne),
        Projection("pca", "principal components", plane.pca, names),
    ]
    return Section(
        "latent",
        "Latent space",
        "Latent space",
        [
            Text(_caption(len(plane.shown), len(test), float(plane.explained.sum()))),
            Custom("latent_space.html.jinja", map_values(evidence, plane.shown, projections, atlas)),
        ],
    )


def _caption(shown: int, images: int, explained: float) -> str:
    text = (
        f"{shown} of the {images} test images, drawn at random. Each point is an image, placed by what the pretrained "
        "encoder makes of it before any label was seen: images that it finds alike lie close together. The colours "
        "show the true classes, which had no part in the placing. Predictions are those of the first draw. t-SNE keeps "
        "near neighbours together; how far apart two groups lie means little in it."
    )
    if np.isfinite(explained):
        text += f" The two principal components hold {100 * explained:.0f} % of the variance."
    return text


def map_values(evidence: Evidence, shown: Counts, projections: Sequence[Projection], atlas: Atlas) -> JsonObject:
    """Draw the map and collect what the template and its script need.

    The map shows the test images with the numbers ``shown``, shape (N,), class after class; the atlas holds their
    images in the same order.
    """
    names, truth = evidence.card["classes"], evidence.truth[shown]
    drawn = {each.key: _draw(each, truth) for each in projections}
    predictions: dict[str, dict[str, list[int]]] = {}
    for cell in evidence.firsts:
        predictions.setdefault(str(cell.labels), {})[cell.mode] = cell.predictions[shown].tolist()
    data = {
        "classes": names,
        "numbers": shown.tolist(),
        "truth": truth.tolist(),
        "tiles": [atlas.place(place) for place in range(len(shown))],
        "predictions": predictions,
        "points": {key: places for key, (_, places) in drawn.items()},
    }
    return {
        "projections": [(each, drawn[each.key][0]) for each in projections],
        "legend": [LegendEntry(number, name, *_look(number)) for number, name in enumerate(names)],
        "budgets": sorted({cell.labels for cell in evidence.firsts}),
        "modes": list(dict.fromkeys(cell.mode for cell in evidence.firsts)),
        "data": htmlsafe_json_dumps(data, separators=(",", ":"), allow_nan=False),
        "atlas": atlas,
    }


@styled
def _draw(projection: Projection, truth: Counts) -> tuple[Picture, list[list[float]]]:
    """Return the picture, and where the points lie in its own units."""
    drawing = Drawing(figsize=(6.2, 5.4), dpi=_POINTS_AN_INCH, layout="constrained")
    axes = drawing.add_subplot()
    scatter_classes(axes, projection.points, truth)
    axes.set(xticks=[], yticks=[], xlabel=projection.axes[0], ylabel=projection.axes[1])
    axes.spines[:].set_visible(False)
    picture = svg(drawing, f"{projection.title} of the embeddings of {len(truth)} test images, coloured by class.")
    places = axes.transData.transform(projection.points)  # known once the figure was laid out
    places[:, 1] = drawing.get_figheight() * _POINTS_AN_INCH - places[:, 1]
    return picture, places.round(1).tolist()


def _look(number: int) -> tuple[str, str]:
    color, shape = class_look(number)
    return color_variable(color), shape
