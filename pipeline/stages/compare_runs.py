"""Stage compare-runs: finished experiments side by side; paired where data, draws and protocol are the same."""

from __future__ import annotations

from pathlib import Path

from pipeline.artefacts import experiments
from pipeline.errors import PipelineError
from pipeline.report.terminal import runs_table


def run(folders: list[str]) -> Path:
    """Compare the experiments in these folders with the first of them, print it, and return the artefact's folder.

    Raises:
        PipelineError: If there are fewer than two, one is not compared yet, or a file of it was changed.
    """
    if not 2 <= len({Path(folder).resolve() for folder in folders}) == len(folders) <= 26:
        raise PipelineError(
            f"folders: {' '.join(folders)!r} is not allowed; expected 2 to 26 different folders of experiments"
        )
    compared = experiments.compare([Path(folder) for folder in folders])
    artefact = experiments.artefact(compared).build()
    print(runs_table(compared))
    return artefact
