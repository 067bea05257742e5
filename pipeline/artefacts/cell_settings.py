"""The training settings that a cell is made from, without those that it does not use; and back to a section.

So a changed setting retrains the cells that use it, and no others.
"""

from __future__ import annotations

from dataclasses import asdict

from pipeline.artefacts import graph
from pipeline.config import SHARED, JsonObject, as_dict
from pipeline.learning.plan import Plan
from pipeline.modes import Mode
from pipeline.store.fingerprints import Inputs

# the settings of trainings in steps, which a head that is fitted to convergence does not use
STEPS = ("length", "evaluations", "minimum", "patience", "warmup", "weight_decay", "label_smoothing", "ema_decay")

# what one kind of training uses, and the other does not
OF_LABELS = {"length", "weight_decay"}
OF_SPREAD_LABELS = {"unlabelled_steps", "unlabelled_weight_decay"}

UNUSED_BY_VALIDATION = {
    "holdout": {"folds"},
    "kfold": {"val_fraction", "refit"},
    "none": {"folds", "val_fraction", "refit", "minimum", "patience"},
}


def flags(mode: Mode) -> JsonObject:
    """Return the flags and the classifier of a mode, without its training settings and its summary."""
    return {name: value for name, value in asdict(mode).items() if name not in ("summary", "fit")}


def used(plan: Plan, images: int) -> Inputs:
    """Return the settings of the section ``train`` that the plan uses for this number of images, and its trials'."""
    made_from = _used(plan, images)
    if tried := plan.candidates[1:]:
        made_from["trials"] = [_used(candidate, images) for candidate in tried]
    return made_from


def _used(plan: Plan, images: int) -> Inputs:
    mode = plan.definition
    used = {"train": _recipe(plan), "fit": as_dict(mode.fit)}
    if mode.spreads_labels:
        used["graph"] = graph.used(plan.train.graph, images)
    if mode.self_trains:
        used["self_training"] = as_dict(plan.train.self_training)
    return used


def _recipe(plan: Plan) -> JsonObject:
    """Return the settings of the recipe that all modes share, as far as the plan's mode uses them."""
    mode = plan.definition
    unused = {"modes", "graph", "self_training", "trials"}
    unused |= UNUSED_BY_VALIDATION[plan.train.validation]
    unused |= OF_LABELS if mode.spreads_labels else OF_SPREAD_LABELS
    converges = not mode.spreads_labels and (mode.fit.head_first or not mode.trains_encoder)
    if not converges:
        unused.add("l2")
    if mode.spreads_labels:
        unused.add("head_widths")
    if not mode.trains_encoder:
        unused |= {"augment", "clean_fraction", "batch_size"}
        if converges:
            unused |= set(STEPS)
    return {name: value for name, value in as_dict(plan.train).items() if name not in unused}


def restored(made_from: Inputs) -> JsonObject:
    """Return the section ``train`` that a cell's inputs came from; settings that it did not use have their defaults."""
    mode, settings = made_from["mode"], _restored(made_from["mode"], made_from)
    if "trials" in made_from:
        tried = [_restored(mode, trial) for trial in made_from["trials"]]
        settings["trials"] = {mode: [{k: v for k, v in trial.items() if k not in SHARED} for trial in tried]}
    return settings


def _restored(mode: str, found: Inputs) -> JsonObject:
    settings = dict(found["train"])
    settings |= {name: found[name] for name in ("graph", "self_training") if name in found}
    settings["modes"] = {mode: found["fit"]}
    return settings
