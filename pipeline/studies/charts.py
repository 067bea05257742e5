"""The studies' pictures. Names of arms are plain, see ``StudyConfig``, and can stand in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.evaluation.crossed import Interval
from pipeline.report.drawing import GREY, PALETTE, Floats, Picture, displayable, png, scatter_classes, styled

TILES = 8  # images in a row


def _in_rows(
    panels: int, columns: int, size: tuple[float, float], sharey: bool = False
) -> tuple[Figure, Sequence[Axes]]:
    """Make a figure with so many panels, each of this width and height in inches, in rows of so many columns."""
    rows = -(-panels // columns)
    figure = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=sharey, squeeze=False).flatten().tolist()
    for axes in grid[panels:]:
        axes.set_axis_off()
    return figure, grid[:panels]


@styled
def heatmaps(
    panels: Mapping[str, tuple[Floats, int]], y_title: str, ys: Sequence[int], x_title: str, xs: Sequence[int]
) -> Picture:
    """Draw numbers over two settings, one panel for each number.

    Args:
        panels: By title: values of shape (len(ys), len(xs)), and how many digits of them are shown.
        y_title: The name of the setting that changes from row to row.
        ys: The values of that setting.
        x_title: The name of the setting that changes from column to column.
        xs: The values of that setting.
    """
    figure, grid = _in_rows(len(panels), 2, (1.05 + 0.375 * len(xs) * min(2, len(panels)), 2.6))
    for axes, (title, (values, digits)) in zip(grid, panels.items(), strict=True):
        axes.grid(visible=False)
        axes.imshow(values, cmap="cividis_r", aspect="auto")
        middle = (np.nanmin(values) + np.nanmax(values)) / 2
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "white" if value > middle else "black"
                axes.text(column, row, f"{value:.{digits}f}", ha="center", va="center", color=color, fontsize=9)
        axes.set_xticks(range(len(xs)), [str(x) for x in xs])
        axes.set_yticks(range(len(ys)), [str(y) for y in ys])
        axes.set_xlabel(x_title)
        axes.set_ylabel(y_title)
        axes.set_title(title, fontsize=10)
    return png(figure, f"Tables in colour over {y_title} and {x_title}: {'; '.join(panels)}.")


@styled
def bars(panels: Mapping[str, Mapping[str, Interval]]) -> Picture:
    """Draw numbers of arms with their intervals; a panel whose title ends with % shows shares as percentages."""
    figure, grid = _in_rows(len(panels), min(3, len(panels)), (2.4, 2.6))
    told = []
    for axes, (title, arms) in zip(grid, panels.items(), strict=True):
        scale = 100 if title.endswith("%") else 1
        means, halves = _scaled(arms.values(), scale)
        colors = [PALETTE[place % len(PALETTE)] for place in range(len(arms))]
        axes.bar(range(len(arms)), means, yerr=halves, color=colors, capsize=3, ecolor="black")
        axes.grid(visible=False, axis="x")
        axes.set_xticks(range(len(arms)), list(arms), rotation=30, ha="right", fontsize=8)
        axes.set_title(title, fontsize=9)
        told.append(f"{title}: " + ", ".join(f"{arm} {mean:.3g}" for arm, mean in zip(arms, means, strict=True)))
    return png(figure, "; ".join(told) + ".")


def _scaled(intervals: Iterable[Interval], scale: float) -> tuple[list[float], list[float]]:
    """Return the means of intervals and half of each interval, 0 for that of a single seed, times the scale."""
    means, halves = [], []
    for interval in intervals:
        means.append(scale * interval.mean)
        halves.append(0.0 if interval.high is None else scale * (interval.high - interval.mean))
    return means, halves


@styled
def histograms(shares: Mapping[str, Floats]) -> Picture:
    """Draw the share of each class, shape (classes,), one panel for each arm."""
    figure, grid = _in_rows(len(shares), len(shares), (2.5, 2.2), sharey=True)
    for place, (axes, (name, values)) in enumerate(zip(grid, shares.items(), strict=True)):
        axes.bar(range(len(values)), 100 * values, color=PALETTE[place % len(PALETTE)])
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("class")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if place == 0:
            axes.set_ylabel("share, %")
    ranges = "; ".join(f"{name}: {100 * x.min():.1f} to {100 * x.max():.1f} %" for name, x in shares.items())
    return png(figure, f"Class histograms, smallest to largest share: {ranges}.")


@styled
def maps(panels: Mapping[str, tuple[Floats, npt.NDArray[np.int64]]], x_title: str, y_title: str) -> Picture:
    """Draw the first two dimensions of points (N, D), coloured by class, one panel for each arm; one makes a line."""
    figure, grid = _in_rows(len(panels), len(panels), (3.4, 3.4))
    for axes, (name, (points, labels)) in zip(grid, panels.items(), strict=True):
        scatter_classes(axes, np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))[:, :2], labels)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(x_title)
    grid[0].set_ylabel(y_title)
    return png(figure, f"Scatter plots coloured by class: {'; '.join(panels)}.")


@styled
def image_grids(panels: Mapping[str, Floats], alt: str) -> Picture:
    """Draw images of shape (N, C, H, W) in rows of ``TILES``, one panel for each arm."""
    figure, grid = _in_rows(len(panels), len(panels), (3.0, 3.2))
    for axes, (name, images) in zip(grid, panels.items(), strict=True):
        axes.imshow(_tiled(images), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(name, fontsize=10)
    return png(figure, f"{alt} From left to right: {', '.join(panels)}.")


def _tiled(images: Floats) -> Any:
    lines = [images[start : start + TILES] for start in range(0, len(images) // TILES * TILES, TILES)]
    return np.concatenate([np.concatenate([displayable(image) for image in line], axis=1) for line in lines])


@dataclass(frozen=True)
class Curves:
    """Error at each measurement of a training.

    Attributes:
        errors: Error rates, shape (measurements,), by the name of what they are measured on.
        selected: Numbers of the measurements that early stopping keeps, from 1, one a draw.
    """

    errors: Mapping[str, Floats]
    selected: Sequence[int]


@styled
def curves(panels: Mapping[str, Mapping[str, Curves]], title: str) -> Picture:
    """Draw the errors at each measurement, mean over the draws: a row for each arm, a column for each mode."""
    columns = len(next(iter(panels.values())))
    figure = Figure(figsize=(3.4 * columns, 0.6 + 2.1 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), columns, sharey="row", squeeze=False)
    told = []
    for line, (arm, modes) in zip(grid, panels.items(), strict=True):
        for axes, (mode, found) in zip(line, modes.items(), strict=True):
            _draw_curves(axes, found)
            axes.set_title(f"{arm}: {mode}", fontsize=10)
            ends = ", ".join(f"{label} ends at {100 * errors[-1]:.1f} %" for label, errors in found.errors.items())
            told.append(f"{arm}, {mode}: {ends}")
        line[0].set_ylabel("error, %")
    for axes in grid[-1]:
        axes.set_xlabel("measurement")
    grid[0, 0].legend(fontsize=8)
    figure.suptitle(f"{title}; dotted: measurements that early stopping keeps", fontsize=10)
    return png(figure, f"Errors at each measurement with {title}. {'; '.join(told)}.")


@styled
def costs(panels: Mapping[str, Mapping[str, Sequence[Interval]]], budgets: Sequence[int]) -> Picture:
    """Draw errors of arms, shares by title and arm, with their intervals against the number of labels.

    Both axes are logarithmic.
    """
    figure, grid = _in_rows(len(panels), len(panels), (3.8, 3.0), sharey=True)
    told = []
    for axes, (title, arms) in zip(grid, panels.items(), strict=True):
        for (arm, intervals), color in zip(arms.items(), PALETTE, strict=False):
            means, halves = _scaled(intervals, 100)
            lows = [min(half, 0.9 * mean) for half, mean in zip(halves, means, strict=True)]  # a logarithm has no 0
            axes.errorbar(budgets, means, [lows, halves], color=color, capsize=3, marker="o", label=arm)
            shown = ", ".join(f"{n}: {mean:.2f} %" for n, mean in zip(budgets, means, strict=True))
            told.append(f"{title}, {arm}: {shown}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(budgets, list(map(str, budgets)), minor=False)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("labels")
    grid[0].set_ylabel("error, %")
    grid[0].legend(fontsize=8)
    return png(figure, f"Errors against the number of labels. {'; '.join(told)}.")


def _draw_curves(axes: Axes, found: Curves) -> None:
    for (label, errors), color, line in zip(found.errors.items(), PALETTE, ("--", "-", ":"), strict=False):
        axes.plot(np.arange(1, len(errors) + 1), 100 * errors, color=color, linestyle=line, label=label)
    for place in found.selected:
        axes.axvline(place, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
