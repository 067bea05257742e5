"""The common ground of all pictures: one style, safe colours, a text beside it, bytes that need no other file.

Charts are drawn by matplotlib as lines and stand in the page as such: its style sheet gives them the page's font and
the colours of its theme, and a script finds the points in them.
"""

from __future__ import annotations

import base64
import functools
import io
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline import modes

# Okabe and Ito's palette, which the colour-blind can tell apart; without its yellow, too pale for points on white
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# classes are often ten: three more from Paul Tol's muted palette, made to the same end
CLASS_PALETTE = (*PALETTE, "#882255", "#999933", "#332288")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
# what the style sheet calls the colours, so that a dark page can show them in others
_CLASS_NAMES = ("blue", "vermilion", "green", "purple", "orange", "sky", "ink", "wine", "olive", "indigo")
_NAMES = {color.lower(): name for color, name in zip(CLASS_PALETTE, _CLASS_NAMES, strict=True)}
_NAMES |= {GREY: "grey", "#ffffff": "paper", "#e4e4e4": "grid"}
NUMBERED = 30  # classes; the numbers of more would hide the points
SHAPES = ("circle", "square", "diamond")  # the next ten classes have other markers, in the picture and beside it

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: the page's font, and read aloud
    "font.family": "DejaVu Sans",  # comes with matplotlib; wider than most, so that others fit where it does
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
}

Floats = npt.NDArray[np.floating[Any]]
P = ParamSpec("P")
Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Picture:
    """An image that carries its own bytes.

    Attributes:
        content: The file.
        media_type: The kind of file.
        alt: A description for those who cannot see the image.
    """

    content: bytes
    media_type: Literal["image/svg+xml", "image/png"]
    alt: str

    @property
    def html(self) -> Markup:
        """The image as an element that needs no other file; lines as such, pixels in an address that holds them."""
        if self.media_type == "image/svg+xml":
            lines = Markup(self.content.decode().removeprefix("<svg"))  # drawn here, with no text from outside in it
            return Markup('<svg class="chart" role="img" aria-label="{}"{}').format(self.alt, lines)
        return Markup('<img src="{}" alt="{}">').format(data_uri(self.content), self.alt)


def data_uri(png_file: bytes) -> str:
    """Return a PNG file as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png_file).decode()}"


def color_variable(color: str) -> str:
    """Return a colour of the palettes as style sheets take it: the theme's, or as it is outside the page."""
    name = _NAMES.get(color.lower())
    return f"var(--{name}, {color.lower()})" if name else color


def styled(draw: Callable[P, Drawn]) -> Callable[P, Drawn]:
    """Draw under the report's style, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Drawn:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return styled


def displayable(image: Floats) -> Floats:
    """Return an image, (C, H, W), as matplotlib takes it: (H, W, 3) in colour, else the channels' mean, (H, W)."""
    channels = len(image)
    if channels == 3:
        return np.moveaxis(image, 0, -1).clip(0, 1)
    return np.asarray(image.mean(0)).clip(0, 1)


def mode_look(mode: str) -> tuple[str, str]:
    """Return a mode's colour and marker, the same in every picture and every report."""
    names = modes.names()
    place = names.index(mode) if mode in names else zlib.crc32(mode.encode())  # the user's own, by import path
    return PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]


def class_look(number: int) -> tuple[str, str]:
    """Return colour and shape of a class; both repeat after 30 classes, its number in the picture does not."""
    return CLASS_PALETTE[number % len(CLASS_PALETTE)], SHAPES[number // len(CLASS_PALETTE) % len(SHAPES)]


def scatter_classes(axes: Axes, points: Floats, labels: npt.NDArray[np.int64]) -> None:
    """Draw points of shape (N, 2), coloured and, if classes are few, numbered by class; unlabelled ones, -1, are grey.

    In lines they are elements of their own, class after class, in groups of the style sheet's class ``points``.
    """
    markers = dict(zip(SHAPES, ("o", "s", "D"), strict=True))
    unlabelled = points[labels < 0]
    axes.scatter(unlabelled[:, 0], unlabelled[:, 1], s=6, color="#c8c8c8", linewidths=0)
    classes = [int(number) for number in np.unique(labels) if number >= 0]
    for number in classes:
        color, shape = class_look(number)
        own = points[labels == number]
        look: Any = {"s": 11, "color": color, "marker": markers[shape], "alpha": 0.6, "linewidths": 0}
        axes.scatter(own[:, 0], own[:, 1], clip_on=False, gid="points", **look)
    for number in classes if len(classes) <= NUMBERED else ():  # over all points
        x, y = np.median(points[labels == number], axis=0)
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": class_look(number)[0], "alpha": 0.9}
        axes.text(x, y, str(number), ha="center", va="center", fontsize=10, weight="bold", bbox=box)


def svg(figure: Figure, alt: str) -> Picture:
    """Return the figure as lines, which stay sharp at any size and take font and colours from the page around them."""
    figure.set_facecolor("none")
    for axes in figure.axes:
        axes.set_facecolor("none")
    content = io.StringIO()
    # names inside the file are made from the salt: the same numbers make the same bytes, two charts of a page no clash
    mpl.rcParams["svg.hashsalt"] = alt
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    lines = "".join(content.getvalue().partition("<svg")[1:])
    lines = re.sub(r' (?:width|height)="[\d.]+pt"', "", lines, count=2)
    lines = re.sub(r"<style.*?</style>", "", lines, flags=re.S)
    lines = re.sub(r' id="([A-Za-z0-9.]+_\d+|image[0-9a-f]+)"', "", lines)  # of groups that nothing refers to
    lines = lines.replace(' id="points"', ' class="points"')
    lines = re.sub(r"font-family: [^;\"]+;? ?", "", lines)
    lines = re.sub(r"(?<=: )#[0-9a-f]{6}", lambda found: color_variable(found[0]), lines)
    return Picture(re.sub(r"\n\s*", "\n", lines).encode(), "image/svg+xml", alt)


def png(figure: Figure, alt: str) -> Picture:
    """Return the figure as pixels, for images and for many points."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=180, metadata={"Software": None})
    return Picture(content.getvalue(), "image/png", alt)


@styled
def image_rows(rows: Mapping[str, Floats], alt: str, draw: Callable[[Figure, str], Picture] = png) -> Picture:
    """Return images in rows, one column an image.

    Args:
        rows: Intensities in [0, 1], shape (N, C, H, W), by the name of the row.
        alt: The beginning of the text alternative, which goes on with the names of the rows.
        draw: Either ``png`` or, for a page, ``svg``, with text in the page's font.
    """
    return draw(_draw_rows(rows), f"{alt} rows from top to bottom: {', '.join(rows)}.")


def _draw_rows(rows: Mapping[str, Floats]) -> Figure:
    figure = Figure(figsize=(7.2, 0.6 * len(rows)), layout="constrained")
    axes = figure.subplots()  # one for all images: axes of their own take many times as long
    axes.set_axis_off()
    right = top = bottom = 0.0
    for name, images in rows.items():
        height, width = images.shape[-2:]
        bottom = top + height
        axes.text(-0.2 * width, top + height / 2, name, ha="right", va="center", fontsize=10)
        for place, image in enumerate(images):
            left = 1.2 * width * place
            extent = (left, left + width, bottom, top)
            axes.imshow(displayable(image), cmap="gray", vmin=0, vmax=1, interpolation="none", extent=extent)
            right = max(right, left + width)
        top = bottom + 0.2 * height
    axes.set(xlim=(0, right), ylim=(bottom, 0))
    return figure
