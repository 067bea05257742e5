"""Stage compare: the grid of modes x labels x draws in parallel processes, and what it says."""

from __future__ import annotations

from pathlib import Path

from pipeline.artefacts import comparison, data_card, grid
from pipeline.config import Experiment
from pipeline.report.terminal import comparison_table


def run(config: Experiment) -> Path:
    """Train what is missing of the grid, write results.csv and comparison.json, and print the table.

    Raises:
        PipelineError: If the grid names an unknown mode or an impossible budget, an earlier stage has not run, or a
            cell failed; the others are kept.
    """
    grid.check_settings(config)
    grid.check_encoders(config)
    found = comparison.find(config)
    if found is None:
        grid.train_missing(config, [*grid.entries(config), *grid.ablated(config)])
        found = comparison.write(config)
    print(comparison_table(found))
    print("".join(f"remark on the data: {remark}\n" for remark in data_card.load(config)["remarks"]), end="")
    return config.folder / comparison.RESULTS
