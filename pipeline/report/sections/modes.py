"""Section "Mode by mode": how the first draw learnt, what is confused with what, and where training stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from pipeline.artefacts import classifier
from pipeline.artefacts.cell_files import source_names
from pipeline.config import Experiment
from pipeline.report.anchors import mode_anchor
from pipeline.report.atlas import Atlas, thumbnails
from pipeline.report.blocks import Column, Custom, Heading, Section, Table, Text, numbers
from pipeline.report.drawing import GREY, Picture, mode_look, styled, svg
from pipeline.report.evidence import Counts, Evidence, MeasuredCell
from pipeline.report.formats import mean_with_half_width, percent, with_half_width

COMMONEST = 5  # confusions in a row of the table
MATRIX_CLASSES = 20  # a larger matrix cannot be read in a card; the commonest confusions can
SUREST = 12  # mistakes shown of a cell
CHUNK = 1000  # images a forward pass

_SELECTED = (
    "The selected epoch is the one with the lowest validation loss; nothing is kept of the epochs in the shade, which "
    "came after it."
)
_NOT_SELECTED = "No label was left for validation, so there is no E_val, and the last measurement is kept."


def mode_by_mode(evidence: Evidence) -> Section:
    """Return the section with a card for each mode and budget, and two tables."""
    mistakes = {cell.folder: surest_mistakes(evidence, cell) for cell in evidence.firsts}
    numbers = sorted({mistake.number for found in mistakes.values() for mistake in found})
    atlas = Atlas(thumbnails(evidence.dataset.test.images[numbers].numpy()))
    tiles = {number: atlas.place(place) for place, number in enumerate(numbers)}
    cards = [_card(evidence, cell, mistakes[cell.folder], tiles) for cell in evidence.firsts]
    return Section(
        "modes",
        "Mode by mode",
        "Mode by mode",
        [
            Text(
                "Learning curves and mistakes are those of the first draw; confusions are of all draws. "
                f"{_SELECTED if evidence.validates else _NOT_SELECTED} Where the head is fitted first, the curve "
                "begins after that."
            ),
            Custom("modes.html.jinja", {"cards": cards, "atlas": atlas}),
            Heading("What is confused with what"),
            _confusions_table(evidence),
            Heading("Where training stopped"),
            _epochs_table(evidence),
        ],
    )


# --- the cards ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """A test image that a classifier is sure and wrong about.

    Attributes:
        number: Its place in the test set.
        probability: The probability of the class that it was taken for.
    """

    number: int
    probability: float


@dataclass(frozen=True)
class ShownMistake:
    """A mistake as the page shows it.

    Attributes:
        tile: Where its image lies in the atlas, as a style sheet says it.
        caption: The true class and the one that it was taken for.
        name: The name of the file, or the row of the source.
        alt: What can be seen, in words.
    """

    tile: str
    caption: str
    name: str
    alt: str


@dataclass(frozen=True)
class Shade:
    """A field of a confusion matrix.

    Attributes:
        text: Its share of the true class in percent, without digits; empty below one half.
        strength: The same between 0 and 1, to be shaded by.
        title: The count in words.
    """

    text: str
    strength: float
    title: str


@dataclass(frozen=True)
class ModeCard:
    """One mode at one budget.

    Attributes:
        anchor: The name by which tables link to it.
        labels: Label budget.
        mode: The mode's name.
        errors: E_in and E_out over the draws, in words.
        cell: Folder of the first draw.
        curve: How the first draw learnt.
        classes: Name of each class.
        matrix: Confusions of all draws, a row a true class; empty where there are too many classes.
        mistakes: The first draw's mistakes, the surest first.
    """

    anchor: str
    labels: int
    mode: str
    errors: str
    cell: str
    curve: Picture
    classes: Sequence[str]
    matrix: Sequence[Sequence[Shade]]
    mistakes: Sequence[ShownMistake]


def _card(evidence: Evidence, cell: MeasuredCell, mistakes: Sequence[Mistake], tiles: dict[int, str]) -> ModeCard:
    names = evidence.card["classes"]
    summary = evidence.summary(cell.labels, cell.mode)
    counts = evidence.confusion(cell.labels, cell.mode)
    return ModeCard(
        anchor=mode_anchor(cell.labels, cell.mode),
        labels=cell.labels,
        mode=cell.mode,
        errors=f"E_in {with_half_width(summary['e_in'])} %, E_out {with_half_width(summary['e_out'])} %",
        cell=cell.folder,
        curve=_learning_curve(cell),
        classes=names,
        matrix=_matrix(counts, names) if len(names) <= MATRIX_CLASSES else [],
        mistakes=[_show_mistake(evidence, cell, mistake, tiles[mistake.number]) for mistake in mistakes],
    )


def surest_mistakes(evidence: Evidence, cell: MeasuredCell) -> list[Mistake]:
    """Return the test images that a cell's classifier is surest and wrong about, the surest first.

    Only images that the recorded predictions have wrong are shown to the classifier again.
    """
    import torch

    wrong = np.flatnonzero(cell.predictions != evidence.truth)
    if not len(wrong):
        return []
    model = _restore(evidence.config, cell)
    with torch.no_grad():
        chunks = torch.split(evidence.dataset.test.images[torch.from_numpy(wrong)], CHUNK)
        probabilities = torch.cat([model(chunk)[1] for chunk in chunks]).numpy()
    sure = probabilities[np.arange(len(wrong)), cell.predictions[wrong]]
    surest = np.argsort(-sure, kind="stable")[:SUREST]
    return [Mistake(int(wrong[place]), float(sure[place])) for place in surest]


def _restore(config: Experiment, cell: MeasuredCell) -> Any:
    folder = config.folder / cell.folder
    return classifier.restore(config, folder, classifier.describe(folder))


def _show_mistake(evidence: Evidence, cell: MeasuredCell, mistake: Mistake, tile: str) -> ShownMistake:
    names = evidence.card["classes"]
    true, given = names[evidence.truth[mistake.number]], names[cell.predictions[mistake.number]]
    source = source_names(evidence.dataset.test)[mistake.number]
    return ShownMistake(
        tile,
        f"{true} → {given}",
        source,
        f"Test image {mistake.number} ({source}): {true}, taken for {given} with probability "
        f"{mistake.probability:.4f}.",
    )


def _matrix(counts: Counts, names: Sequence[str]) -> list[list[Shade]]:
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    return [
        [
            Shade(
                f"{100 * shares[true, given]:.0f}" if shares[true, given] >= 0.005 else "",
                round(float(shares[true, given]), 4),
                f"{names[true]} taken for {names[given]}: {counts[true, given]} of {totals[true, 0]}",
            )
            for given in range(len(names))
        ]
        for true in range(len(names))
    ]


@styled
def _learning_curve(cell: MeasuredCell) -> Picture:
    """E_in at each measurement, and E_val if there is one; the kept one is marked, what came after it is shaded."""
    drawing = Drawing(figsize=(3.6, 2.7), layout="constrained")
    axes = drawing.add_subplot()
    color, marker = mode_look(cell.mode)
    places, kept = cell.places, cell.places[cell.kept]
    e_in, e_val = 100 * np.array(cell.e_in), 100 * np.array(cell.e_val)
    axes.axvspan(kept, places[-1], color=GREY, alpha=0.16, linewidth=0)
    axes.plot(places, e_in, color=color, linewidth=1.2, linestyle="--", label="E_in")
    axes.axvline(kept, color="black", linewidth=0.9)
    points: dict[str, Any] = {"linestyle": "", "marker": marker, "color": color, "clip_on": False, "zorder": 3}
    axes.plot(kept, e_in[cell.kept], markerfacecolor="white", **points)
    if len(e_val):
        axes.plot(places, e_val, color=color, linewidth=1.5, label="E_val")
        axes.plot(kept, e_val[cell.kept], **points)
    axes.set_ylabel("error, %")
    axes.set_ylim(0, max(*e_in, *e_val, 1) * 1.05)
    if cell.unit == "l2":
        axes.set_xlabel("strength of the L2 penalty")
        axes.set_xscale("log")
        axes.invert_xaxis()  # from the most restrained head to the freest, as training goes
    else:
        axes.set_xlabel(cell.unit)
        axes.set_xlim(0, places[-1] * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.legend(fontsize=9, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    there, at_last = f"E_in is {e_in[cell.kept]:.2f} %", f"E_in was {e_in[-1]:.2f} %"
    if len(e_val):
        there, at_last = f"{there} and E_val {e_val[cell.kept]:.2f} %", f"{at_last} and E_val {e_val[-1]:.2f} %"
    return svg(
        drawing,
        f"Learning curve of {cell.mode} with {cell.labels} labels, draw {cell.seed}: at {cell.unit} {kept:g}, which "
        f"was kept, {there}; at the last, {places[-1]:g}, {at_last}.",
    )


# --- the tables -----------------------------------------------------------------------------------------------


def _confusions_table(evidence: Evidence) -> Table:
    columns = (Column("Labels", "number"), Column("Mode", "link"), Column("Commonest confusions", "words"))
    names = evidence.card["classes"]
    rows = [
        (str(cell.labels), cell.mode, ", ".join(commonest(evidence.confusion(cell.labels, cell.mode), names)) or "none")
        for cell in evidence.firsts
    ]
    return Table(
        "Test images of all draws, true class → predicted class, in % of the true class.",
        columns,
        rows,
        links=[mode_anchor(cell.labels, cell.mode) for cell in evidence.firsts],
    )


def commonest(confusion: Counts, names: Sequence[str]) -> list[str]:
    """Return the commonest confusions in words, with their share of the true class.

    The counts have the shape (classes, classes): true class by row, predicted class by column.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    places = np.argsort(-wrong, axis=None, kind="stable")[:COMMONEST]
    pairs = [divmod(int(place), len(names)) for place in places]
    return [
        f"{names[true]} → {names[given]} ({percent(wrong[true, given] / confusion[true].sum())} %)"
        for true, given in pairs
        if wrong[true, given]
    ]


def _epochs_table(evidence: Evidence) -> Table:
    validation = numbers("E_val there", "E_val at the last", "All draws: E_val, last - kept")
    columns = (
        Column("Labels", "number"),
        Column("Mode", "link"),
        *numbers("Kept", "Last", "E_in there"),
        *(validation if evidence.validates else ()),
        Column("Stopped early", "number"),
        Column("Cell", "code"),
    )
    return Table(
        _epochs_caption(evidence),
        columns,
        [_epochs_row(evidence, cell) for cell in evidence.firsts],
        links=[mode_anchor(cell.labels, cell.mode) for cell in evidence.firsts],
    )


def _epochs_caption(evidence: Evidence) -> str:
    if not evidence.validates:
        return (
            "First draw: the measurement that was kept, which is the last, and the error on the labels in %. Of a head "
            "that is fitted to convergence, it is the strength of its penalty (l2)."
        )
    kept = "and repeated on all labels" if evidence.cross_validates else "whose weights the classifier has"
    return (
        f"First draw: the measurement that was kept, {kept}, and errors in %. Of a training in steps that is the last "
        "one whose validation loss is within a standard error of the lowest; of a head that is fitted to convergence, "
        "the strength of its penalty (l2) with the lowest. What would have happened otherwise is the validation error "
        "at the last measurement less that at the kept one, in percentage points, over all draws. Test errors were not "
        "measured there. Stopped early: draws that ended before their time."
    )


def _epochs_row(evidence: Evidence, first: MeasuredCell) -> tuple[str, ...]:
    draws = evidence.draws(first.labels, first.mode)
    validation: tuple[str, ...] = ()
    if evidence.validates:
        cost = mean_with_half_width([cell.e_val[-1] - cell.e_val[cell.kept] for cell in draws])
        validation = (percent(first.e_val[first.kept]), percent(first.e_val[-1]), cost)
    return (
        str(first.labels),
        first.mode,
        f"{first.unit} {first.places[first.kept]:g}",
        f"{first.unit} {first.places[-1]:g}",
        percent(first.e_in[first.kept]),
        *validation,
        f"{sum(cell.stopped_early for cell in draws)} of {len(draws)}",
        first.folder,
    )
