"""Which pretraining method serves which mode, and which rule finds it without labels or within the budget?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse, stats

from pipeline.artefacts import graph
from pipeline.datasets.splits import Draw, Indices, union
from pipeline.learning.plan import split_budget
from pipeline.models.propagation import spread
from pipeline.modes import find_mode
from pipeline.report.drawing import Floats, Picture
from pipeline.studies import charts
from pipeline.studies.definition import (
    Finding,
    Measured,
    Points,
    Study,
    Subject,
    Table,
    above,
    below,
    cell_rows,
    difference,
    points_of,
    show,
)

CLAIM = (
    "Which pretraining method is best depends on the mode and on the number of labels; a rule that sees the budget's "
    "labels alone, or none, finds it."
)
DEFAULT, SCRATCH = "autoencoder", "scratch"  # an arm, and the mode that needs none
ARMS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "plain": {"pretrain": {"corruption": 0}},
    "views": {"pretrain": {"method": "views"}},
    "vae": {"pretrain": {"method": "vae"}},
    "masked": {"pretrain": {"method": "masked", "encoder": {"name": "patches", "widths": [64, 128, 32]}}},
    "random": {"pretrain": {"method": "none"}},
}
RANKED = 10_000  # images whose features are looked at for their rank
FOLDS = 5
NEAR = 0.005  # share of the test images that a rule may lose against the best in hindsight


# --- what is measured -----------------------------------------------------------------------------------------


def _measure(subject: Subject) -> Measured:
    neighbours = graph.load(subject.config)
    values = {"rank": effective_rank(subject.embeddings[:RANKED].numpy())}
    for labels in subject.config.grid.labels:
        by_probe, by_graph = _errors_across_folds(subject, neighbours, labels)
        values |= {f"probe_{labels}": by_probe, f"both_{labels}": (by_probe + by_graph) / 2}
    return Measured(values)


def effective_rank(features: Floats) -> float:
    """The number of directions that features of shape (N, features) use, from 1 to their width.

    It is exp(entropy) of the singular values' shares: RankMe of Garrido et al. 2023, https://arxiv.org/abs/2210.02885.

    Examples:
        >>> round(effective_rank(np.eye(3)), 3)
        3.0
        >>> round(effective_rank(np.ones((5, 3))), 3)
        1.0
    """
    singular = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    return float(np.exp(stats.entropy(singular)))


def _errors_across_folds(subject: Subject, neighbours: sparse.csr_matrix, labels: int) -> tuple[float, float]:
    """The cross-validated errors of a linear probe on the frozen features, and of labels spread over the graph.

    Unlike the error on what is left out for validation, they count every label of the budget. Where a class has a
    single label, which no fold could both learn and test, both are 1.
    """
    from sklearn.model_selection import StratifiedKFold

    index, classes = _budget(subject, labels)
    folds = min(FOLDS, int(np.bincount(classes)[np.unique(classes)].min()))
    if folds < 2:
        return 1.0, 1.0
    features, settings = subject.embeddings.numpy()[index], subject.config.train.graph
    count = len(subject.dataset.train.class_names)
    wrong = np.zeros((2, len(index)), dtype=bool)
    for known, asked in StratifiedKFold(folds, shuffle=True, random_state=0).split(features, classes):
        scores = spread(neighbours, index[known], classes[known], count, settings.alpha, settings.prior)
        wrong[0, asked] = _probe(features[known], classes[known], features[asked]) != classes[asked]
        wrong[1, asked] = scores[index[asked]].argmax(1) != classes[asked]
    by_probe, by_graph = wrong.mean(1)
    return float(by_probe), float(by_graph)


def _probe(features: Floats, classes: Indices, asked: Floats) -> Indices:
    """Classes of the features asked for, by logistic regression on those whose class is known."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        answers: Indices = LogisticRegression(C=0.1, max_iter=1000).fit(features, classes).predict(asked)
    return answers


def _budget(subject: Subject, labels: int) -> tuple[Indices, Indices]:
    """All images of a budget, those for validation included, and their classes."""
    train, config = subject.dataset.train, subject.config
    classes = train.labels.numpy()
    draw = Draw(labels, subject.seed, config.grid.sampling)
    split = union(split_budget(config.train, classes, len(train.class_names), draw, train.groups))
    index = np.union1d(split.train, split.val)
    return index, classes[index]


# --- rules that choose a method -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """A mode that starts from a pretrained encoder, at a budget; for it a method is to be chosen.

    Attributes:
        mode: The mode's name.
        labels: The label budget.
    """

    mode: str
    labels: int

    def name(self, quantity: str) -> str:
        """Return what a point calls the quantity e_in, e_val or e_out of such a cell."""
        return f"{self.mode}_{self.labels}_{quantity}"


@dataclass(frozen=True)
class Rule:
    """A way to choose a method.

    Attributes:
        text: What it looks at, for sentences.
        score: The name of the number, among those of a point, by which it judges; the least is chosen.
        sign: -1 where the greatest is chosen.
    """

    text: str
    score: Callable[[Cells], str]
    sign: int = 1


RULES = (
    Rule("the error on the budget's validation labels", lambda cells: cells.name("e_val")),
    Rule("a linear probe, cross-validated on the budget's labels", lambda cells: f"probe_{cells.labels}"),
    Rule("the mean error of that probe and of spread labels, cross-validated", lambda cells: f"both_{cells.labels}"),
    Rule("the rank of the features, which needs no label", lambda cells: "rank", -1),
)


def _cells(points: Points) -> list[Cells]:
    """Every mode that starts from a pretrained encoder, at every budget of the grid."""
    grid = points.grid
    return [Cells(mode, labels) for labels in grid.labels for mode in grid.modes if find_mode(mode).pretrained]


def _errors(points: Points, cells: Cells, quantity: str = "e_out") -> Floats:
    """Error rates, shape (methods, seeds)."""
    return np.array([points.values(arm, cells.name(quantity)) for arm in points.arms])


def _chosen(points: Points, rule: Rule, cells: Cells) -> Floats:
    """The error on the test images of the method that the rule chooses under each seed, shape (seeds,)."""
    scores = np.array([points.values(arm, rule.score(cells)) for arm in points.arms])
    errors = _errors(points, cells)
    best = (rule.sign * scores).argmin(0)  # at equal scores the first method, which is the default
    chosen: Floats = errors[best, np.arange(errors.shape[1])]
    return chosen


# --- what the numbers say -------------------------------------------------------------------------------------


def _conclude(points: Points) -> list[Finding]:
    every = _cells(points)
    found = [_worth(points, cells) for cells in every] if SCRATCH in points.grid.modes else []
    found += [_best(points, cells) for cells in every]
    return found + [_judge(points, rule) for rule in RULES]


def _worth(points: Points, cells: Cells) -> Finding:
    default, scratch = points.arms[0], Cells(SCRATCH, cells.labels)
    errors, without = (points.values(default, cell.name("e_out")) for cell in (cells, scratch))
    gain = difference(without, errors)
    return Finding(
        f"{cells.mode} with {cells.labels} labels: pretraining by {default} is worth it.",
        f"E_out of {SCRATCH} minus that of {cells.mode}, on the test images: the interval over seeds lies above 0.",
        f"{points_of(gain)}: {100 * np.mean(without):.2f} % without it, {100 * np.mean(errors):.2f} % with it.",
        above(gain),
    )


def _best(points: Points, cells: Cells) -> Finding:
    """The method is chosen by validation labels of all seeds, so that looking for the best does not flatter it."""
    default = points.arms[0]
    chosen = points.arms[_errors(points, cells, "e_val").mean(1).argmin()]
    gain = points.difference(chosen, default, cells.name("e_out"))
    listed = "; ".join(f"{arm} {show(points.interval(arm, cells.name('e_out')), '%', 100)}" for arm in points.arms)
    told = f"{chosen}, {points_of(gain)} against {default}" if chosen != default else f"{default} itself"
    return Finding(
        f"{cells.mode} with {cells.labels} labels: another method than {default} is worth taking.",
        f"The method with the least mean error on validation labels, minus {default}, on the test images: the interval "
        "over seeds lies below 0.",
        f"E_out: {listed}. Chosen by validation labels: {told}.",
        chosen != default and below(gain),
    )


def _judge(points: Points, rule: Rule) -> Finding:
    every = _cells(points)
    chosen = np.mean([_chosen(points, rule, cells) for cells in every], axis=0)
    hindsight = np.mean([min(_errors(points, cells), key=np.mean) for cells in every], axis=0)
    default = np.mean([_errors(points, cells)[0] for cells in every], axis=0)
    loss, gain = difference(chosen, hindsight), difference(chosen, default)
    return Finding(
        f"To choose by {rule.text} is nearly as good as to know the best method.",
        f"E_out of the method chosen under each seed, minus that of the method that is best in hindsight, mean over "
        f"modes and budgets: the upper end of the interval over seeds is below {100 * NEAR:g} points.",
        f"By {rule.text}: {points_of(loss)} above the best in hindsight, {points_of(gain)} above {points.arms[0]} "
        "everywhere.",
        loss.high is not None and loss.high < NEAR,
    )


def _draw(points: Points) -> dict[str, Picture]:
    panels = {
        f"{cells.mode}, {cells.labels} labels: E_out, %": {
            arm: points.interval(arm, cells.name("e_out")) for arm in points.arms
        }
        for cells in _cells(points)
    }
    return {"errors": charts.bars(panels)}


def _tables(points: Points) -> dict[str, Table]:
    return {"cells.csv": cell_rows(points, "method")}


STUDY = Study(
    "Methods: which for what", CLAIM, ARMS, _measure, _conclude, _draw, _tables, any_arms=True, validates=True
)
