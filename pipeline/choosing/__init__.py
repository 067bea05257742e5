"""Ways of choosing which images to label: what a strategy is, and how a name becomes one.

Each strategy is a file of this folder with a ``STRATEGY``. One from elsewhere is named by its import path,
``my_file:STRATEGY``, or by the name that an installed package gives it as an entry point ``pipeline.strategies``; it
takes the same path through the code. See docs/choosing.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import plugins
from pipeline.errors import PipelineError

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.int64]

ENTRY_POINTS = "pipeline.strategies"
NAMES = ("typiclust", "kmeans", "coreset", "margin", "random")
BUILT_IN = {name: f"{__name__}.{name}:STRATEGY" for name in NAMES}


@dataclass(frozen=True)
class Pool:
    """The images that a strategy chooses from, and what is known of them.

    Attributes:
        embeddings: Features of all images, shape (N, D), finite.
        labelled: Indices of the images that have a label, which are not chosen again, shape (n,); maybe none.
        count: How many to choose, from 1 to N - n.
        generator: Where all that is random comes from.
        probabilities: What a classifier that was trained on those labels gives each image, shape (N, K); each row sums
            to 1, or to 0 where nothing is known. None where there is no classifier yet.
    """

    embeddings: Floats
    labelled: Indices
    count: int
    generator: np.random.Generator
    probabilities: Floats | None = None


@dataclass(frozen=True)
class Choice:
    """The images that a strategy chose.

    Attributes:
        index: Their indices in the order in which they are to be labelled, shape (count,): the first half is a good
            choice of half as many.
        cluster: The number of the cluster that each stands for, shape (count,), from 0: a label is expected to hold for
            its look-alikes. Images that stand for themselves alone have numbers of their own.
        reasons: Why each was chosen, in a few words.
    """

    index: Indices
    cluster: Indices
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Strategy:
    """One way to choose images.

    Attributes:
        summary: A few words for help and messages.
        choose: From a pool to a choice.
        needs_probabilities: Whether it needs a classifier's probabilities, so that it cannot choose the first images.
        reference: The paper that it is from.
    """

    summary: str
    choose: Callable[[Pool], Choice]
    needs_probabilities: bool = False
    reference: str = ""


def find_strategy(name: str) -> Strategy:
    """Return the strategy of this name: a built-in one, an entry point's, or that at the import path "module:OBJECT".

    Raises:
        PipelineError: If there is none, its module cannot be imported, or it is something else.
    """
    return plugins.find_instance(Strategy, "strategy", name, BUILT_IN, ENTRY_POINTS)


def choose(name: str, pool: Pool) -> Choice:
    """Choose images by the strategy of this name, and make sure of what it returns.

    Raises:
        PipelineError: If there is no such strategy, it needs probabilities and there are none, there are fewer images
            without a label than are to be chosen, or the strategy breaks its contract.

    Examples:
        >>> import numpy as np
        >>> heaps = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 20, axis=0)
        >>> features = heaps + np.random.default_rng(0).normal(size=heaps.shape)
        >>> pool = Pool(features, np.array([], dtype=int), 3, np.random.default_rng(0))
        >>> sorted((choose("kmeans", pool).index // 20).tolist())  # one of each heap
        [0, 1, 2]
    """
    strategy = find_strategy(name)
    left = len(pool.embeddings) - len(np.unique(pool.labelled))
    if not 1 <= pool.count <= left:
        raise PipelineError(f"labels: {pool.count} is not allowed; expected 1 to {left}, the images without a label")
    if strategy.needs_probabilities and pool.probabilities is None:
        raise PipelineError(
            f"strategy: {name} needs a classifier, which needs labels; choose the first images by another, such as "
            f"{NAMES[0]}"
        )
    chosen = strategy.choose(pool)
    wrong = _broken_form(chosen) or _broken_contract(pool, chosen)
    if wrong:
        raise PipelineError(f"strategy: {name} broke its contract: {wrong}")
    return Choice(np.asarray(chosen.index), np.asarray(chosen.cluster), tuple(chosen.reasons))


def _broken_form(chosen: object) -> str:
    """Say which type of what a strategy returned is wrong; "" if none is."""
    if not isinstance(chosen, Choice):
        return f"it returned a {type(chosen).__name__}; expected a pipeline.choosing.Choice"
    if np.ndim(chosen.index) != 1 or np.ndim(chosen.cluster) != 1:
        return "it returned indices or clusters that are no array of one dimension"
    if not isinstance(chosen.reasons, tuple | list) or not all(isinstance(reason, str) for reason in chosen.reasons):
        return "it returned reasons that are no tuple of texts"
    return ""


def _broken_contract(pool: Pool, chosen: Choice) -> str:
    """Say which value of a choice is wrong; "" if none is."""
    index, cluster, total = np.asarray(chosen.index), np.asarray(chosen.cluster), len(pool.embeddings)
    sizes = {len(index), len(cluster), len(chosen.reasons)}
    if sizes != {pool.count}:
        return f"it returned {sorted(sizes)} indices, clusters and reasons for {pool.count} images"
    if not (np.issubdtype(index.dtype, np.integer) and ((index >= 0) & (index < total)).all()):
        return f"it returned what is no index of {total} images"
    if not np.issubdtype(cluster.dtype, np.integer):
        return "it returned clusters that are no whole numbers"
    if len(np.unique(index)) < pool.count:
        return "it chose an image twice"
    if np.isin(index, pool.labelled).any():
        return "it chose an image that has a label"
    return ""


def unlabelled(pool: Pool) -> Indices:
    """Return indices of the images that can be chosen, sorted."""
    return np.setdiff1d(np.arange(len(pool.embeddings)), pool.labelled)


def margins(probabilities: Floats) -> Floats:
    """How sure a classifier is: the difference between the probabilities of its two likeliest classes, shape (N,)."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]
