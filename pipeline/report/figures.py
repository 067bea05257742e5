"""The report's pictures: one function each, from plain numbers to an image that needs no other file.

No text from outside enters a picture: classes are numbered in it and named beside it, in the page, where any name
is escaped and any script can be set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from pipeline.modes import BASELINES, MODES
from pipeline.report.drawing import (
    GREY,
    MARKERS,
    PALETTE,
    Floats,
    Picture,
    displayable,
    png,
    scatter_classes,
    styled,
    svg,
)
from pipeline.report.evidence import Curve

_BASELINE_MARKERS = ("x", "+", "*", "1", "2", "3")


@styled
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
        axes.plot(x, y, marker=marker, color=GREY, linestyle=":", linewidth=1, label=name)
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
    return svg(figure, f"Chart of E_in and E_out against the number of labels. {best}.")


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
    return PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]


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


@styled
def learning_curve(curve: Curve) -> Picture:
    """E_in and E_val by epoch of one cell, the selected epoch and the last one marked."""
    figure = Figure(figsize=(4.0, 3.1), layout="constrained")
    axes = figure.add_subplot()
    color, marker = _look(curve.mode)
    epochs = np.arange(1, len(curve.e_in) + 1)
    e_in, e_val = 100 * np.array(curve.e_in), 100 * np.array(curve.e_val)
    axes.plot(epochs, e_val, color=color, linewidth=1.6, label="E_val")
    axes.plot(epochs, e_in, color=color, linewidth=1.3, linestyle="--", label="E_in")
    axes.axvline(curve.stopped_epoch, color=GREY, linestyle=":", linewidth=1.2)
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
    lines += [Line2D([], [], color="black", linewidth=1), Line2D([], [], color=GREY, linestyle=":")]
    names = ["E_val", "E_in", f"selected: {curve.best_epoch}", f"last: {curve.stopped_epoch}"]
    figure.legend(lines, names, loc="outside lower center", ncols=2, fontsize=9)
    axes.set_title(f"{curve.mode}, {curve.labels} labels", fontsize=10)
    return svg(
        figure,
        f"Learning curve of {curve.mode} with {curve.labels} labels, first draw: at the selected epoch "
        f"{curve.best_epoch} E_in is {e_in[place]:.2f} % and E_val {e_val[place]:.2f} %; training ended after epoch "
        f"{curve.stopped_epoch}.",
    )


@styled
def pretraining(losses: dict[str, list[float]]) -> Picture:
    """Loss by epoch of pretraining."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    names = {"train_loss": "training batches, as they came", "holdout_loss": "left-out training images"}
    shown = [name for name in names if name in losses]
    for name, color, marker in zip(shown, PALETTE, MARKERS, strict=False):
        axes.plot(losses["epoch"], losses[name], color=color, marker=marker, markersize=4, label=names[name])
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss an image, summed over pixels")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9)
    ends = " and ".join(f"{losses[name][-1]:.2f} on {names[name]}" for name in shown)
    return svg(figure, f"Loss by epoch of pretraining; it ends at {ends}.")


def reconstructions(rows: Mapping[str, Floats]) -> Picture:
    """Training images and what is made of them, see ``image_rows``."""
    return image_rows(rows, f"{len(next(iter(rows.values())))} training images in columns;")


@styled
def image_rows(rows: Mapping[str, Floats], alt: str) -> Picture:
    """Images in rows, one column an image.

    Args:
        rows: By the name of the row: intensities in [0, 1], shape (N, C, H, W).
        alt: What the images are; the text alternative goes on with the names of the rows.
    """
    count = len(next(iter(rows.values())))
    figure = Figure(figsize=(7.2, 0.6 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=True):
            axes.set_axis_off()
            axes.imshow(displayable(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        line[0].text(-0.15, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=10)
    return png(figure, f"{alt} rows from top to bottom: {', '.join(rows)}.")


@styled
def latent_space(points: Floats, labels: npt.NDArray[np.int64]) -> Picture:
    """Embeddings in two dimensions, coloured and numbered by class.

    Args:
        points: Shape (N, 2).
        labels: Shape (N,); -1 for unlabelled, drawn in grey.
    """
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot()
    scatter_classes(axes, points, labels)
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    return png(figure, f"Scatter plot of the embeddings of {len(points)} training images, coloured by class.")
