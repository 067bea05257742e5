"""What is measured of a classifier: the content of metrics.json."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class SplitMetrics(TypedDict):
    """Errors on the images of one split.

    Attributes:
        n: Number of images.
        errors: Number of wrongly classified images.
        error: Share of wrongly classified images, 0 to 1.
        loss: Mean cross-entropy in nats; a classical baseline has none.
    """

    n: int
    errors: int
    error: float
    loss: NotRequired[float]


class TrialMetrics(TypedDict):
    """What some settings reached on the validation labels, see ``pipeline.learning.classify.Trial``."""

    e_val: float
    loss_val: float


class Metrics(TypedDict):
    """What is measured of one classifier, a cell's or a classical baseline's.

    Attributes:
        mode: The cell's mode, or the baseline's name.
        labels: Label budget.
        seed: Which draw of the labels.
        sampling: How the labels were drawn; a baseline has none.
        missed_classes: Classes without a label to train on, which a random draw may have: their test images are errors.
            A baseline has none.
        e_in: Errors on the labels that it was trained on.
        e_val: Errors on the labels that chose the measurement that was kept; None for a baseline, which trains on all.
        e_out: Errors on the test images.
        confusion: Counts on the test images, a row a true class; a baseline has none.
        unit: What the measurements of history.csv are counted in: "step", or "l2" for the strengths of the penalty of a
            head that was fitted to convergence; a baseline has none.
        kept: The measurement that was kept, in that unit; None for a baseline.
        last: The last measurement, in that unit; None for a baseline.
        stopped_early: Whether training ended before its time; a baseline has none.
        seconds: Time of training and measuring.
        encoder_sha256: Digests of the encoder "before" and "after" training; a baseline has none.
        trials: What each of the settings reached, where there were several.
        chosen: Which of them was kept, from 0.
    """

    mode: str
    labels: int
    seed: int
    sampling: NotRequired[str]
    missed_classes: NotRequired[list[int]]
    e_in: SplitMetrics
    e_val: SplitMetrics | None
    e_out: SplitMetrics
    confusion: NotRequired[list[list[int]]]
    unit: NotRequired[str]
    kept: float | None
    last: float | None
    stopped_early: NotRequired[bool]
    seconds: float
    encoder_sha256: NotRequired[dict[str, str]]
    trials: NotRequired[list[TrialMetrics]]
    chosen: NotRequired[int]
