"""The records of comparisons: the lines of results.csv, the content of comparison.json and of compared.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict, cast

if TYPE_CHECKING:
    from pipeline.evaluation.crossed import Interval
    from pipeline.evaluation.statistics import PairedDifference

UNEVEN = 1.5  # times as many images of the largest class as of the smallest, from which on classes are called uneven

Quantity = Literal["e_in", "e_out"]  # errors whose paired differences are told
QUANTITIES: dict[Quantity, str] = {"e_in": "E_in", "e_out": "E_out"}


class IntervalRecord(TypedDict):
    """A mean over draws, encoders and test images, and its 95 % interval; the limits of a single draw are None."""

    mean: float
    low: float | None
    high: float | None


def interval_record(found: Interval) -> IntervalRecord:
    """Return an interval as comparison.json holds it."""
    return cast(IntervalRecord, asdict(found))


class OneRun(TypedDict):
    """The error on the test images of the first cell alone, with bounds.

    Attributes:
        cell: The cell's folder, relative to the experiment's.
        errors: Number of wrongly classified test images.
        n: Number of test images.
        clopper_pearson: 95 % interval of the error rate, exact.
        hoeffding: 95 % interval of the error rate, whatever the distribution.
    """

    cell: str
    errors: int
    n: int
    clopper_pearson: tuple[float, float]
    hoeffding: tuple[float, float]


class SummaryRow(TypedDict):
    """A mode, or a classical baseline, at one label budget, over all draws.

    Attributes:
        labels: Label budget.
        mode: The mode, or the baseline's name.
        draws: Number of draws.
        encoders: Number of pretrained encoders that each draw was trained with; 1 of a mode that starts from none.
        n_train: Number of labels trained on, in each draw.
        n_val: Number of labels that chose the epoch.
        e_in: Error on the labels trained on, 0 to 1.
        e_out: Error on the test images, 0 to 1.
        gap: E_out minus E_in.
        balanced: The balanced error on the test images, in which every class counts the same.
        one_run: The error of the first cell alone, with its bounds.
    """

    labels: int
    mode: str
    draws: int
    encoders: int
    n_train: int
    n_val: int
    e_in: IntervalRecord
    e_out: IntervalRecord
    gap: IntervalRecord
    balanced: IntervalRecord
    one_run: OneRun


class PairedFigures(TypedDict):
    """A paired difference of two errors, see ``pipeline.evaluation.statistics.PairedDifference``."""

    draws: int
    difference: IntervalRecord
    p_value: float
    exact: bool
    first_better: float | None
    equal: float | None
    second_better: float | None
    detectable: float | None


def paired_figures(found: PairedDifference) -> PairedFigures:
    """Return a paired difference as comparison.json holds it."""
    return cast(PairedFigures, asdict(found))


class PairedRow(PairedFigures):
    """The difference of one error between two modes over the same draws.

    Attributes:
        labels: Label budget.
        first: The mode that is subtracted from.
        second: The mode that is subtracted.
        quantity: The error: "e_in" or "e_out".
    """

    labels: int
    first: str
    second: str
    quantity: Quantity


class FlagRow(TypedDict):
    """A reason not to trust a mode's result at a label budget, see ``pipeline.evaluation.health.Flag``."""

    labels: int
    mode: str
    kind: str
    text: str


class GainRow(TypedDict):
    """How much less a classifier errs because it has something, see ``pipeline.evaluation.bought.Purchase``."""

    what: str
    without: str
    having: str
    gain: IntervalRecord


class BoughtBudget(TypedDict):
    """The gains by images without labels and by the invariances, at one label budget.

    Attributes:
        labels: Label budget.
        gains: The gain by each of them.
        plain: E_out of the modes that were trained once more as if no invariances were known; empty without ablation.
    """

    labels: int
    gains: list[GainRow]
    plain: dict[str, IntervalRecord]


class Comparison(TypedDict):
    """The content of comparison.json.

    Attributes:
        dataset: The name of the data set in the config.
        pretraining: The name of the pretraining in tables.
        level: Confidence level of all intervals.
        draws: Number of draws of each mode.
        encoders: Number of pretrained encoders.
        margin: Difference up to which two modes count as equally good, as a share.
        unevenness: How many times as many images the test set's largest class has as its smallest.
        summary: A row a budget and mode, in the order of results.csv.
        paired: A row a budget, pair of modes and error.
        flags: Reasons not to trust single results.
        bought: The gains by images without labels and by the invariances, at each budget.
        source: SHA-256 of the code that it was made by.
        fingerprint: The fingerprint of all that it was made from, once it is written.
        files: SHA-256 of results.csv, once it is written.
    """

    dataset: str
    pretraining: str
    level: float
    draws: int
    encoders: int
    margin: float
    unevenness: float
    summary: list[SummaryRow]
    paired: list[PairedRow]
    flags: list[FlagRow]
    bought: list[BoughtBudget]
    source: str
    fingerprint: NotRequired[str]
    files: NotRequired[dict[str, str]]


def flags_of(comparison: Comparison, labels: int, mode: str) -> list[FlagRow]:
    """Return the reasons not to trust a mode's result at a budget."""
    return [flag for flag in comparison["flags"] if (flag["labels"], flag["mode"]) == (labels, mode)]


class ResultRow(TypedDict):
    """A line of results.csv: one cell or classical baseline.

    ``sampling`` says how the labels were drawn, see ``GridConfig``; ``encoder`` is the seed of the pretraining that the
    cell started from, empty where it started from none.
    """

    dataset: str
    pretraining: str
    mode: str
    labels: int
    seed: int
    sampling: str
    encoder: int | str
    n_train: int
    n_val: int
    n_test: int
    e_in: float
    e_val: float | str
    e_out: float
    balanced_error: float
    macro_f1: float
    unit: str
    kept: float | None
    last: float | None
    seconds: float
    cell: str


# --- experiments side by side: the content of compared.json ---------------------------------------------------


class RunRow(TypedDict):
    """An experiment: its letter in the table, its folder, and what its comparison says of itself."""

    run: str
    folder: str
    fingerprint: str
    dataset: str
    pretraining: str
    draws: int


class RunSummary(TypedDict):
    """A mode at a label budget in one of the experiments, see ``SummaryRow``."""

    run: str
    labels: int
    mode: str
    draws: int
    e_in: IntervalRecord
    e_out: IntervalRecord
    gap: IntervalRecord


class RunDifference(PairedRow):
    """The difference of one error between two experiments, first and second, in one mode at one budget."""

    mode: str


class SettingDifference(TypedDict):
    """Something in which two experiments differ.

    Attributes:
        run: The letter of the second experiment.
        kind: "grid", "protocol" (differences are not paired) or "treatment" (what is compared).
        setting: The name of the setting, or of another fact about the two.
        values: The value in each experiment, by the experiment's letter.
    """

    run: str
    kind: str
    setting: str
    values: dict[str, object]


class Compared(TypedDict):
    """The content of compared.json."""

    level: float
    runs: list[RunRow]
    differences: list[SettingDifference]
    summary: list[RunSummary]
    paired: list[RunDifference]
