"""The map of the latent space: pictures of test images' embeddings, and what the page's script tells of each point."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.report.drawing import Floats, Picture, class_look, color_variable, scatter_classes, styled, svg
from pipeline.report.evidence import Counts, Evidence

_POINTS_AN_INCH = 72  # the unit of the pictures' lines


@dataclass(frozen=True)
class Projection:
    """Embeddings in two dimensions.

    Attributes:
        key: Plain name.
        title: For the reader.
        points: Shape (N, 2).
        axes: What its axes are called, if they mean something.
    """

    key: str
    title: str
    points: Floats
    axes: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class LegendEntry:
    """A class beside the map, which it can be filtered by."""

    number: int
    name: str
    color: str
    shape: str


@dataclass(frozen=True)
class Space:
    """The map as the page shows it.

    Attributes:
        caption: Which images, and how they came into the plane.
        projections: Each with its picture.
        legend: The classes in it.
        budgets: Label budgets whose predictions can be chosen.
        modes: Modes that can be filtered by.
        data: What the script reads: JSON that ends no script element.
    """

    caption: str
    projections: Sequence[tuple[Projection, Picture]]
    legend: Sequence[LegendEntry]
    budgets: Sequence[int]
    modes: Sequence[str]
    data: Markup


def latent_map(
    evidence: Evidence, shown: Counts, projections: Sequence[Projection], tiles: Sequence[str], caption: str
) -> Space:
    """Draw the map and collect what is told of its points.

    Args:
        evidence: Classes and predictions of the test images.
        shown: Numbers of the test images in the map, shape (N,), class after class.
        projections: Their places.
        tiles: Style sheet's position of each one's image.
        caption: Which images they are.
    """
    names, truth = evidence.card["classes"], evidence.truth[shown]
    drawn = {each.key: _draw(each, truth) for each in projections}
    modes = list(dict.fromkeys(run.mode for run in evidence.firsts))
    predictions: dict[str, dict[str, list[int]]] = {}
    for run in evidence.firsts:
        predictions.setdefault(str(run.labels), {})[run.mode] = run.predictions[shown].tolist()
    data = {
        "classes": names,
        "numbers": shown.tolist(),
        "truth": truth.tolist(),
        "tiles": tiles,
        "predictions": predictions,
        "points": {key: places for key, (_, places) in drawn.items()},
    }
    return Space(
        caption=caption,
        projections=[(each, drawn[each.key][0]) for each in projections],
        legend=[LegendEntry(number, name, *_look(number)) for number, name in enumerate(names)],
        budgets=sorted({run.labels for run in evidence.firsts}),
        modes=modes,
        data=script_json(data),
    )


def script_json(data: Any) -> Markup:
    """JSON for a script element, which only ``<`` could end."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))  # ascii otherwise


@styled
def _draw(projection: Projection, truth: Counts) -> tuple[Picture, list[list[float]]]:
    """The picture, and where the points lie in its own units."""
    figure = Figure(figsize=(6.2, 5.4), dpi=_POINTS_AN_INCH, layout="constrained")
    axes = figure.add_subplot()
    scatter_classes(axes, projection.points, truth)
    axes.set(xticks=[], yticks=[], xlabel=projection.axes[0], ylabel=projection.axes[1])
    axes.spines[:].set_visible(False)
    picture = svg(figure, f"{projection.title} of the embeddings of {len(truth)} test images, coloured by class.")
    places = axes.transData.transform(projection.points)  # known once the figure was laid out
    places[:, 1] = figure.get_figheight() * _POINTS_AN_INCH - places[:, 1]
    return picture, places.round(1).tolist()


def _look(number: int) -> tuple[str, str]:
    color, shape = class_look(number)
    return color_variable(color), shape
