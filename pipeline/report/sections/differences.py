"""Section "Differences on the same draws": which mode errs less than which, after looking at all of them."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.artefacts.results import QUANTITIES, Comparison
from pipeline.report.blocks import Column, Figure, Folded, Section, Table, Text, numbers
from pipeline.report.claims import SIGNIFICANCE, Claim, claims_of, draws_needed, how_many_supported
from pipeline.report.drawing import Picture
from pipeline.report.evidence import Evidence
from pipeline.report.forest import Effect, forest_plot
from pipeline.report.formats import count_draws, percent, probability, with_half_width


def differences(evidence: Evidence) -> Section | None:
    """Return the section; None where the grid has a single mode."""
    claims = claims_of(evidence.comparison)
    if not claims:
        return None
    caption = (
        "Left of 0, the first mode errs less. Filled: supported after the correction. Hollow: not supported. Each "
        "budget has its own scale."
    )
    return Section(
        "differences",
        "Differences on the same draws",
        "Differences",
        [
            Text(
                "All modes learn from the same draws of the labels, so they can be compared draw by draw: that leaves "
                "out how easy or hard a draw is for everybody."
            ),
            Text(_correction(claims)),
            Figure(_forest(claims), caption),
            _claims_table(claims, evidence.comparison["margin"]),
            Folded("All paired differences, E_in included", [_paired_table(evidence.comparison)]),
        ],
    )


def _forest(claims: Sequence[Claim]) -> Picture:
    """Draw the differences, filled where the corrected tests support them."""
    panels: dict[int, list[Effect]] = {}
    for claim in claims:
        effect = Effect(claim.name, claim.row["difference"], claim.supported)
        panels.setdefault(claim.labels, []).append(effect)
    alt = "Forest plot of paired differences in E_out with their intervals."
    return forest_plot(panels, "difference in E_out", alt)


def _correction(claims: Sequence[Claim]) -> str:
    """Say how many differences the corrected tests support, and whether there are enough draws for that."""
    count = len(claims)
    found = (
        f"Whoever looks at {count} differences finds some by chance. Holm's correction raises the p values so that the "
        f"chance of even one false finding stays at {100 * SIGNIFICANCE:.0f} % at most. Of the {count} differences in "
        f"E_out, the tests then support {how_many_supported(claims)}."
    )
    draws, needed = claims[0].row["draws"], draws_needed(count)
    if draws >= needed:
        return found
    return (
        f"{found} With {count_draws(draws)} they could not support any: the least p value that the test can give, "
        f"{2 / 2**draws:.4f}, times {count} is too much. {needed} draws would do."
    )


def _claims_table(claims: Sequence[Claim], margin: float) -> Table:
    columns = (
        Column("Labels", "number"),
        Column("Difference"),
        *numbers("Points", "First better", "Equal", "Second better", "Could be found", "p, corrected"),
        Column("Supported to err less"),
    )
    rows = [
        (
            str(claim.labels),
            claim.name,
            claim.points,
            *(_chance(claim.row[name]) for name in ("first_better", "equal", "second_better")),
            "" if claim.row["detectable"] is None else percent(claim.row["detectable"]),
            f"{claim.corrected:.4f}",
            claim.better,
        )
        for claim in claims
    ]
    return Table(
        f"E_out in percentage points, with the probability that the first mode is better by more than {100 * margin:g} "
        "points, that the two differ by less, and that the second is better by more. Could be found: the smallest true "
        "difference that an experiment of this size would show in four cases of five; what is smaller may be there and "
        "stay unseen. p: how often chance alone, in drawing the labels, would make a difference as large (sign-flip "
        "test, corrected by Holm).",
        columns,
        rows,
    )


def _chance(share: float | None) -> str:
    return "" if share is None else probability(share)


def _paired_table(comparison: Comparison) -> Table:
    cells = {(row["labels"], row["mode"]): row["one_run"]["cell"] for row in comparison["summary"]}
    columns = (
        Column("Labels", "number"),
        Column("Quantity"),
        Column("Difference"),
        *numbers("Draws", "Points", "p"),
        Column("First cell of the one", "code"),
        Column("First cell of the other", "code"),
    )
    rows = [
        (
            str(row["labels"]),
            QUANTITIES[row["quantity"]],
            f"{row['first']} - {row['second']}",
            str(row["draws"]),
            with_half_width(row["difference"]),
            f"{row['p_value']:.4f}",
            cells[row["labels"], row["first"]],
            cells[row["labels"], row["second"]],
        )
        for row in comparison["paired"]
    ]
    return Table(
        "Paired differences over the same draws, in percentage points: mean ± half of the 95 % interval, and the p "
        "value of the two-sided sign-flip test over the draws. "
        "Below 0, the first mode errs less. These p values are not corrected for looking at several differences.",
        columns,
        rows,
        sortable=True,
    )
