"""The settings of training that a cell is made from, and back again: what it does not use is left out.

So changing a setting retrains the cells that use it, and no others.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline.artefacts import graph
from pipeline.config import SHARED, as_dict
from pipeline.learning.plan import Plan
from pipeline.modes import Mode
from pipeline.store.fingerprints import Inputs

# settings of a training in steps
STEPS = ("evaluations", "minimum", "patience", "warmup", "weight_decay", "label_smoothing", "ema_decay")


def flags(mode: Mode) -> dict[str, Any]:
    """What the mode is, without its settings and what only people read."""
    return {name: value for name, value in asdict(mode).items() if name not in ("summary", "fit")}


def used(plan: Plan) -> Inputs:
    """The settings of the section train that the plan uses, with those of its trials."""
    made_from = _used(plan)
    if tried := plan.candidates[1:]:
        made_from["trials"] = [_used(candidate) for candidate in tried]
    return made_from


def _used(plan: Plan) -> Inputs:
    mode, train = plan.definition, as_dict(plan.train)
    used = {"train": _recipe(plan), "fit": as_dict(mode.fit)}
    if mode.spreads_labels:
        used["graph"] = graph.used(train["graph"])
    if mode.consistency:
        used["consistency"] = train["consistency"]
    return used


def _recipe(plan: Plan) -> dict[str, Any]:
    """The settings of the recipe, which is the same for every mode, as far as this one uses them."""
    mode = plan.definition
    unused = {"modes", "graph", "consistency", "trials"}
    unused |= {"val_fraction", "refit"} if plan.train.validation == "kfold" else {"folds"}
    unused.add("length" if plan.learns_unlabelled else "unlabelled_steps")
    converges = not mode.spreads_labels and (mode.fit.head_first or not mode.trains_encoder)
    if not converges:
        unused.add("l2")
    if mode.spreads_labels:
        unused.add("head_widths")
    if not mode.trains_encoder:
        unused |= {"augment", "clean_fraction", "batch_size"}
        if converges:
            unused |= {*STEPS, "length"}
    return {name: value for name, value in as_dict(plan.train).items() if name not in unused}


def restored(made_from: Inputs) -> dict[str, Any]:
    """The section train that ``used`` came from; what the cell did not use is left at its default."""
    mode, settings = made_from["mode"], _restored(made_from["mode"], made_from)
    if "trials" in made_from:
        tried = [_restored(mode, trial) for trial in made_from["trials"]]
        settings["trials"] = {mode: [{k: v for k, v in trial.items() if k not in SHARED} for trial in tried]}
    return settings


def _restored(mode: str, found: Inputs) -> dict[str, Any]:
    settings = dict(found["train"])
    settings |= {name: found[name] for name in ("graph", "consistency") if name in found}
    settings["modes"] = {mode: found["fit"]}
    return settings
