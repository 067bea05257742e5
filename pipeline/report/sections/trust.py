"""Section "Can a single answer be trusted": what probabilities are worth, and what can be left to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing

from pipeline.artefacts import cell_files
from pipeline.artefacts.cell_files import CellAnswers
from pipeline.errors import PipelineError
from pipeline.evaluation.calibration import Answers, Floats
from pipeline.evaluation.selective import LEVEL, labels_needed, promised_threshold, risk_and_coverage
from pipeline.report.blocks import Beside, Column, Figure, Section, Table, Text, numbers
from pipeline.report.drawing import GREY, Picture, mode_look, styled, svg
from pipeline.report.evidence import Evidence, MeasuredCell
from pipeline.report.formats import mean_with_half_width, percent
from pipeline.report.mode_table import mode_table

PROMISES = (0.01, 0.05)  # shares of wrong answers

_FITTED = (
    "It was fitted on labels of the budget that the classifier did not learn from. predict and export give the "
    "corrected probabilities."
)
_NOT_FITTED = (
    "Here every label of the budget was learnt from, so that none was left to fit it on: no probability is corrected, "
    "and none is known to mean what it says."
)

_First = tuple[MeasuredCell, CellAnswers]


def trust(evidence: Evidence) -> Section:
    """Return the section."""
    firsts = [(cell, cell_files.read_answers(evidence.config.folder / cell.folder)) for cell in evidence.firsts]
    largest = max(cell.labels for cell, _ in firsts)
    shown = [first for first in firsts if first[0].labels == largest]
    return Section(
        "trust",
        "Can a single answer be trusted?",
        "Trust",
        [
            Text(
                "A classifier gives a probability with each answer. It means something if, of all answers given with "
                "90 %, nine in ten are right. A network is often surer than that, or less sure, so its probabilities "
                f"are corrected by one number, the temperature. {_FITTED if evidence.validates else _NOT_FITTED}"
            ),
            Text(
                "Then the surest answers can be left to the classifier and the others to a person: predict --coverage "
                "0.9 leaves a tenth of the images to a person; predict --max-error 0.01 leaves as many as it takes so "
                "that at most one answer in a hundred is wrong. That promise rests on the labels that it did not learn "
                f"from, and holds in {100 * LEVEL:.0f} of 100 cases, for images that come as the labels did. Where "
                "these labels are too few, it is refused."
            ),
            Beside(
                [
                    Figure(
                        _reliability(shown),
                        f"{largest} labels, first draw, test images: the nearer to the diagonal, the more a "
                        "probability means what it says. Hollow: before the correction.",
                    ),
                    Figure(
                        _risk(shown),
                        f"{largest} labels, first draw, test images: how often it errs on what it decides, if the "
                        "least sure is left to a person.",
                    ),
                ]
            ),
            _table(evidence, firsts),
        ],
    )


def _table(evidence: Evidence, firsts: Sequence[_First]) -> Table:
    answers_of = {cell.folder: answers for cell, answers in firsts}

    def values(cell: MeasuredCell) -> tuple[str, ...]:
        draws = evidence.draws(cell.labels, cell.mode)
        return (
            mean_with_half_width([draw.calibration_error["before"] for draw in draws]),
            mean_with_half_width([draw.calibration_error["after"] for draw in draws]),
            f"{cell.temperature:.2f}" if evidence.validates else "none fitted",
            *(_kept(answers_of[cell.folder], share) for share in PROMISES),
        )

    return mode_table(
        "Off by: the expected calibration error on the test images, the mean distance between a probability and the "
        "share of right answers, in percentage points, mean over the draws ± half of the interval. Then, of the first "
        "draw: its temperature; and with the promise that at most so many of its answers are wrong, what share of the "
        "test images it decides by itself, and how much of that was wrong.",
        evidence.firsts,
        (
            *numbers("Probabilities off by, before", "After", "Temperature"),
            *(Column(f"At most {100 * share:g} % wrong", "words") for share in PROMISES),
        ),
        values,
    )


def _kept(answers: CellAnswers, max_error: float) -> str:
    """Say how a promise was held on the test images, or why none could be given."""
    judged, tested = answers.judged, answers.tested
    needed = labels_needed(max_error)
    if len(judged.right) < needed:
        return f"no promise: it has {len(judged.right)} labels that it did not learn from, and needs {needed}"
    try:
        own = tested.probability > promised_threshold(judged, max_error)
    except PipelineError:
        return "no promise: too many of its surest answers are wrong"
    wrong = percent(float((~tested.right[own]).mean())) if own.any() else "0.00"
    return f"decides {percent(float(own.mean()), 1)} %, of which {wrong} % wrong"


# --- the figures ----------------------------------------------------------------------------------------------


@styled
def _reliability(firsts: Sequence[_First]) -> Picture:
    """Return the share of right answers against the probability they were given with; hollow before the temperature."""
    drawing = Drawing(figsize=(4.4, 3.8), layout="constrained")
    axes = drawing.add_subplot()
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.8)
    for cell, answers in firsts:
        color, marker = mode_look(cell.mode)
        look: Any = {"color": color, "marker": marker, "linewidth": 1.2, "markersize": 4}
        axes.plot(*_percentages(answers.tested_before), linestyle=":", markerfacecolor="white", **look)
        axes.plot(*_percentages(answers.tested), label=cell.mode, **look)
    axes.set(xlabel="probability that was given, %", ylabel="answers that were right, %", xlim=(0, 102), ylim=(0, 102))
    axes.legend(fontsize=9, loc="lower right")
    said = "; ".join(
        f"{cell.mode}: off by {percent(cell.calibration_error['before'])} points before, "
        f"{percent(cell.calibration_error['after'])} after"
        for cell, _ in firsts
    )
    return svg(drawing, f"Reliability diagram of the first draw with {firsts[0][0].labels} labels. {said}.")


def _percentages(answers: Answers) -> tuple[Floats, Floats]:
    said, came = answers.reliability()
    return 100 * said, 100 * came


@styled
def _risk(firsts: Sequence[_First]) -> Picture:
    """Return the error among the images that the classifier decides, against their share."""
    drawing = Drawing(figsize=(4.4, 3.8), layout="constrained")
    axes = drawing.add_subplot()
    said = []
    for cell, answers in firsts:
        coverage, risk = risk_and_coverage(answers.tested)
        places = np.unique(np.linspace(0, len(coverage) - 1, 200).astype(int))
        axes.plot(100 * coverage[places], 100 * risk[places], color=mode_look(cell.mode)[0], label=cell.mode)
        half = risk[(len(risk) - 1) // 2]
        said.append(f"{cell.mode}: {percent(risk[-1])} % if it decides all, {percent(half)} % if it decides half")
    axes.set(xlabel="decided by the classifier, % of images", ylabel="of these wrong, %", xlim=(0, 101))
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9, loc="upper left")
    return svg(drawing, f"Risk-coverage curves of the first draw with {firsts[0][0].labels} labels. {'; '.join(said)}.")
