"""The measurements of a classifier: the content of metrics.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from pipeline.evaluation.per_class import ClassMetrics


class SplitMetrics(TypedDict):
    """Errors on the images of one split.

    Attributes:
        n: The number of images.
        errors: The number of wrongly classified images.
        error: The share of wrongly classified images, 0 to 1.
        loss: The mean cross-entropy in nats; missing for a classical baseline.
    """

    n: int
    errors: int
    error: float
    loss: NotRequired[float]


class TrialMetrics(TypedDict):
    """The validation error, 0 to 1, and the cross-entropy in nats that one trial of the settings reached."""

    e_val: float
    loss_val: float


class CalibrationMetrics(TypedDict):
    """The expected calibration error on the test images, 0 to 1, "before" and "after" the temperature is applied."""

    before: float
    after: float


class Metrics(TypedDict):
    """The measurements of one classifier, which is a cell's or a classical baseline's.

    Attributes:
        mode: The cell's mode, or the baseline's name.
        labels: The label budget.
        seed: The number of the draw of the labels.
        sampling: How the labels were drawn, "stratified", "random" or "chosen"; missing for a baseline.
        missed_classes: The classes of which the draw has no label to train on; all their test images are errors.
            Missing for a baseline.
        e_in: The errors on the labels that the classifier was trained on.
        e_val: The errors on the labels by which the measurement to keep was selected; None where all labels are trained
            on: for a baseline, and for a cell with ``train.validation`` "none".
        e_out: The errors on the test images.
        classes: The measures of the classes on the test images.
        confusion: The counts on the test images, one row for each true class and one column for each predicted class;
            missing for a baseline.
        temperature: The number that logits are divided by before they become probabilities; missing for a baseline.
        calibration_error: The error of the probabilities on the test images; missing for a baseline.
        unit: The unit of ``kept`` and ``last``: "step", or "l2" for the strength of the penalty of a head that was
            fitted to convergence; missing for a baseline.
        kept: The step or strength whose measurement was kept; None for a baseline.
        last: The step or strength of the last measurement; None for a baseline.
        stopped_early: Whether the training ended before its last step; missing for a baseline.
        seconds: The time of training and measuring.
        encoder_sha256: The SHA-256 of the encoder "before" and "after" training; missing for a baseline.
        trials: The result of each trial of the settings; missing if there was only one.
        chosen: The number of the trial that was kept, from 0; missing if there was only one.
    """

    mode: str
    labels: int
    seed: int
    sampling: NotRequired[str]
    missed_classes: NotRequired[list[int]]
    e_in: SplitMetrics
    e_val: SplitMetrics | None
    e_out: SplitMetrics
    classes: ClassMetrics
    confusion: NotRequired[list[list[int]]]
    temperature: NotRequired[float]
    calibration_error: NotRequired[CalibrationMetrics]
    unit: NotRequired[str]
    kept: float | None
    last: float | None
    stopped_early: NotRequired[bool]
    seconds: float
    encoder_sha256: NotRequired[dict[str, str]]
    trials: NotRequired[list[TrialMetrics]]
    chosen: NotRequired[int]
