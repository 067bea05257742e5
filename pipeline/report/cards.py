"""The modes one by one, budget by budget: how the first draw learnt, what is confused with what, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.report import charts
from pipeline.report.drawing import Picture
from pipeline.report.evidence import Counts, Evidence, Run
from pipeline.report.tables import card_anchor
from pipeline.report.terminal import with_half_width

MATRIX_CLASSES = 20  # a larger matrix cannot be read in a card; the commonest confusions can


@dataclass(frozen=True)
class Suspect:
    """A test image that a classifier is sure and wrong about.

    Attributes:
        number: Its place in the test set.
        probability: Of the class that it was given.
    """

    number: int
    probability: float


Suspects = Mapping[str, Sequence[Suspect]]  # by the cell's folder, the surest first


@dataclass(frozen=True)
class Mistake:
    """A confident mistake as it is shown.

    Attributes:
        tile: The style sheet's position of its image.
        caption: What it is called.
        alt: What can be seen.
    """

    tile: str
    caption: str
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
class Card:
    """One mode at one budget.

    Attributes:
        anchor: Where the tables link to.
        labels: Label budget.
        mode: Its name.
        errors: E_in and E_out over the draws, in words.
        cell: Folder of the first draw.
        curve: How that learnt.
        classes: Number and name of each class.
        matrix: Confusions of all draws, a row a true class; empty where there are too many classes.
        mistakes: Of the first draw, the surest first.
    """

    anchor: str
    labels: int
    mode: str
    errors: str
    cell: str
    curve: Picture
    classes: Sequence[str]
    matrix: Sequence[Sequence[Shade]]
    mistakes: Sequence[Mistake]


def cards(evidence: Evidence, suspects: Suspects, tiles: Mapping[int, str]) -> list[Card]:
    """A card a mode and budget.

    Args:
        evidence: What is told of.
        suspects: Confident mistakes of the first draws.
        tiles: Style sheet's position of each image, by its number in the test set.
    """
    return [_card(evidence, run, suspects[run.cell], tiles) for run in evidence.firsts]


def _card(evidence: Evidence, run: Run, suspects: Sequence[Suspect], tiles: Mapping[int, str]) -> Card:
    names = evidence.card["classes"]
    counts = evidence.confusion(run.labels, run.mode)
    summary = evidence.summary(run.labels, run.mode)
    return Card(
        anchor=card_anchor(run.labels, run.mode),
        labels=run.labels,
        mode=run.mode,
        errors=f"E_in {with_half_width(summary['e_in'])} %, E_out {with_half_width(summary['e_out'])} %",
        cell=run.cell,
        curve=charts.learning_curve(run),
        classes=names,
        matrix=_matrix(counts, names) if len(names) <= MATRIX_CLASSES else [],
        mistakes=[_mistake(evidence, run, suspect, tiles[suspect.number]) for suspect in suspects],
    )


def _mistake(evidence: Evidence, run: Run, suspect: Suspect, tile: str) -> Mistake:
    names = evidence.card["classes"]
    true, given = names[evidence.truth[suspect.number]], names[run.predictions[suspect.number]]
    return Mistake(
        tile,
        f"{true} → {given}",
        f"Test image {suspect.number}: {true}, taken for {given} with probability {suspect.probability:.4f}.",
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
