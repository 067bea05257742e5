"""How numbers are written in tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.artefacts.results import Comparison, IntervalRecord, SummaryRow, interval_record


def percent(share: float, digits: int = 2) -> str:
    """Return a share between 0 and 1 as a percentage, without the sign.

    Examples:
        >>> percent(0.0231)
        '2.31'
    """
    return f"{100 * share:.{digits}f}"


def with_half_width(interval: IntervalRecord) -> str:
    """Return an estimate and half of its interval, in percent; the estimate alone where there is no interval.

    Examples:
        >>> with_half_width({"mean": 0.0231, "low": 0.0211, "high": 0.0251})
        '2.31 ± 0.20'
        >>> with_half_width({"mean": 0.0231, "low": None, "high": None})
        '2.31'
    """
    if interval["high"] is None:
        return percent(interval["mean"])
    return f"{percent(interval['mean'])} ± {percent(interval['high'] - interval['mean'])}"


def mean_with_half_width(values: Sequence[float]) -> str:
    """Return the mean of shares over draws, and half of its interval, as ``with_half_width`` does."""
    from pipeline.evaluation.statistics import mean_interval

    return with_half_width(interval_record(mean_interval(values)))


def probability(share: float) -> str:
    """Return a probability as a percentage that is never rounded to certainty.

    Examples:
        >>> probability(0.973), probability(0.9999), probability(0.0)
        ('97 %', 'over 99 %', 'under 1 %')
    """
    if share < 0.01:
        return "under 1 %"
    return "over 99 %" if share > 0.99 else f"{100 * share:.0f} %"


def say_repetitions(found: Comparison | SummaryRow) -> str:
    """Return how often a training was repeated: "8 draws", or "8 draws with each of 3 encoders"."""
    draws = count_draws(found["draws"])
    return draws if found["encoders"] == 1 else f"{draws} with each of {found['encoders']} encoders"


def count_draws(count: int) -> str:
    """Return "1 draw", "2 draws" and so on."""
    return f"{count} draw{'' if count == 1 else 's'}"
