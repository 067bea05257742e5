"""Two sides of a comparison, measured in turn: what disturbs the machine then disturbs both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

Figure = Callable[[], float]


@dataclass(frozen=True)
class Comparison:
    """A measurement of two ways to do the same.

    Attributes:
        what: Its name, with the unit.
        ours: Measures our side once; the more, the better, unless the name says otherwise.
        other: The other side, once.
        goal: The least ratio that is aimed at; None for none.
        timed: Whether time is what is measured; if not, nothing has to warm up, and a round is enough.
    """

    what: str
    ours: Figure
    other: Figure
    goal: float | None = None
    timed: bool = True


def alternate(comparison: Comparison, rounds: int) -> dict[str, Any]:
    """Return both sides in turn; a round before the first warms up caches and allocator and does not count.

    Returns:
        The row of bench.json: the medians of both sides, the median of the ratios round by round, and as their spread
        the least and the greatest.
    """
    ours, other = [], []
    warm_up = int(comparison.timed)
    for _ in tqdm(range(rounds + 1 if comparison.timed else 1), desc=comparison.what, unit="round", disable=None):
        ours.append(comparison.ours())
        other.append(comparison.other())
    ours, other = ours[warm_up:], other[warm_up:]
    ratios = [a / b for a, b in zip(ours, other, strict=True)]
    return {
        "what": comparison.what,
        "ours": statistics.median(ours),
        "other": statistics.median(other),
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
        "goal": comparison.goal,
    }


def rate(count: int, work: Callable[[], object]) -> float:
    """Pieces a second, of which ``work`` does ``count``."""
    return count / seconds(work)


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes, by the clock on the wall."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
