"""The report's pictures: one function each, from plain numbers to an image that needs no other file.

No text from outside enters a picture: classes are numbered in it and named beside it, in the page, where any name
is escaped and any script can be set.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from pipeline.modes import BASELINES, MODES
from pipeline.report.evidence import Curve

# Okabe and Ito's palette, which the colour-blind can tell apart; without its yellow, too pale for points on white
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# classes are often ten: three more from Paul Tol's muted palette, made to the same end
CLASS_PALETTE = (*PALETTE, "#882255", "#999933", "#332288")
SHAPES = ("circle", "square", "diamond")  # the next ten classes have other markers, in the picture and beside it
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_BASELINE_MARKERS = ("x", "+", "*", "1", "2", "3")
_GREY = "#767676"

_STYLE: Any = {
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


def _styled(draw: Callable[P, Picture]) -> Callable[P, Picture]:
    """Draw under the report's style, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Picture:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_STYLE)
            return draw(*args, **kwargs)

    return styled


@_styled
def comparison(summary: Sequence[dict[str, Any]]) -> Picture:
    """E_in and E_out against the number of labels, with intervals over the draws; baselines' E_out in grey."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    budgets = sorted({row["labels"] for row in summary})
    modes = [name for name in MODES if any(row["mode"] == name for row in summary)]
    baselines = [name for name in BASELINES if any(row["mode"] == name for row in summary)]
    # side by side at each budget, so that bars do not hide each other
    shifts = np.geomspace(0.92, 1.0 / 0.92, len(modes)) if len(modes) > 1 else np.ones(1)
    for name, marker in zip(baselines, _BASELINE_MARKERS, strict=False):
        x, y, _ = _series(summary, name, "e_out")
        axes.plot(x, y, marker=marker, color=_GREY, linestyle=":", linewidth=1, label=name)
    for mode, shift in zip(modes, shifts, strict=True):
        color, marker = _look(mode)
        for quantity, fill, line in (("e_out", color, "-"), ("e_in", "white", "--")):
            x, y, bars = _series(summary, mode, quantity)
            axes.errorbar(
                x * shift,
                y,
                yerr=bars,
                color=color,
                marker=marker,
                markerfacecolor=fill,
                linestyle=line,
                linewidth=1.4,
                elinewidth=1,
                capsize=3,
                label=f"{mode}, {'E_in' if quantity == 'e_in' else 'E_out'}",
            )
    _label_axis(axes, budgets)
    axes.set_ylabel("error, %")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02 * min(high, 100)), min(high, 100))  # bars may end where no error can be
    _legend_by_column(figure, axes, [[f"{mode}, E_out", f"{mode}, E_in"] for mode in modes], baselines)
    best = "; ".join(
        f"{row['labels']} labels, {row['mode']}: E_in {100 * row['e_in']['mean']:.2f} %, "
        f"E_out {100 * row['e_out']['mean']:.2f} %"
        for row in summary
    )
    return _svg(figure, f"Chart of E_in and E_out against the number of labels. {best}.")


def _series(summary: Sequence[dict[str, Any]], mode: str, quantity: str) -> tuple[Floats, Floats, Floats | None]:
    """Budgets, means and half widths, in percent; no half widths for a single draw."""
    rows = sorted((row for row in summary if row["mode"] == mode), key=lambda row: int(row["labels"]))
    intervals = [row[quantity] for row in rows]
    means = np.array([100 * interval["mean"] for interval in intervals])
    budgets = np.array([float(row["labels"]) for row in rows])
    if any(interval["low"] is None for interval in intervals):
        return budgets, means, None
    return budgets, means, np.array([100 * interval["high"] for interval in intervals]) - means


def _look(mode: str) -> tuple[str, str]:
    """A mode's colour and marker, the same in every picture and every report."""
    place = list(MODES).index(mode)
    return PALETTE[place % len(PALETTE)], _MARKERS[place % len(_MARKERS)]


def _legend_by_column(figure: Figure, axes: Axes, columns: Sequence[Sequence[str]], last_line: Sequence[str]) -> None:
    """A legend with a mode a column and the baselines below; matplotlib fills it column by column."""
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    blank = Line2D([], [], linestyle="")
    entries: list[tuple[Any, str]] = []
    width = max(len(columns), len(last_line))
    for place in range(width):
        names = columns[place] if place < len(columns) else ("", "")
        below = [last_line[place] if place < len(last_line) else ""] if last_line else []
        entries += [(handles.get(name, blank), name) for name in (*names, *below)]
    lines, labels = zip(*entries, strict=True)
    figure.legend(lines, labels, loc="outside lower center", ncols=width, fontsize=9)


def _label_axis(axes: Axes, budgets: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(budgets[0] / 1.4, budgets[-1] * 1.4)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.set_xlabel("labels, validation included (log scale)")


@_styled
def learning_curve(curve: Curve) -> Picture:
    """E_in and E_val by epoch of one cell, the selected epoch and the last one marked."""
    figure = Figure(figsize=(4.0, 3.1), layout="constrained")
    axes = figure.add_subplot()
    color, marker = _look(curve.mode)
    epochs = np.arange(1, len(curve.e_in) + 1)
    e_in, e_val = 100 * np.array(curve.e_in), 100 * np.array(curve.e_val)
    axes.plot(epochs, e_val, color=color, linewidth=1.6, label="E_val")
    axes.plot(epochs, e_in, color=color, linewidth=1.3, linestyle="--", label="E_in")
    axes.axvline(curve.stopped_epoch, color=_GREY, linestyle=":", linewidth=1.2)
    axes.axvline(curve.best_epoch, color="black", linewidth=1)
    place = curve.best_epoch - 1
    points: dict[str, Any] = {"linestyle": "", "marker": marker, "color": color, "clip_on": False, "zorder": 3}
    axes.plot(epochs[place], e_val[place], **points)
    axes.plot(epochs[place], e_in[place], markerfacecolor="white", **points)
    axes.set_xlabel("epoch")
    axes.set_ylabel("error, %")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, len(epochs) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    lines = [*axes.get_legend_handles_labels()[0]]
    lines += [Line2D([], [], color="black", linewidth=1), Line2D([], [], color=_GREY, linestyle=":")]
    names = ["E_val", "E_in", f"selected: {curve.best_epoch}", f"last: {curve.stopped_epoch}"]
    figure.legend(lines, names, loc="outside lower center", ncols=2, fontsize=9)
    axes.set_title(f"{curve.mode}, {curve.labels} labels", fontsize=10)
    return _svg(
        figure,
        f"Learning curve of {curve.mode} with {curve.labels} labels, first draw: at the selected epoch "
        f"{curve.best_epoch} E_in is {e_in[place]:.2f} % and E_val {e_val[place]:.2f} %; training ended after epoch "
        f"{curve.stopped_epoch}.",
    )


@_styled
def pretraining(losses: dict[str, list[float]]) -> Picture:
    """Loss by epoch of pretraining."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    names = {"train_loss": "training batches, as they came", "holdout_loss": "left-out training images"}
    shown = [name for name in names if name in losses]
    for name, color, marker in zip(shown, PALETTE, _MARKERS, strict=False):
        axes.plot(losses["epoch"], losses[name], color=color, marker=marker, markersize=4, label=names[name])
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss an image, summed over pixels")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9)
    ends = " and ".join(f"{losses[name][-1]:.2f} on {names[name]}" for name in shown)
    return _svg(figure, f"Loss by epoch of pretraining; it ends at {ends}.")


@_styled
def reconstructions(rows: dict[str, Floats]) -> Picture:
    """Images in rows, one column an image.

    Args:
        rows: By the name of the row: intensities in [0, 1], shape (N, C, H, W), of one or three channels.
    """
    count = len(next(iter(rows.values())))
    figure = Figure(figsize=(7.2, 0.6 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=True):
            axes.set_axis_off()
            axes.imshow(_displayable(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        line[0].text(-0.15, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=10)
    return _png(figure, f"{count} training images in columns; rows from top to bottom: {', '.join(rows)}.")


def _displayable(image: Floats) -> Floats:
    """(H, W) for grey, (H, W, 3) for colour; of other channel counts, their mean."""
    channels = len(image)
    if channels == 3:
        return np.moveaxis(image, 0, -1).clip(0, 1)
    return np.asarray(image.mean(0)).clip(0, 1)


def class_look(number: int) -> tuple[str, str]:
    """Colour and shape of a class; both repeat after 30 classes, its number in the picture does not."""
    return CLASS_PALETTE[number % len(CLASS_PALETTE)], SHAPES[number // len(CLASS_PALETTE) % len(SHAPES)]


@_styled
def latent_space(points: Floats, labels: npt.NDArray[np.int64]) -> Picture:
    """Embeddings in two dimensions, coloured and numbered by class.

    Args:
        points: Shape (N, 2).
        labels: Shape (N,); -1 for unlabelled, drawn in grey.
    """
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot()
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
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    return _png(figure, f"Scatter plot of the embeddings of {len(points)} training images of {len(classes)} classes.")


def _svg(figure: Figure, alt: str) -> Picture:
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(content.getvalue(), "image/svg+xml", alt)


def _png(figure: Figure, alt: str) -> Picture:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=180, metadata={"Software": None})
    return Picture(content.getvalue(), "image/png", alt)
