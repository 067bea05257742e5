"""The health of a comparison's arms: what their cells' learning curves and errors give reason to distrust."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.artefacts.cell_files import METRICS, read_tested
from pipeline.artefacts.results import FlagRow, ResultRow
from pipeline.evaluation.health import Arm, Remedies, examine
from pipeline.invocation import command
from pipeline.modes import BASELINES, Mode, find_mode
from pipeline.store import disk


def examine_arms(experiment: Path, groups: Sequence[Sequence[ResultRow]]) -> list[FlagRow]:
    """Return a row for each reason not to trust an arm, in the order of results.csv.

    The groups hold the lines of results.csv, one group for each mode or classical baseline at each label budget.
    """
    flags: list[FlagRow] = []
    for group in groups:
        labels, mode = group[0]["labels"], group[0]["mode"]
        if mode in BASELINES:
            continue
        found = examine(_arm(experiment, group, groups), _remedies(mode, find_mode(mode)))
        flags += [{"labels": labels, "mode": mode, "kind": flag.kind, "text": flag.text} for flag in found]
    return flags


def _arm(experiment: Path, group: Sequence[ResultRow], groups: Sequence[Sequence[ResultRow]]) -> Arm:
    first = group[0]
    curves = [disk.read_columns(experiment / row["cell"] / "history.csv") for row in group if row["unit"] == "step"]
    _, truth = read_tested(experiment / first["cell"])
    baselines = {}
    for other in groups:
        if other[0]["mode"] in BASELINES and other[0]["labels"] == first["labels"]:
            baselines[other[0]["mode"]] = _mean_error(other)
    return Arm(
        mode=first["mode"],
        e_in=[curve["e_in"] for curve in curves],
        e_val=[curve["e_val"] for curve in curves if "e_val" in curve],
        stopped_early=[_stopped_early(experiment / row["cell"]) for row in group],
        e_out=_mean_error(group),
        images=first["n_test"],
        chance=1 - np.bincount(truth).max() / len(truth),
        baselines=baselines,
    )


def _stopped_early(cell: Path) -> bool:
    return bool(disk.read_json(cell / METRICS, f"run `{command('compare')}` again")["stopped_early"])


def _mean_error(group: Sequence[ResultRow]) -> float:
    return float(np.mean([row["e_out"] for row in group]))


def _remedies(name: str, mode: Mode) -> Remedies:
    """Return the settings that a mode's training depends on."""
    longer = "train.unlabelled_steps" if mode.spreads_labels else "train.length"
    fit = f"train.modes.{name}.encoder_lr" if mode.trains_encoder else "train.l2"
    pretraining = "raise pretrain.epochs or change pretrain.method"
    return Remedies(
        longer=longer,
        more_patient="train.patience",
        fit=fit,
        stronger=pretraining if mode.pretrained else f"raise {longer} or change {fit}",
    )
