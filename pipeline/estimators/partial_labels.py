"""Labels of which some are missing, as scikit-learn's users write them; and scikit-learn's own tools around them.

Scikit-learn takes -1 for a class like any other. Where one of its scorers or ensembles does so around an estimator of
this package, a warning says it and names what counts rightly.
"""

from __future__ import annotations

import itertools
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import get_scorer
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import column_or_1d

Array = npt.NDArray[Any]

# modules whose estimators fit others on labels that they have encoded or split themselves
_ENSEMBLES = ("sklearn.ensemble", "sklearn.multiclass", "sklearn.multioutput", "sklearn.calibration")
_FRAMES = 25  # callers that are looked at


class UnlabelledWarning(UserWarning):
    """Scikit-learn takes images without a label for a class of their own."""


def unlabelled(y: Array) -> npt.NDArray[np.bool_]:
    """Whether each label is missing: -1, "", None or NaN; among strings also "-1", as NumPy writes -1 there.

    Args:
        y: Labels, shape (N,).

    Examples:
        >>> unlabelled(np.array(["cat", "", "dog", "-1"])).tolist()
        [False, True, False, True]
        >>> unlabelled(np.array([1, None, 0, float("nan")], dtype=object)).tolist()
        [False, True, False, True]
    """
    missing = (y == -1) | (y == "-1") | (y == "")
    if y.dtype.kind == "f":
        missing |= np.isnan(y)
    elif y.dtype == object:
        missing |= np.array([label is None or label != label for label in y], bool)  # NaN is unlike itself
    return np.asarray(missing, bool)


def plain_labels(y: Any) -> Any:
    """Return labels in which each missing one is -1, or "" beside strings.

    Args:
        y: Labels as scikit-learn takes them, or with None or NaN among them, shape (N,) or (N, 1).

    Returns:
        Whole numbers or strings, shape (N,), if there was None or NaN; else y itself, which scikit-learn checks.

    Examples:
        >>> plain_labels(["cat", None, "dog"]).tolist()
        ['cat', '', 'dog']
        >>> plain_labels([2.0, float("nan"), 1.0]).tolist()
        [2, -1, 1]
    """
    given = np.asarray(y)
    if given.dtype.kind not in "fO" or given.ndim not in (1, 2):
        return y
    labels = column_or_1d(given)
    missing = unlabelled(labels)
    if not (missing & (labels != -1) & (labels != "")).any():
        return y
    known = labels[~missing].tolist()
    if any(isinstance(label, str) for label in known):
        return np.array([str(label) if there else "" for label, there in zip(labels, ~missing, strict=True)])
    filled = np.full(len(labels), -1.0)
    filled[~missing] = known
    return filled.astype(np.int64) if (filled == np.rint(filled)).all() else filled


# --- scikit-learn's scorers -----------------------------------------------------------------------------------


class LabelledScorer:
    """A scorer of scikit-learn that leaves out images without a label; see ``scorer``.

    Args:
        scoring: What scikit-learn calls the scorer, or a scorer.
    """

    def __init__(self, scoring: str | Callable[..., float]) -> None:
        self.scoring = scoring

    def __call__(self, estimator: Any, X: Any, y: Any, **options: Any) -> float:  # noqa: N803
        """Return the score of an estimator on the images that have a label.

        Raises:
            ValueError: If none has one.
        """
        known = ~unlabelled(column_or_1d(np.asarray(y)))
        if not known.any():
            raise ValueError("y: no image has a label (all are -1); expected some to be scored on")
        chosen = np.flatnonzero(known)
        return float(get_scorer(self.scoring)(estimator, _safe_indexing(X, chosen), np.asarray(y)[chosen], **options))

    def __repr__(self) -> str:
        return f"scorer({self.scoring!r})"


def scorer(scoring: str | Callable[..., float]) -> LabelledScorer:
    """Make a scorer that leaves out images without a label, for ``cross_val_score``, ``GridSearchCV`` and the like.

    Scikit-learn's own scorers count -1 as a class that no classifier ever names: with 80 % of the labels missing, an
    accuracy of 0.88 becomes 0.22. Without ``scoring``, the classifier's own ``score`` is used, which is right.

    Args:
        scoring: What scikit-learn calls the scorer, such as "f1_macro", or a scorer.

    Examples:
        >>> from sklearn.datasets import load_digits
        >>> from sklearn.model_selection import cross_val_score
        >>> from pipeline.estimators import SemiSupervisedClassifier, scorer
        >>> X, y = load_digits(return_X_y=True)
        >>> y[100:] = -1  # no label is known of the others
        >>> classifier = SemiSupervisedClassifier("scratch", latent=8, length=2, random_state=0)
        >>> scores = cross_val_score(classifier, X[:300], y[:300], cv=2, scoring=scorer("f1_macro"))
        >>> scores.shape
        (2,)
    """
    return LabelledScorer(scoring)


# --- what scikit-learn does with missing labels around an estimator ---------------------------------------------


def warn_of_scorer() -> None:
    """Warn if a scorer of scikit-learn asks for predictions that it holds against missing labels."""
    for frame in _callers():
        if _module(frame) == "sklearn.metrics._scorer" and _has_missing(frame.f_locals.get("y_true")):
            warnings.warn(
                "y has images without a label (-1), which this scorer counts as a class of their own: the score is far "
                "too low. Leave them out with scoring=pipeline.estimators.scorer(...), or take the classifier's score",
                UnlabelledWarning,
                stacklevel=3,
            )
            return


def warn_of_ensemble() -> None:
    """Warn if an ensemble of scikit-learn clones or fits an estimator, and takes missing labels for a class.

    It is asked in either case: an ensemble that fits in other processes (``n_jobs``) clones in this one, or takes along
    what its classes are.
    """
    for frame in _callers():
        if _module(frame).startswith(_ENSEMBLES) and _takes_missing_for_class(frame.f_locals):
            ensemble = frame.f_locals.get("self", frame.f_locals.get("ensemble"))
            name = "scikit-learn" if ensemble is None else type(ensemble).__name__
            warnings.warn(
                f"y has images without a label (-1), which {name} takes for a class of their own. Fit each classifier "
                "by itself, and give them to it as FrozenEstimator, with voting='soft' and the labelled images alone; "
                "see docs/estimators.md",
                UnlabelledWarning,
                stacklevel=3,
            )
            return


def _takes_missing_for_class(values: Mapping[str, Any]) -> bool:
    """Whether a function of an ensemble was given labels some of which are missing, or such a class.

    Args:
        values: The function's local variables.
    """
    given = [values.get("y"), values.get("classes"), getattr(values.get("ensemble"), "classes_", None)]
    return any(_has_missing(labels) for labels in given)


def _callers() -> Iterator[FrameType]:
    """Yield the frames of the callers, the nearest first; those of other processes are missing."""
    return (frame for frame, _ in itertools.islice(traceback.walk_stack(None), _FRAMES))


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _has_missing(y: Any) -> bool:
    labels = np.asarray(y)
    return labels.ndim == 1 and bool(unlabelled(labels).any())
