"""Labels that a classifier contradicts which has not seen them: confident learning (Northcutt, Jiang, Chuang 2021).

Each label is judged by a logistic regression on embeddings of the other labelled images, in a cross-validation. Labels
are doubted in the order of their own probability, the lowest first ("self-confidence" in the paper). A doubt is sure if
the probability of another class is at least what images of that class have on average: the paper's thresholds, by which
a class that the classifier is timid about is not held against one that it is bold about.

References:
    C. Northcutt, L. Jiang, I. Chuang: Confident learning: estimating uncertainty in dataset labels. JAIR 70, 2021.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError

FOLDS = 5
INVERSE_L2 = 0.01  # scikit-learn's C, for embeddings of variance 1; from 0.003 to 0.1 nearly the same labels come first
ITERATIONS = 500  # of L-BFGS; tens are enough

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Doubt:
    """A label that a classifier contradicts.

    Attributes:
        place: The label's place among those that were judged together.
        proposal: The class that the classifier gives instead.
        own: The probability of the label as it is, 0 to 1.
        is_sure: Whether confident learning takes the label for wrong.
    """

    place: int
    proposal: int
    own: float
    is_sure: bool


@dataclass(frozen=True)
class Doubts:
    """The labels that a classifier contradicts.

    Attributes:
        found: The labels, the most doubtful first.
        judged: The number of labels that were judged: that of a class with a single label cannot be.
    """

    found: list[Doubt]
    judged: int


def find_doubts(embeddings: npt.ArrayLike, labels: Integers, groups: Integers | None = None) -> Doubts:
    """Find the labels that a classifier trained on the others contradicts.

    Args:
        embeddings: The embeddings of the labelled images, each dimension of variance 1, shape (N, features).
        labels: Their classes, shape (N,).
        groups: The group that each image belongs to, shape (N,); a group is judged by classifiers that saw none of it.
            None takes each image by itself.

    Raises:
        PipelineError: If no two classes have two labels.

    Examples:
        >>> labels = np.arange(40) % 2
        >>> embeddings = np.random.default_rng(0).normal(labels[:, None] * 4, 1, (40, 2))
        >>> labels[7] = 0
        >>> [doubt.place for doubt in find_doubts(embeddings, labels).found]
        [7]
    """
    probabilities = _out_of_fold(np.asarray(embeddings), labels, groups)
    rows = np.flatnonzero(~np.isnan(probabilities[:, 0]))
    judged, own_label = probabilities[rows], labels[rows]
    own = judged[np.arange(len(rows)), own_label]
    usual = np.array([own[own_label == c].mean() if (own_label == c).any() else np.inf for c in range(judged.shape[1])])
    proposal = judged.argmax(1)
    confident = np.where(judged >= usual, judged, -1.0)
    is_sure = (confident.max(1) >= 0) & (confident.argmax(1) != own_label)
    found = [
        Doubt(int(rows[n]), int(proposal[n]), float(own[n]), bool(is_sure[n]))
        for n in np.argsort(own, kind="stable")
        if proposal[n] != own_label[n]
    ]
    return Doubts(found, len(rows))


def _out_of_fold(x: npt.NDArray[np.floating], labels: Integers, groups: Integers | None) -> Floats:
    """Return probabilities by a classifier that did not see the label; NaN where it knew no label of that class.

    Returns:
        Shape (N, classes).
    """
    from sklearn.linear_model import LogisticRegression

    found = np.full((len(labels), int(labels.max(initial=0)) + 1), np.nan)
    for trained, left_out in _folds(labels, groups):
        if len(np.unique(labels[trained])) < 2:
            continue
        classifier = LogisticRegression(C=INVERSE_L2, max_iter=ITERATIONS).fit(x[trained], labels[trained])
        judged = left_out[np.isin(labels[left_out], classifier.classes_)]
        if len(judged):
            found[judged] = 0
            found[np.ix_(judged, classifier.classes_)] = classifier.predict_proba(x[judged])
    if np.isnan(found).all():
        raise PipelineError("labels: none can be reviewed; label at least two images of each of two classes")
    return found


def _folds(labels: Integers, groups: Integers | None) -> Iterator[tuple[Integers, Integers]]:
    """Yield places to train on and places left out; a class with fewer labels than folds is left out one at a time."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    most = int(np.bincount(labels).max(initial=0)) if groups is None else len(np.unique(groups))
    count = min(FOLDS, most)
    if count < 2:
        return
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    with warnings.catch_warnings(action="ignore"):  # of classes with fewer labels than folds
        yield from splitter(count, shuffle=True, random_state=0).split(labels, labels, groups)
