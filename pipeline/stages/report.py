"""Stage report: report.html and report.md from what the earlier stages wrote. Nothing is trained or measured here."""

from __future__ import annotations

from pathlib import Path

from pipeline.artefacts import data_source
from pipeline.config import Experiment
from pipeline.report import record


def run(config: Experiment) -> Path:
    """Write both pages unless they are up to date, and return the path of the HTML one.

    Raises:
        PipelineError: If an earlier stage has not run with these settings, or a file of it was changed.
    """
    data_source.check_unchanged(config)
    return record.write(config)
