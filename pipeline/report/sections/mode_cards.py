"""The cards of section "Mode by mode": a learning curve, confusions and the surest mistakes of each mode and budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from pipeline.artefacts import classifier
from pipeline.artefacts.cell_files import source_names
from pipeline.report.anchors import mode_anchor
from pipeline.report.atlas import Atlas, thumbnails
from pipeline.report.drawing import GREY, Picture, mode_look, styled, svg
from pipeline.report.evidence import Counts, Evidence, MeasuredCell
from pipeline.report.formats import with_half_width

MATRIX_CLASSES = 20  # a larger matrix cannot be read in a card; the commonest confusions can
SUREST = 12  # mistakes shown of a cell
CHUNK = 1000  # images a forward pass


@dataclass(frozen=True)
class Mistake:
    """A test image that a classifier is sure and wrong about.

    Attributes:
        number: The image's place in the test set.
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
        alt: A description of the image.
    """

    tile: str
    caption: str
    name: str
    alt: str


@dataclass(frozen=True)
class Shade:
    """A field of a confusion matrix.

    Attributes:
        text: The share of the true class, in whole percent; empty below one half.
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
        curve: The learning curve of the first draw.
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


def mode_cards(evidence: Evidence) -> tuple[list[ModeCard], Atlas]:
    """Return a card for each mode and budget, and the images of the mistakes that they show."""
    mistakes = {cell.folder: surest_mistakes(evidence, cell) for cell in evidence.firsts}
    numbers = sorted({mistake.number for found in mistakes.values() for mistake in found})
    atlas = Atlas(thumbnails(evidence.dataset.test.images[numbers].numpy()))
    tiles = {number: atlas.place(place) for place, number in enumerate(numbers)}
    return [_card(evidence, cell, mistakes[cell.folder], tiles) for cell in evidence.firsts], atlas


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
    folder = evidence.config.folder / cell.folder
    model = classifier.restore(evidence.config, folder, classifier.describe(folder))
    with torch.no_grad():
        chunks = torch.split(evidence.dataset.test.images[torch.from_numpy(wrong)], CHUNK)
        probabilities = torch.cat([model(chunk)[1] for chunk in chunks]).numpy()
    sure = probabilities[np.arange(len(wrong)), cell.predictions[wrong]]
    surest = np.argsort(-sure, kind="stable")[:SUREST]
    return [Mistake(int(wrong[place]), float(sure[place])) for place in surest]


def _show_mistake(evidence: Evidence, cell: MeasuredCell, mistake: Mistake, tile: str) -> ShownMistake:
    names = evidence.card["classes"]
    true, given = names[evidence.truth[mistake.number]], names[cell.predictions[mistake.number]]
    (source,) = source_names(evidence.dataset.test, [mistake.number])
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
    """Draw E_in and, if there is one, E_val at each measurement; the kept one is marked, those after it are shaded."""
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
