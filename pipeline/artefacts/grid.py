"""The grid of modes x labels x draws x encoders: its cells and baselines, checked and trained in parallel."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from pipeline.artefacts import data_card, data_source, encoder, graph
from pipeline.artefacts.baseline import Baseline
from pipeline.artefacts.cell import Cell
from pipeline.artefacts.cell_inputs import CellInputs
from pipeline.artefacts.changes import changes_since_last
from pipeline.choosing import find_strategy
from pipeline.config import Experiment
from pipeline.errors import PipelineError
from pipeline.modes import BASELINES, find_mode
from pipeline.parallel import Task, check, fan_out

Entry = Cell | Baseline  # of the grid


def entries(config: Experiment) -> list[Entry]:
    """Return all entries of the grid, in the order of results.csv: by budget, mode, draw and encoder."""
    found: list[Entry] = []
    for labels in sorted(config.grid.labels):
        for mode in config.grid.modes:
            starts = config.by_encoder if find_mode(mode).pretrained else (config,)
            found += [Cell(own, mode, labels, seed) for seed in range(config.grid.draws) for own in starts]
        for name in BASELINES if config.grid.baselines else ():
            found += [Baseline(config, name, labels, seed) for seed in range(config.grid.draws)]
    return found


def ablated(config: Experiment) -> list[Entry]:
    """Return the entries that are trained as if no invariances were known; none unless the grid asks for them."""
    return entries(config.ablation) if config.ablation else []


# --- what can be trained --------------------------------------------------------------------------------------


def check_settings(config: Experiment) -> None:
    """Refuse a grid that cannot be trained, as far as settings and the data card tell; no encoder is needed.

    Raises:
        PipelineError: If a mode is unknown, the modes have not as many trials each, a budget is impossible, or the
            data have changed since stage data ran.
    """
    tried = {}
    for mode in config.grid.modes:
        find_mode(mode)
        tried[mode] = len(config.train.candidates(mode))
    if len(set(tried.values())) > 1:
        counts = ", ".join(f"{mode} {count}" for mode, count in tried.items())
        raise PipelineError(
            f"train.trials: settings to choose among are {counts}; give every mode as many, since the one with "
            "the most is favoured, or leave the others out of grid.modes"
        )
    if config.grid.sampling == "chosen":
        find_strategy(config.grid.strategy)
    data_source.check_unchanged(config)
    data_card.check_grid_budgets(config)
    if any(find_mode(mode).spreads_labels for mode in config.grid.modes):
        graph.check(config)


def check_encoders(config: Experiment) -> None:
    """Refuse a grid whose encoders are not pretrained.

    Raises:
        PipelineError: If one is needed and missing.
    """
    if config.grid.sampling == "chosen" or any(find_mode(mode).pretrained for mode in config.grid.modes):
        for own in encoder.of_grid(config):
            encoder.artefact(own).check()


# --- training it ----------------------------------------------------------------------------------------------


def train_missing(config: Experiment, grid: Sequence[Entry]) -> None:
    """Train the entries that are not finished, as many at a time as the settings say.

    Raises:
        PipelineError: If the backend cannot be used, or an entry failed; the others are kept.
    """
    missing = [entry for entry in grid if not entry.artefact().is_finished]
    if missing:
        check(config)
        _say_changes(missing)
    if any(isinstance(entry, Cell) and entry.plan.definition.spreads_labels for entry in missing):
        for own in config.by_encoder:
            graph.artefact(own).build()  # with all threads, before every process waits for it
    # long ones first: no core idles at the end; a worker reads an encoder once if its cells follow each other
    missing.sort(key=lambda entry: (-entry.labels, isinstance(entry, Baseline), entry.config.pretrain.seed))
    tasks = [
        Task(f"{entry.mode} at {entry.labels} labels, draw {entry.seed}", functools.partial(_train, entry))
        for entry in missing
    ]
    fan_out(config, tasks, "compare", "cell")


def _say_changes(missing: Sequence[Entry]) -> None:
    """Say of how many entries there are earlier ones of the same settings, which were made from other content."""
    changed = [change for entry in missing if (change := changes_since_last(entry.artefact()))]
    if changed:
        differing = "; ".join(sorted(set(changed)))
        print(
            f"compare: earlier cells were made before this changed ({differing}); {len(changed)} cells are made again"
        )


def _train(entry: Entry) -> None:
    entry.artefact(_cell_inputs(entry.config, data_card.load(entry.config)["sha256"])).build()


@functools.lru_cache(maxsize=1)
def _cell_inputs(config: Experiment, sha256: str) -> CellInputs:
    """Return the inputs of the experiment's cells, which a worker reads once for all of them.

    A cluster's worker outlives the command: by then the same settings may mean other images, which the checksum tells.
    """
    return CellInputs(config)
