"""The report's charts: one function each, from plain numbers to a picture that needs no other file.

No text from outside enters a chart: classes are numbered in it and named beside it, in the page, where any name is
escaped and any script can be set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from pipeline.modes import BASELINES, MODES
from pipeline.report.drawing import GREY, MARKERS, PALETTE, Floats, Picture, displayable, png, styled, svg
from pipeline.report.evidence import Run
from pipeline.report.findings import Claim

_BASELINE_MARKERS = ("x", "+", "*", "1", "2", "3")


def _look(mode: str) -> tuple[str, str]:
    """A mode's colour and marker, the same in every picture and every report."""
    place = list(MODES).index(mode)
    return PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]


# --- errors against labels ------------------------------------------------------------------------------------


@styled
def comparison(summary: Sequence[dict[str, Any]]) -> Picture:
    """E_in and E_out against the number of labels, with intervals over the draws; baselines' E_out in grey."""
    figure = Figure(figsize=(5.4, 4.2), layout="constrained")
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
    axes.grid(visible=False, axis="x")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02 * min(high, 100)), min(high, 100))  # bars may end where no error can be
    _legend_by_column(figure, axes, [[f"{mode}, E_out", f"{mode}, E_in"] for mode in modes], baselines)
    told = "; ".join(
        f"{row['labels']} labels, {row['mode']}: E_in {100 * row['e_in']['mean']:.2f} %, "
        f"E_out {100 * row['e_out']['mean']:.2f} %"
        for row in summary
    )
    return svg(figure, f"Chart of E_in and E_out against the number of labels. {told}.")


def _series(summary: Sequence[dict[str, Any]], mode: str, quantity: str) -> tuple[Floats, Floats, Floats | None]:
    """Budgets, means and half widths, in percent; no half widths for a single draw."""
    rows = sorted((row for row in summary if row["mode"] == mode), key=lambda row: int(row["labels"]))
    intervals = [row[quantity] for row in rows]
    means = np.array([100 * interval["mean"] for interval in intervals])
    budgets = np.array([float(row["labels"]) for row in rows])
    if any(interval["low"] is None for interval in intervals):
        return budgets, means, None
    return budgets, means, np.array([100 * interval["high"] for interval in intervals]) - means


def _legend_by_column(figure: Figure, axes: Axes, columns: Sequence[Sequence[str]], last_line: Sequence[str]) -> None:
    """A legend with a mode a column, at most four of them side by side, and the baselines below.

    Matplotlib fills a legend column by column.
    """
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    width = min(4, max(len(columns), len(last_line)))
    lines: list[Sequence[str]] = []
    for start in range(0, len(columns), width):
        lines += zip(*columns[start : start + width], strict=True)
    lines += [last_line[start : start + width] for start in range(0, len(last_line), width)]
    names = [line[place] if place < len(line) else "" for place in range(width) for line in lines]
    blank = Line2D([], [], linestyle="")
    figure.legend(
        [handles.get(name, blank) for name in names], names, loc="outside lower center", ncols=width, fontsize=8
    )


def _label_axis(axes: Axes, budgets: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(budgets[0] / 1.4, budgets[-1] * 1.4)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.set_xlabel("labels, validation included (log scale)")


# --- paired differences ---------------------------------------------------------------------------------------


@styled
def forest(claims: Sequence[Claim]) -> Picture:
    """Paired differences in E_out with their intervals, a panel a budget; filled where the tests support them."""
    panels = {labels: [claim for claim in claims if claim.labels == labels] for labels in {c.labels for c in claims}}
    heights = [len(panels[labels]) + 1 for labels in sorted(panels)]
    figure = Figure(figsize=(5.4, 0.5 + 0.55 * len(panels) + 0.27 * len(claims)), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, labels in zip(grid, sorted(panels), strict=True):
        _draw_forest(axes, panels[labels])
        axes.set_title(f"{labels} labels")
    grid[-1].set_xlabel("difference in E_out, percentage points")
    told = "; ".join(f"{claim.labels} labels, {claim.name}: {claim.points} points" for claim in claims)
    return svg(figure, f"Forest plot of paired differences in E_out with their intervals. {told}.")


def _draw_forest(axes: Axes, claims: Sequence[Claim]) -> None:
    axes.axvline(0, color="black", linewidth=0.8)
    for place, claim in enumerate(claims):
        mean, color = 100 * claim.mean, PALETTE[0] if claim.supported else GREY
        limits = [mean, mean] if claim.low is None or claim.high is None else [100 * claim.low, 100 * claim.high]
        axes.plot(limits, [place, place], color=color, linewidth=1.4, marker="|", markersize=6)
        axes.plot(mean, place, marker="o", color=color, markerfacecolor=color if claim.supported else "white")
    axes.set_yticks(range(len(claims)), [claim.name for claim in claims])
    axes.set_ylim(len(claims) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")


# --- by epoch -------------------------------------------------------------------------------------------------


@styled
def learning_curve(run: Run) -> Picture:
    """E_in and E_val by epoch of one cell; the selected epoch is marked, what was trained after it is shaded."""
    figure = Figure(figsize=(3.6, 2.7), layout="constrained")
    axes = figure.add_subplot()
    color, marker = _look(run.mode)
    epochs = np.arange(1, len(run.e_in) + 1)
    e_in, e_val = 100 * np.array(run.e_in), 100 * np.array(run.e_val)
    axes.axvspan(run.best_epoch, run.stopped_epoch, color=GREY, alpha=0.16, linewidth=0)
    axes.plot(epochs, e_val, color=color, linewidth=1.5, label="E_val")
    axes.plot(epochs, e_in, color=color, linewidth=1.2, linestyle="--", label="E_in")
    axes.axvline(run.best_epoch, color="black", linewidth=0.9)
    place = run.best_epoch - 1
    points: dict[str, Any] = {"linestyle": "", "marker": marker, "color": color, "clip_on": False, "zorder": 3}
    axes.plot(epochs[place], e_val[place], **points)
    axes.plot(epochs[place], e_in[place], markerfacecolor="white", **points)
    axes.set_xlabel("epoch")
    axes.set_ylabel("error, %")
    axes.set_ylim(0, max(e_in.max(), e_val.max(), 1) * 1.05)
    axes.set_xlim(0, len(epochs) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.legend(fontsize=9, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return svg(
        figure,
        f"Learning curve of {run.mode} with {run.labels} labels, draw {run.seed}: at the selected epoch "
        f"{run.best_epoch} E_in is {e_in[place]:.2f} % and E_val {e_val[place]:.2f} %; after the last epoch, "
        f"{run.stopped_epoch}, they were {e_in[-1]:.2f} % and {e_val[-1]:.2f} %.",
    )


@styled
def pretraining(losses: dict[str, list[float]]) -> Picture:
    """Loss by epoch of pretraining."""
    figure = Figure(figsize=(5.4, 2.9), layout="constrained")
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


# --- images ---------------------------------------------------------------------------------------------------


@styled
def image_rows(rows: Mapping[str, Floats], alt: str) -> Picture:
    """Images in rows, one column an image, as pixels.

    Args:
        rows: By the name of the row: intensities in [0, 1], shape (N, C, H, W).
        alt: What the images are; the text alternative goes on with the names of the rows.
    """
    return png(_draw_rows(rows), _name_rows(rows, alt))


@styled
def reconstructions(rows: Mapping[str, Floats]) -> Picture:
    """Training images and what is made of them, for the page; see ``image_rows``."""
    return svg(_draw_rows(rows), _name_rows(rows, f"{len(next(iter(rows.values())))} training images in columns;"))


def _name_rows(rows: Mapping[str, Floats], alt: str) -> str:
    return f"{alt} rows from top to bottom: {', '.join(rows)}."


def _draw_rows(rows: Mapping[str, Floats]) -> Figure:
    count = len(next(iter(rows.values())))
    figure = Figure(figsize=(7.2, 0.6 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=True):
            axes.set_axis_off()
            axes.imshow(displayable(image), cmap="gray", vmin=0, vmax=1, interpolation="none")
        line[0].text(-0.15, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=10)
    return figure
