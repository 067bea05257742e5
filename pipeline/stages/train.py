"""Stage train: one classifier on a labelled subset, which is one cell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.artefacts import data_card, data_source, graph
from pipeline.artefacts.cell import Cell
from pipeline.artefacts.changes import changes_since_last
from pipeline.config import Experiment
from pipeline.modes import BUILT_IN, find_mode
from pipeline.report.formats import percent


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    mode: Annotated[str, "; ".join(f"{name}: {mode.summary}" for name, mode in BUILT_IN.items())] = "frozen"
    labels: Annotated[int, "label budget, including validation"] = 100
    seed: Annotated[int, "number of the draw of the labelled subset, from 0"] = 0


def run(config: Experiment, options: Options) -> Path:
    """Train one cell unless it is done, print its errors, and return its folder.

    Raises:
        PipelineError: If the mode is unknown, the budget is out of range, or an earlier stage has not run.
    """
    cell = _checked(Cell(config, options.mode, options.labels, options.seed)).artefact()
    if changed := changes_since_last(cell):
        print(f"train: an earlier cell was made before this changed ({changed}); the cell is made again")
    folder = cell.build()
    metrics = cell.open()["outcome"]
    found = {"E_in": metrics["e_in"], "E_val": metrics["e_val"], "E_out": metrics["e_out"]}
    errors = ", ".join(f"{name} {percent(each['error'])} % of {each['n']}" for name, each in found.items() if each)
    kept = f"{metrics['unit']} {metrics['kept']:g}, the last was {metrics['last']:g}"
    if "trials" in metrics:
        kept += f", with settings {metrics['chosen'] + 1} of {len(metrics['trials'])}"
    print(f"{options.mode}, {options.labels} labels, draw {options.seed}: {errors}; kept {kept}")
    return folder


def _checked(cell: Cell) -> Cell:
    """Refuse what cannot be trained before anything is."""
    mode = find_mode(cell.mode)
    data_source.check_unchanged(cell.config)
    data_card.check_budgets(cell.config, [cell.labels])
    if mode.spreads_labels:
        graph.check(cell.config)
    return cell
