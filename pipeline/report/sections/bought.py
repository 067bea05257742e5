"""Section "What bought what": what images without labels and what the invariances are worth, told apart."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.artefacts.results import BoughtBudget
from pipeline.report.blocks import Block, Column, Figure, Section, Table, Text, numbers
from pipeline.report.claims import excludes_zero
from pipeline.report.evidence import Evidence
from pipeline.report.forest import Effect, forest_plot
from pipeline.report.formats import with_half_width


def bought(evidence: Evidence) -> Section | None:
    """Return the section; None where the grid has no two arms that differ in one of these alone."""
    found = evidence.comparison["bought"]
    if not found:
        return None
    effects = {
        budget["labels"]: [Effect(row["what"], row["gain"], excludes_zero(row["gain"])) for row in budget["gains"]]
        for budget in found
    }
    blocks: list[Block] = [
        Text(
            "A pretrained classifier can owe its low error to the images without labels that it was pretrained on, or "
            "to the invariances, the knowledge which changes of an image leave its class as it is. Each is measured "
            "by training with and without it, on the same draws of the labels: the gain is how many points fewer test "
            "images are classified wrongly. Pretraining uses the images without labels before the classifier is "
            "trained, modes such as self_train while it is. Gains do not add up where two things teach the same."
        ),
        Figure(
            forest_plot(effects, "gain in E_out", "Chart of what each thing bought, with intervals."),
            "Right of 0, it helps. Filled: its own interval excludes 0, not corrected for looking at several.",
        ),
    ]
    if any(budget["plain"] for budget in found):
        blocks.append(_four_arms(evidence, found))
    else:
        blocks.append(
            Text(
                "All modes of this grid know the invariances, so what these bought cannot be told from it; "
                "grid.ablation trains two modes without them, at the smallest budget."
            )
        )
    blocks.append(_gains_table(found))
    return Section("bought", "What bought what", "What bought what", blocks)


def _four_arms(evidence: Evidence, found: Sequence[BoughtBudget]) -> Table:
    columns = (
        Column("Labels", "number"),
        Column("Start"),
        *numbers("No invariances known", "Invariances known"),
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


def _gains_table(found: Sequence[BoughtBudget]) -> Table:
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
        "E_out without it minus E_out with it, in percentage points ± half of the 95 % interval, which "
        "counts all that was repeated. Above 0, it helps.",
        columns,
        rows,
    )
