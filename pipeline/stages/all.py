"""Stage all: the main job, from the images to the report; what is finished is recognised and not run again."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Experiment
from pipeline.stages import compare, data, pretrain, report


def run(config: Experiment) -> Path:
    """Run data, pretrain, compare and report, and return the path of the report.

    Raises:
        PipelineError: If one of the stages cannot be run; those after it are not begun.
    """
    for stage in (data, pretrain, compare):
        stage.run(config)
    return report.run(config)
