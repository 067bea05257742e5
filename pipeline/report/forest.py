"""Forest plots: differences of errors with their intervals, a panel for each label budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.artefacts.results import IntervalRecord
from pipeline.report.drawing import GREY, PALETTE, Picture, styled, svg
from pipeline.report.formats import with_half_width


@dataclass(frozen=True)
class Effect:
    """A difference of errors, which takes a line of the plot.

    Attributes:
        name: The words beside the line.
        interval: The difference, as a share.
        is_sure: Whether the data say on which side of 0 it lies; its mark is then filled.
    """

    name: str
    interval: IntervalRecord
    is_sure: bool


@styled
def forest_plot(panels: Mapping[int, Sequence[Effect]], quantity: str, alt: str) -> Picture:
    """Draw differences in percentage points.

    Args:
        panels: The differences at each label budget.
        quantity: The name of the differences, for the axis.
        alt: The first sentence of the text alternative, which goes on with the differences.
    """
    count = sum(map(len, panels.values()))
    figure = Figure(figsize=(7.2, 0.5 + 0.55 * len(panels) + 0.27 * count), layout="constrained")
    heights = [len(effects) + 1 for effects in panels.values()]
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    listed = []
    for axes, (labels, effects) in zip(grid, panels.items(), strict=True):
        _draw_panel(axes, effects)
        axes.set_title(f"{labels} labels")
        listed += [f"{labels} labels, {each.name}: {with_half_width(each.interval)} points" for each in effects]
    grid[-1].set_xlabel(f"{quantity}, percentage points")
    return svg(figure, f"{alt} {'; '.join(listed)}.")


def _draw_panel(axes: Axes, effects: Sequence[Effect]) -> None:
    axes.axvline(0, color="black", linewidth=0.8)
    for place, effect in enumerate(effects):
        mean, low, high = 100 * effect.interval["mean"], effect.interval["low"], effect.interval["high"]
        limits = [mean, mean] if low is None or high is None else [100 * low, 100 * high]
        color = PALETTE[0] if effect.is_sure else GREY
        axes.plot(limits, [place, place], color=color, linewidth=1.4, marker="|", markersize=6)
        axes.plot(mean, place, marker="o", color=color, markerfacecolor=color if effect.is_sure else "white")
    axes.set_yticks(range(len(effects)), [effect.name for effect in effects])
    axes.set_ylim(len(effects) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
