"""Which images to label: chosen ones against random and stratified ones, in one round and in two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pipeline.artefacts import choice, graph
from pipeline.choosing import Floats, Indices, Pool, choose
from pipeline.config import GridConfig
from pipeline.datasets.splits import drawn
from pipeline.models.propagation import probabilities, spread
from pipeline.report.drawing import Picture
from pipeline.studies import charts
from pipeline.studies.cost import Curve, answer, labels_until
from pipeline.studies.definition import (
    Finding,
    Measured,
    Points,
    Study,
    Subject,
    Table,
    above,
    cell_rows,
    difference,
    points_of,
    show,
)

CLAIM = "Images that are chosen by their embeddings are worth more, labelled, than as many that are drawn at random."
RANDOM, STRATIFIED, CHOSEN = "random", "stratified", "chosen"
ARMS: dict[str, dict[str, Any]] = {arm: {"grid": {"sampling": arm}} for arm in (RANDOM, STRATIFIED, CHOSEN)}
BUDGETS = (10, 20, 40, 100)  # labels that are spread; classifiers are trained on those of the grid
LEVELS = (0.05, 0.02, 0.01)  # errors, for the question how many labels they take
SLIPS = 0.05  # share of the labels that a careless annotator gets wrong


# --- measuring: the error after spreading, on all training images but the labelled ones ------------------------


def _measure(subject: Subject) -> Measured:
    values: dict[str, float] = {}
    for budget in _budgets(subject):
        index = _drawn(subject, budget)
        truth = subject.dataset.train.labels.numpy()
        values[f"missed_{budget}"] = len(subject.dataset.train.class_names) - len(np.unique(truth[index]))
        values[f"spread_{budget}"] = _error(subject, index, truth[index])
        values[f"careless_{budget}"] = _error(subject, index, _careless(subject, truth[index]))
        if subject.config.grid.sampling == CHOSEN:
            for name, strategy in _second_halves(subject.config.grid).items():
                values[f"{name}_{budget}"] = _error_in_two_rounds(subject, budget, strategy)
    return Measured(values)


def _budgets(subject: Subject) -> list[int]:
    """The budgets that can be drawn in every arm, twice."""
    labels = subject.dataset.train.labels.numpy()
    least = len(subject.dataset.train.class_names)
    return [budget for budget in BUDGETS if least <= budget <= (labels >= 0).sum() / 2]


def _drawn(subject: Subject, budget: int) -> Indices:
    train = subject.dataset.train
    return drawn(train.labels.numpy(), len(train.class_names), choice.draw(subject.config, budget, subject.seed))


def _careless(subject: Subject, labels: Indices) -> Indices:
    """Labels of an annotator who takes each of them for another class with the probability ``SLIPS``."""
    generator, classes = np.random.default_rng(subject.seed), len(subject.dataset.train.class_names)
    slips = generator.random(len(labels)) < SLIPS
    return (labels + slips * generator.integers(1, classes, len(labels))) % classes


def _second_halves(grid: GridConfig) -> dict[str, str]:
    """Return the strategies that choose the second half of the labels, that of the first half among them.

    The keys are the names under which the errors are kept.
    """
    return {"rounds": grid.strategy, "margin": "margin"}


def _error_in_two_rounds(subject: Subject, budget: int, strategy: str) -> float:
    """The error if the second half of the labels is chosen by what the first half leaves unknown."""
    truth = subject.dataset.train.labels.numpy()
    known, first = np.flatnonzero(truth >= 0), _drawn(subject, budget // 2)
    likely = probabilities(_scores(subject, first, truth[first]))
    pool = Pool(
        subject.embeddings.numpy()[known],
        np.searchsorted(known, first),
        budget - len(first),
        np.random.default_rng(subject.seed),
        likely[known],
    )
    index = np.append(first, known[choose(strategy, pool).index])
    return _error(subject, index, truth[index])


def _scores(subject: Subject, index: Indices, labels: Indices) -> Floats:
    classes, alpha = len(subject.dataset.train.class_names), subject.config.train.graph.alpha
    return spread(graph.load(subject.config), index, labels, classes, alpha)


def _error(subject: Subject, index: Indices, labels: Indices) -> float:
    truth = subject.dataset.train.labels.numpy()
    others = np.setdiff1d(np.flatnonzero(truth >= 0), index)
    return float((_scores(subject, index, labels).argmax(1)[others] != truth[others]).mean())


# --- concluding -----------------------------------------------------------------------------------------------


def _conclude(points: Points) -> list[Finding]:
    budgets, grid = _spread_budgets(points), points.grid
    names = {f"spread_{budget}": f"{budget} labels, spread over the training images" for budget in budgets}
    for labels in grid.labels:
        names |= {f"{mode}_{labels}_e_out": f"{labels} labels, {mode}, on test images" for mode in grid.modes}
    careless = {f"careless_{budget}": f"{budget} labels, of which one in twenty is wrong" for budget in budgets}
    found = [_better(points, name, where) for name, where in (names | careless).items()]
    found += [_cheaper(points, curve, level) for curve in _curves(points) for level in LEVELS]
    strategies = _second_halves(grid)
    return found + [_in_rounds(points, budget, *second) for budget in budgets for second in strategies.items()]


def _spread_budgets(points: Points) -> list[int]:
    return [budget for budget in BUDGETS if f"spread_{budget}" in points.points[0].values]


def _curves(points: Points) -> list[Curve]:
    """The errors that were measured at two budgets or more."""
    grid = points.grid
    curves = [Curve("spread over the training images", _spread_budgets(points), "spread_{}".format)]
    curves += [
        Curve(f"{mode}, on test images", sorted(grid.labels), f"{mode}_{{}}_e_out".format) for mode in grid.modes
    ]
    return [curve for curve in curves if len(curve.budgets) > 1]


def _better(points: Points, name: str, where: str) -> Finding:
    gain = points.difference(RANDOM, CHOSEN, name)
    errors = ", ".join(f"{arm} {show(points.interval(arm, name), '%', 100)}" for arm in points.arms)
    return Finding(
        f"Chosen images are better than random ones ({where}).",
        "Error with random images minus that with chosen ones: the interval over seeds lies above 0.",
        f"{points_of(gain)}: {errors}.",
        above(gain),
    )


def _cheaper(points: Points, curve: Curve, level: float) -> Finding:
    most = 2.0 * max(curve.budgets)  # the least that those need who have not got there
    logs = {
        arm: [math.log2(min(labels_until(curve.budgets, curve.errors(point), level), most)) for point in points.of(arm)]
        for arm in (RANDOM, CHOSEN)
    }
    saved = difference(logs[RANDOM], logs[CHOSEN])
    return Finding(
        f"Chosen images need fewer labels than random ones until the error is {100 * level:.0f} % ({curve.where}).",
        f"Logarithm to base 2 of the labels that random images need minus that of chosen ones, {most:.0f} labels for "
        "those that never get there: the interval over seeds lies above 0.",
        f"{show(saved, 'doublings')}. Labels until {100 * level:.0f} %: "
        f"{answer(curve.intervals(points), curve.budgets, level)}.",
        above(saved),
    )


def _in_rounds(points: Points, budget: int, name: str, strategy: str) -> Finding:
    one, two = points.values(CHOSEN, f"spread_{budget}"), points.values(CHOSEN, f"{name}_{budget}")
    gain = difference(one, two)
    return Finding(
        f"With {budget} labels, two rounds, the second by {strategy}, are better than one.",
        "Error of chosen images in one round minus that in two: the interval over seeds lies above 0.",
        f"{points_of(gain)}: {100 * np.mean(one):.2f} % in one round, {100 * np.mean(two):.2f} % in two.",
        above(gain),
    )


def _draw(points: Points) -> dict[str, Picture]:
    budgets = _spread_budgets(points)
    panels = {
        title: {arm: [points.interval(arm, f"{name}_{n}") for n in budgets] for arm in points.arms}
        for name, title in {"spread": "one round", "careless": "one label in twenty is wrong"}.items()
    }
    pictures = {"cost": charts.costs(panels, budgets)}
    of_modes = {curve.where: curve.intervals(points) for curve in _curves(points)[1:]}
    if of_modes:
        pictures["cost_on_test_images"] = charts.costs(of_modes, sorted(points.grid.labels))
    return pictures


def _tables(points: Points) -> dict[str, Table]:
    return {"cells.csv": cell_rows(points, "sampling")}


STUDY = Study("Choosing: which images to label", CLAIM, ARMS, _measure, _conclude, _draw, _tables)
