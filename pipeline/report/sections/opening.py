"""The report's first screen: the question, the answer, what has to be known to read it, and the main chart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from pipeline.artefacts.results import Comparison, PairedRow, Quantity, SummaryRow
from pipeline.modes import BASELINES, in_order
from pipeline.report.blocks import Figure, Opening
from pipeline.report.claims import (
    SIGNIFICANCE,
    Claim,
    claims_of,
    draws_needed,
    excludes_zero,
    find_pair,
    how_many_supported,
)
from pipeline.report.drawing import GREY, Floats, Picture, mode_look, styled, svg
from pipeline.report.evidence import Evidence
from pipeline.report.formats import count_draws, percent, probability, say_repetitions

QUESTION = (
    "With few labels, is it better to freeze a pretrained encoder, to fine-tune it, or to train the same network "
    "from scratch?"
)
_BASELINE_MARKERS = ("x", "+", "*", "1", "2", "3")


def opening(evidence: Evidence) -> Opening:
    """Return the first screen."""
    comparison = evidence.comparison
    return Opening(
        title=f"{evidence.card['dataset']}: E_in and E_out with few labels",
        question=QUESTION,
        answer=answer(comparison),
        warnings=[f"With {flag['labels']} labels, {flag['kind']}: {flag['text']}" for flag in comparison["flags"]],
        findings=findings(comparison),
        remarks=_remarks(comparison, claims_of(comparison), evidence.pretrained is not None),
        figure=Figure(_chart(comparison["summary"]), _caption(comparison)),
    )


# --- the answer -----------------------------------------------------------------------------------------------


def answer(comparison: Comparison) -> str:
    """Return the finding at the smallest budget in one sentence."""
    best, rivals = _best_and_rivals(comparison)
    rate = f"{percent(best['e_out']['mean'])} % of the test images"
    repeated = f"mean over {say_repetitions(best)}"
    if not rivals:
        return (
            f"With {best['labels']} labels, {best['mode']} errs on {rate} ({repeated}); no other mode is in the grid "
            "to compare it with."
        )
    return f"With {best['labels']} labels, {best['mode']} errs least, on {rate} ({repeated})."


def findings(comparison: Comparison) -> list[str]:
    """Return how every other mode compares with the best one at the smallest budget, no stronger than the data allow.

    The closest rival comes first.
    """
    best, rivals = _best_and_rivals(comparison)
    return [_against(comparison, best, rival) for rival in rivals]


def _best_and_rivals(comparison: Comparison) -> tuple[SummaryRow, list[SummaryRow]]:
    labels = min(row["labels"] for row in comparison["summary"])
    rows = [row for row in comparison["summary"] if row["labels"] == labels and row["mode"] not in BASELINES]
    rows.sort(key=lambda row: row["e_out"]["mean"])
    return rows[0], rows[1:]


def _against(comparison: Comparison, best: SummaryRow, rival: SummaryRow) -> str:
    """Return how much less the best mode errs than a rival, and whether chance could have done it."""
    rate = f"{rival['mode']} errs on {percent(rival['e_out']['mean'])} %"
    paired = find_pair(comparison, best["labels"], rival["mode"], best["mode"])
    if paired is None:
        return f"{rate}, without a paired comparison."
    difference = paired["difference"]
    points = f"{percent(difference['mean'])} points more"
    low, high, better = difference["low"], difference["high"], paired["second_better"]
    if low is None or high is None or better is None:
        return f"{rate}, {points}, and a single draw cannot tell that from chance."
    interval = f"95 % interval {percent(low)} to {percent(high)}"
    return (
        f"{rate}, {points} ({interval}, p = {paired['p_value']:.4f}): {_verdict(paired)}. That {best['mode']} is "
        f"better by more than {100 * comparison['margin']:g} points has a probability of {probability(better)}."
    )


def _verdict(paired: PairedRow) -> str:
    """Whether interval and test both find a difference; with few draws, the test never does."""
    if not excludes_zero(paired["difference"]):
        return "the data do not separate the two"
    if paired["p_value"] <= SIGNIFICANCE:
        return "the data separate the two"
    smallest = 2 / 2 ** paired["draws"]
    if smallest > SIGNIFICANCE:
        return (
            f"{count_draws(paired['draws'])} are too few to separate the two (the test's p cannot fall below "
            f"{smallest:.4f})"
        )
    return "interval and test disagree, and the data do not clearly separate the two"


# --- what has to be known to read it --------------------------------------------------------------------------


def _remarks(comparison: Comparison, claims: Sequence[Claim], pretrained: bool) -> list[str]:
    remarks = []
    if len(claims) > 1:
        draws = claims[0].row["draws"]
        too_few = f": {count_draws(draws)} are too few" if 1 < draws < draws_needed(len(claims)) else ""
        remarks.append(
            f"Each of these differences is looked at by itself. Corrected for looking at all {len(claims)}, at every "
            f"budget, the tests support {how_many_supported(claims)} of them{too_few}."
        )
    remarks += _best_baseline(comparison)
    remarks.append(_what_intervals_count(comparison, pretrained))
    return remarks


def _best_baseline(comparison: Comparison) -> list[str]:
    labels = min(row["labels"] for row in comparison["summary"])
    baselines = [row for row in comparison["summary"] if row["labels"] == labels and row["mode"] in BASELINES]
    if not baselines:
        return []
    best = min(baselines, key=lambda row: row["e_out"]["mean"])
    return [
        f"The best classical baseline with {labels} labels is {best['mode']} ({BASELINES[best['mode']]}), with a mean "
        f"E_out of {percent(best['e_out']['mean'])} %."
    ]


def _what_intervals_count(comparison: Comparison, pretrained: bool) -> str:
    if comparison["draws"] == 1:
        return "A single draw of the labels says nothing about how much depends on which labels were drawn."
    counted = "which labels were drawn and which images happen to be in the test set"
    if not pretrained:
        return f"Intervals say how much depends on {counted}."
    if comparison["encoders"] > 1:
        return f"Intervals say how much depends on {counted}, and on the seed of pretraining."
    return (
        f"Intervals say how much depends on {counted}. All modes share one pretrained encoder: how much another seed "
        "of pretraining would change is not in them (grid.encoders trains several)."
    )


# --- errors against labels ------------------------------------------------------------------------------------


def _caption(comparison: Comparison) -> str:
    sentences = [
        "Error against the number of labels. Filled: E_out, on the test set. Hollow: E_in, on the training labels."
    ]
    if comparison["draws"] > 1:
        sentences.append("Bars: 95 % interval, cut off at 0 and 100 %.")
    if any(row["mode"] in BASELINES for row in comparison["summary"]):
        sentences.append("Grey: E_out of the classical baselines, without bars.")
    return " ".join(sentences)


@styled
def _chart(summary: Sequence[SummaryRow]) -> Picture:
    """Draw E_in and E_out against the number of labels, with their intervals; E_out of the baselines is grey."""
    drawing = Drawing(figsize=(5.4, 4.2), layout="constrained")
    axes = drawing.add_subplot()
    modes = in_order(dict.fromkeys(row["mode"] for row in summary if row["mode"] not in BASELINES))
    baselines = [name for name in BASELINES if any(row["mode"] == name for row in summary)]
    for name, marker in zip(baselines, _BASELINE_MARKERS, strict=False):
        x, y, _ = _series(summary, name, "e_out")
        axes.plot(x, y, marker=marker, color=GREY, linestyle=":", linewidth=1, label=name)
    # side by side at each budget, so that bars do not hide each other
    shifts = np.geomspace(0.92, 1.0 / 0.92, len(modes)) if len(modes) > 1 else np.ones(1)
    for mode, shift in zip(modes, shifts, strict=True):
        _plot_mode(axes, summary, mode, float(shift))
    _label_axes(axes, sorted({row["labels"] for row in summary}))
    _legend_by_column(drawing, axes, [[f"{mode}, E_out", f"{mode}, E_in"] for mode in modes], baselines)
    listed = "; ".join(
        f"{row['labels']} labels, {row['mode']}: E_in {100 * row['e_in']['mean']:.2f} %, "
        f"E_out {100 * row['e_out']['mean']:.2f} %"
        for row in summary
    )
    return svg(drawing, f"Chart of E_in and E_out against the number of labels. {listed}.")


def _plot_mode(axes: Axes, summary: Sequence[SummaryRow], mode: str, shift: float) -> None:
    color, marker = mode_look(mode)
    shown: tuple[tuple[Quantity, str, str, str], ...] = (
        ("e_out", "E_out", color, "-"),
        ("e_in", "E_in", "white", "--"),
    )
    for quantity, name, fill, line in shown:
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
            label=f"{mode}, {name}",
        )


def _series(summary: Sequence[SummaryRow], mode: str, quantity: Quantity) -> tuple[Floats, Floats, Floats | None]:
    """Return budgets, means and half widths, in percent; a single draw has no half widths."""
    rows = sorted((row for row in summary if row["mode"] == mode), key=lambda row: int(row["labels"]))
    intervals = [row[quantity] for row in rows]
    means = np.array([100 * interval["mean"] for interval in intervals])
    budgets = np.array([float(row["labels"]) for row in rows])
    highs = [100 * interval["high"] for interval in intervals if interval["high"] is not None]
    if len(highs) < len(intervals):
        return budgets, means, None
    return budgets, means, np.array(highs) - means


def _legend_by_column(drawing: Drawing, axes: Axes, columns: Sequence[Sequence[str]], last_line: Sequence[str]) -> None:
    """Draw a legend with one column for each mode, at most four side by side, and the baselines below.

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
    drawing.legend(
        [handles.get(name, blank) for name in names], names, loc="outside lower center", ncols=width, fontsize=8
    )


def _label_axes(axes: Axes, budgets: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(budgets[0] / 1.4, budgets[-1] * 1.4)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(budgets, [str(budget) for budget in budgets])
    axes.set_xlabel("labels, validation included (log scale)")
    axes.set_ylabel("error, %")
    axes.grid(visible=False, axis="x")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02 * min(high, 100)), min(high, 100))  # bars may end where no error can be
