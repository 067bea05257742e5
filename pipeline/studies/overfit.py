"""Does early stopping pay? E_in and the error on unseen images, measured all along, frozen and fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.config import JsonObject
from pipeline.evaluation.crossed import Interval
from pipeline.report.drawing import Picture
from pipeline.studies import charts
from pipeline.studies.definition import Finding, Measured, Points, Study, Subject, above, difference, points_of
from pipeline.training.stopping import Selection

CLAIM = (
    "A frozen encoder has the larger E_in and the smaller gap to E_out; fine-tuning has the smaller E_in and the "
    "larger gap, and early stopping recovers what training to the end loses."
)
ARMS: dict[str, JsonObject] = {
    "default": {},
    "plain": {  # a small autoencoder without corruption, whose 20 features a head cannot fit perfectly
        "pretrain": {
            "latent": 20,
            "encoder": {"name": "mlp", "widths": [400]},
            "decoder": {"name": "mlp", "widths": [400]},
            "corruption": 0,
            "epochs": 8,
            "learning_rate": 0.003,
        }
    },
    "naive": {  # a first attempt: nothing against overfitting, a random head, a fast encoder
        "train": {
            "augment": 0,
            "label_smoothing": 0,
            "ema_decay": 0,
            "weight_decay": 0.01,
            "modes": {"finetune": {"encoder_lr": 0.003, "head_first": False}},
        }
    },
}
FROZEN, FINETUNE = "frozen", "finetune"
QUANTITIES = {"e_in": "E_in", "e_unseen": "unseen images"}


def _measure(subject: Subject) -> Measured:
    values: dict[str, float] = {}
    arrays = {}
    for cell, history in subject.histories.items():
        stopped = kept_measurement(history)
        for name in QUANTITIES:
            values[f"{cell}_{name}_selected"] = history[name][stopped]
            values[f"{cell}_{name}_last"] = history[name][-1]
            arrays[f"{cell}_{name}"] = np.array(history[name])
        values[f"{cell}_loss_unseen_selected"] = history["loss_unseen"][stopped]
        values[f"{cell}_loss_unseen_last"] = history["loss_unseen"][-1]
        values[f"{cell}_gap_selected"] = history["e_unseen"][stopped] - history["e_in"][stopped]
        values[f"{cell}_selected_at"] = stopped + 1
    return Measured(values, arrays)


def kept_measurement(history: Mapping[str, Sequence[float]]) -> int:
    """Return the number, from 0, of the measurement that a cell with this history keeps."""
    losses = history["loss_val"]
    if "l2" in history:
        return losses.index(min(losses))
    selection = Selection()
    for loss, error, e_in in zip(losses, history["se_val"], history["e_in"], strict=True):
        selection.take({"loss_val": loss, "se_val": error, "e_in": e_in})
    return selection.kept


def _conclude(points: Points) -> list[Finding]:
    return [
        test(points, arm, labels)
        for labels in points.settings[points.arms[0]].grid.labels
        for arm in points.arms
        for test in (_larger_e_in, _smaller_gap, _recovers)
    ]


def _larger_e_in(points: Points, arm: str, labels: int) -> Finding:
    gap = _modes(points, arm, labels, "e_in_selected")
    return Finding(
        f"With {labels} labels, frozen has the larger E_in (arm {arm}).",
        "E_in of frozen minus that of fine-tuned with early stopping: the interval over draws lies above 0.",
        f"{_errors(points, arm, labels, 'e_in_selected')}: {points_of(gap)}.",
        above(gap),
    )


def _smaller_gap(points: Points, arm: str, labels: int) -> Finding:
    gap = _modes(points, arm, labels, "gap_selected", FINETUNE, FROZEN)
    return Finding(
        f"With {labels} labels, frozen has the smaller gap (arm {arm}).",
        "Error on unseen images minus E_in, of fine-tuned with early stopping minus that of frozen: the interval over "
        "draws lies above 0.",
        f"{_errors(points, arm, labels, 'gap_selected')}: fine-tuned is wider by {points_of(gap)}. On unseen "
        f"images they err: {_errors(points, arm, labels, 'e_unseen_selected')}.",
        above(gap),
    )


def _recovers(points: Points, arm: str, labels: int) -> Finding:
    cell = f"{FINETUNE}_{labels}"
    last, selected = (points.values(arm, f"{cell}_e_unseen_{when}") for when in ("last", "selected"))
    loss = difference(last, selected)
    losses = {when: np.mean(points.values(arm, f"{cell}_loss_unseen_{when}")) for when in ("last", "selected")}
    places = ", ".join(f"{place:.0f}" for place in points.values(arm, f"{cell}_selected_at"))
    return Finding(
        f"With {labels} labels, early stopping recovers what fine-tuning to the end loses (arm {arm}).",
        "Error on unseen images at the last measurement minus that at the one which early stopping keeps: the interval "
        "over draws lies above 0.",
        f"{100 * np.mean(last):.2f} % against {100 * np.mean(selected):.2f} %: {points_of(loss)}; kept are "
        f"numbers {places}. Their cross-entropy there: {losses['last']:.3f} against {losses['selected']:.3f} nats.",
        above(loss),
    )


def _modes(points: Points, arm: str, labels: int, name: str, first: str = FROZEN, second: str = FINETUNE) -> Interval:
    values = {mode: points.values(arm, f"{mode}_{labels}_{name}") for mode in (first, second)}
    return difference(values[first], values[second])


def _errors(points: Points, arm: str, labels: int, name: str) -> str:
    frozen, finetune = (100 * points.mean(arm, f"{mode}_{labels}_{name}") for mode in (FROZEN, FINETUNE))
    return f"frozen {frozen:.2f} %, fine-tuned {finetune:.2f} %"


def _draw(points: Points) -> dict[str, Picture]:
    return {
        f"curves_{labels}": charts.curves(
            {
                arm: {mode: _curves(points, arm, f"{mode}_{labels}") for mode in (FROZEN, FINETUNE)}
                for arm in points.arms
            },
            f"{labels} labels",
        )
        for labels in points.settings[points.arms[0]].grid.labels
    }


def _curves(points: Points, arm: str, cell: str) -> charts.Curves:
    stored = [point.arrays() for point in points.of(arm)]
    return charts.Curves(
        {label: np.mean([arrays[f"{cell}_{name}"] for arrays in stored], axis=0) for name, label in QUANTITIES.items()},
        [int(place) for place in points.values(arm, f"{cell}_selected_at")],
    )


STUDY = Study(
    "Overfitting and early stopping",
    CLAIM,
    ARMS,
    _measure,
    _conclude,
    _draw,
    any_arms=True,
    validates=True,
    track_unseen_error=True,
    one_encoder=True,
    modes=(FROZEN, FINETUNE),
)
