"""Stage pretrain: learn an encoder from images without labels, and embed every training image once."""

from __future__ import annotations

import functools
from pathlib import Path

from pipeline import extras, methods
from pipeline.artefacts import data_card, data_source, encoder, grid
from pipeline.config import Experiment
from pipeline.errors import PipelineError
from pipeline.parallel import Task, fan_out


def run(config: Experiment) -> Path:
    """Pretrain all encoders of the grid that are not done, and return the first one's folder.

    Several of them are pretrained side by side, as many at a time as cells are trained.

    Raises:
        PipelineError: If stage data has not run, the grid cannot be trained afterwards, a package is missing, several
            processes are to pretrain several encoders, or a training diverged; the other encoders are kept.
    """
    if config.runtime.tensorboard:
        extras.require("tensorboard", "runtime.tensorboard")
    needed = encoder.of_grid(config)
    if len(needed) > 1 and config.runtime.processes > 1:
        raise PipelineError(
            f"grid.encoders: {len(needed)} encoders cannot be pretrained by {config.runtime.processes} processes in "
            "one command; run it for each with --grid.encoders 1, --grid.ablation false and --pretrain.seed (or "
            "--invariances.preset none), and compare finds them"
        )
    data_source.check_unchanged(config)
    if any(data_card.load(config)["train_per_class"]):  # images without any label can be pretrained on, too
        grid.check_settings(config)
    missing = [own for own in needed if not encoder.artefact(own).is_finished]
    if len(missing) > 1 and config.grid.jobs != 1:
        tasks = [
            Task(methods.title(own.pretrain, own.invariances), functools.partial(encoder.build, own)) for own in missing
        ]
        fan_out(config, tasks, "pretrain", "encoder")
    folders = [encoder.build(own) for own in needed]
    return folders[0]
