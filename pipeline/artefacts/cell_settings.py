"""The settings of training that a cell is made from, and back again: what it does not use is left out.

So changing a setting retrains the cells that use it, and no others.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline.artefacts import graph
from pipeline.config import SHARED, as_dict
from pipeline.learning.plan import Plan
from pipeline.modes import Mode, find_mode
from pipeline.store.fingerprints import Inputs


def flags(mode: Mode) -> dict[str, Any]:
    """What the mode is, without its settings and what only people read."""
    return {name: value for name, value in asdict(mode).items() if name not in ("summary", "fit", "head_like")}


def used(plan: Plan) -> Inputs:
    """The settings of the section train that the plan uses, with those of its trials."""
    made_from = _used(plan)
    if tried := plan.candidates[1:]:
        made_from["trials"] = [_used(candidate) for candidate in tried]
    return made_from


def _used(plan: Plan) -> Inputs:
    mode, settings = plan.definition, as_dict(plan.train)
    used = {"train": _common(plan), "fit": as_dict(mode.fit)}
    if plan.head_settings is not None and mode.trains_encoder:
        used["head_fit"] = as_dict(plan.head_settings)
    if mode.spreads_labels:
        used["graph"] = graph.used(settings["graph"])
    if mode.consistency:
        used["consistency"] = settings["consistency"]
    return used


def _common(plan: Plan) -> dict[str, Any]:
    """Of the settings that are the same for every mode those that matter."""
    common = as_dict(plan.train)
    for name in ("modes", "graph", "consistency", "trials"):
        del common[name]
    for name in ("val_fraction",) if plan.train.validation == "kfold" else ("folds",):
        del common[name]
    if not plan.definition.trains_encoder:
        del common["augment"], common["clean_fraction"]
    return common


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
    if "head_fit" in found:
        settings["modes"][find_mode(mode).head_like] = found["head_fit"]
    return settings
