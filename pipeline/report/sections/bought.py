"""Section "What bought what": what images without labels and what the invariances are worth, told apart."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from pipeline.artefacts.results import BoughtBudget, IntervalRecord
from pipeline.report.blocks import Block, Column, Figure, Section, Table, Text
from pipeline.report.claims import excludes_zero
from pipeline.report.drawing import GREY, PALETTE, Picture, styled, svg
from pipeline.report.evidence import Evidence
from pipeline.report.formats import with_half_width


def bought(evidence: Evidence) -> Section | None:
    """Return the section; None where the grid has no two arms that differ in one of these alone."""
    found = evidence.comparison["bought"]
    if not found:
        return None
    blocks: list[Block] = [
        Text(
            "A pretrained classifier can owe its low error to the images without labels that it was pretrained on, or "
            "to the invariances, the knowledge which changes of an image leave its class as it is. Each is measured "
            "by training with and without it, on the same draws of the labels: the gain is how many points fewer test "
            "images are classified wrongly. Pretraining uses the images without labels before the classifier is "
            "trained, modes such as self_train while it is. Gains do not add up where two things teach the same."
        ),
        Figure(
            _chart(found),
            "Right of 0, it helps. Filled: its own interval excludes 0, not corrected for looking at several.",
        ),
    ]
    if any(budget["plain"] for budget in found):
        blocks.append(_four_arms(evidence, found))
    else:
        blocks.append(
            Text(
                "All modes of this grid know the invariances, so what these bought cannot be told from it; "
                "grid.ablation trains two modes without them."
            )
        )
    blocks.append(_gains_table(found, evidence.comparison["level"]))
    return Section("bought", "What bought what", "What bought what", blocks)


def _four_arms(evidence: Evidence, found: Sequence[BoughtBudget]) -> Table:
    columns = (
        Column("Labels", "number"),
        Column("Start"),
        Column("No invariances known", "number"),
        Column("Invariances known", "number"),
    )
    names = {"scratch": "from scratch", "finetune": "pretrained, then fine-tuned"}
    rows = [
        (
            str(budget["labels"]),
            names[mode],
            with_half_width(budget["plain"][mode]),
            with_half_width(evidence.summary(budget["labels"], mode)["e_out"]),
        )
        for budget in found
        for mode in names
        if mode in budget["plain"]
    ]
    return Table(
        "E_out in %, with half of the interval: the same network from two starts, with the invariances and as if "
        "nobody knew them, in pretraining either. Every cell without them is in ablation.csv.",
        columns,
        rows,
    )


def _gains_table(found: Sequence[BoughtBudget], level: float) -> Table:
    columns = (
        Column("Labels", "number"),
        Column("What", "words"),
        Column("Without it"),
        Column("With it"),
        Column("Gain", "number"),
    )
    rows = [
        (str(budget["labels"]), row["what"], row["without"], row["having"], with_half_width(row["gain"]))
        for budget in found
        for row in budget["gains"]
    ]
    return Table(
        f"E_out without it minus E_out with it, in percentage points ± half of the {100 * level:.0f} % interval, which "
        "counts all that was repeated. Above 0, it helps.",
        columns,
        rows,
    )


# --- the figure -----------------------------------------------------------------------------------------------


@styled
def _chart(found: Sequence[BoughtBudget]) -> Picture:
    """Gains with their intervals, a panel a budget; filled where the interval excludes 0."""
    count = sum(len(budget["gains"]) for budget in found)
    drawing = Drawing(figsize=(7.2, 0.5 + 0.55 * len(found) + 0.27 * count), layout="constrained")
    heights = [len(budget["gains"]) + 1 for budget in found]
    grid = drawing.subplots(len(found), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, budget in zip(grid, found, strict=True):
        _draw_panel(axes, budget)
    grid[-1].set_xlabel("gain in E_out, percentage points")
    listed = "; ".join(
        f"{budget['labels']} labels, {row['what']}: {with_half_width(row['gain'])} points"
        for budget in found
        for row in budget["gains"]
    )
    return svg(drawing, f"Chart of what each thing bought, with intervals. {listed}.")


def _draw_panel(axes: Axes, budget: BoughtBudget) -> None:
    axes.axvline(0, color="black", linewidth=0.8)
    for place, row in enumerate(budget["gains"]):
        sure = excludes_zero(row["gain"])
        color = PALETTE[0] if sure else GREY
        axes.plot(_limits(row["gain"]), [place, place], color=color, linewidth=1.4, marker="|", markersize=6)
        fill = color if sure else "white"
        axes.plot(100 * row["gain"]["mean"], place, marker="o", color=color, markerfacecolor=fill)
    axes.set_yticks(range(len(budget["gains"])), [row["what"] for row in budget["gains"]])
    axes.set_ylim(len(budget["gains"]) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.set_title(f"{budget['labels']} labels")


def _limits(gain: IntervalRecord) -> tuple[float, float]:
    """Return the interval in percentage points; the mean alone where there is none."""
    low, high = gain["low"], gain["high"]
    if low is None or high is None:
        return 100 * gain["mean"], 100 * gain["mean"]
    return 100 * low, 100 * high
