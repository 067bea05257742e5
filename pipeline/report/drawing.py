"""What every picture has in common: one style, safe colours, a text beside it, bytes that need no other file."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, which the colour-blind can tell apart; without its yellow, too pale for points on white
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# classes are often ten: three more from Paul Tol's muted palette, made to the same end
CLASS_PALETTE = (*PALETTE, "#882255", "#999933", "#332288")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
SHAPES = ("circle", "square", "diamond")  # the next ten classes have other markers, in the picture and beside it

STYLE: Any = {
    "svg.hashsalt": "report",  # the same numbers make the same bytes
    "svg.fonttype": "path",  # looks the same whatever fonts the reader has
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
}

Floats = npt.NDArray[np.floating[Any]]
P = ParamSpec("P")


@dataclass(frozen=True)
class Picture:
    """An image that carries its own bytes.

    Attributes:
        content: The file.
        media_type: Of the file.
        alt: What can be seen, for those who cannot.
    """

    content: bytes
    media_type: Literal["image/svg+xml", "image/png"]
    alt: str

    @property
    def uri(self) -> str:
        """The image as an address that holds it."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


def styled(draw: Callable[P, Picture]) -> Callable[P, Picture]:
    """Draw under the report's style, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Picture:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return styled


def displayable(image: Floats) -> Floats:
    """(H, W) for grey, (H, W, 3) for colour; of other channel counts, their mean."""
    channels = len(image)
    if channels == 3:
        return np.moveaxis(image, 0, -1).clip(0, 1)
    return np.asarray(image.mean(0)).clip(0, 1)


def class_look(number: int) -> tuple[str, str]:
    """Colour and shape of a class; both repeat after 30 classes, its number in the picture does not."""
    return CLASS_PALETTE[number % len(CLASS_PALETTE)], SHAPES[number // len(CLASS_PALETTE) % len(SHAPES)]


def scatter_classes(axes: Axes, points: Floats, labels: npt.NDArray[np.int64]) -> None:
    """Points of shape (N, 2), coloured and numbered by class; unlabelled ones, -1, in grey."""
    markers = dict(zip(SHAPES, ("o", "s", "D"), strict=True))
    unlabelled = points[labels < 0]
    axes.scatter(unlabelled[:, 0], unlabelled[:, 1], s=6, color="#c8c8c8", linewidths=0)
    classes = [int(number) for number in np.unique(labels) if number >= 0]
    for number in classes:
        color, shape = class_look(number)
        own = points[labels == number]
        axes.scatter(own[:, 0], own[:, 1], s=11, color=color, marker=markers[shape], alpha=0.6, linewidths=0)
    for number in classes:  # over all points
        x, y = np.median(points[labels == number], axis=0)
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": class_look(number)[0], "alpha": 0.9}
        axes.text(x, y, str(number), ha="center", va="center", fontsize=10, weight="bold", bbox=box)


def svg(figure: Figure, alt: str) -> Picture:
    """The figure as lines, which stay sharp at any size."""
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(content.getvalue(), "image/svg+xml", alt)


def png(figure: Figure, alt: str) -> Picture:
    """The figure as pixels, for images and for many points."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=180, metadata={"Software": None})
    return Picture(content.getvalue(), "image/png", alt)
