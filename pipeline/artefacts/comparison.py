"""The comparison of the grid's cells: results.csv and comparison.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.artefacts import encoder
from pipeline.artefacts.cell import CELLS
from pipeline.artefacts.grid import Entry, ablated, entries
from pipeline.artefacts.results import Comparison, SummaryRow
from pipeline.config import Experiment
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.store import disk, provenance
from pipeline.store.fingerprints import fingerprint
from pipeline.store.records import Record

RESULTS, ABLATION, COMPARISON = "results.csv", "ablation.csv", "comparison.json"


# --- reading it -----------------------------------------------------------------------------------------------


def load(config: Experiment) -> Comparison:
    """Read the finished comparison.

    Raises:
        PipelineError: If stage compare has not run with these settings, these data and this code.
    """
    path, again = config.folder / COMPARISON, f"run `{command('compare')}` with the same settings"
    if not path.exists():
        raise PipelineError(f"{path} does not exist; {again} first")
    comparison = _record(config.folder).read()
    cells, source = _cells(config), provenance.source_sha256()
    if comparison["fingerprint"] == _fingerprint(config, cells, source):
        return comparison
    made_by = comparison.get("source")  # which older code left out
    if made_by is None or comparison["fingerprint"] == _fingerprint(config, cells, made_by):
        raise PipelineError(f"{path} was made before the pipeline's own code changed; {again} again")
    raise PipelineError(f"{path} was made with other settings or of other data; {again} first")


def find(config: Experiment) -> Comparison | None:
    """Return the finished comparison if it was made with these settings and is whole, and so are its cells; else None.

    Of the cells, only the manifests and the sizes of the files are read.
    """
    cells = _cells(config)
    found = _record(config.folder).find(_fingerprint(config, cells, provenance.source_sha256()))
    return found if found is not None and all(cell.artefact().is_finished for cell in cells) else None


def read(folder: Path) -> tuple[Comparison, list[dict[str, str]]]:
    """Read the comparison in an experiment's folder, whatever its settings were, and the rows of results.csv.

    Raises:
        PipelineError: If there is none, or one of the two files was changed.
    """
    return _record(folder).read(), disk.read_rows(folder / RESULTS)


def _record(folder: Path) -> Record[Comparison]:
    path = folder / COMPARISON
    missing, changed = f"run `{command('compare')}` for it first", f"delete {path} and run `{command('compare')}` again"
    return Record(path, changed if path.exists() else missing)


def find_summary(folder: Path, cell: str) -> SummaryRow | None:
    """Return the summary of the mode and budget of the cell whose folder has this name.

    It is None if the experiment's folder holds no comparison, or the cell is not part of it.

    Raises:
        PipelineError: If the comparison was changed.
    """
    if not (folder / COMPARISON).exists():
        return None
    comparison, rows = read(folder)
    for row in rows:
        if row["cell"] == f"{CELLS}/{cell}":
            meant = (int(row["labels"]), row["mode"])
            return next(entry for entry in comparison["summary"] if (entry["labels"], entry["mode"]) == meant)
    return None


def _cells(config: Experiment) -> list[Entry]:
    """Return all cells and baselines of a comparison, those that know no invariances last."""
    return [*entries(config), *ablated(config)]


def _fingerprint(config: Experiment, cells: Sequence[Entry], source: str) -> str:
    """Return the fingerprint of a comparison; it takes moments, so any change of the source makes it again."""
    inputs = [cell.inputs for cell in cells]
    return fingerprint({"stage": "compare", "cells": inputs, "margin": config.grid.margin, "source": source})


# --- making it ------------------------------------------------------------------------------------------------


def write(config: Experiment) -> Comparison:
    """Compare the entries of the grid, which are all trained; write results.csv and comparison.json.

    Raises:
        PipelineError: If an entry is missing or was changed, or the folder cannot be written.
    """
    from pipeline.artefacts import cell_groups
    from pipeline.artefacts.arm_health import examine_arms
    from pipeline.evaluation.crossed import LEVEL
    from pipeline.evaluation.per_class import unevenness

    groups = cell_groups.grouped(config, entries(config))
    without = cell_groups.grouped(config, ablated(config))
    comparison: Comparison = {
        "dataset": config.data.title,
        "pretraining": encoder.describe(config),
        "level": LEVEL,
        "draws": config.grid.draws,
        "encoders": config.grid.encoders,
        "margin": config.grid.margin / 100,
        "unevenness": unevenness(groups[0].truth),
        "summary": [cell_groups.summary(group) for group in groups],
        "paired": cell_groups.paired(groups, config.grid.margin / 100),
        "flags": examine_arms(config.folder, [group.rows for group in groups]),
        "bought": cell_groups.bought(groups, without),
        "source": provenance.source_sha256(),
    }
    files = {RESULTS: disk.as_csv([row for group in groups for row in group.rows])}
    if without:
        files[ABLATION] = disk.as_csv([row for group in without for row in group.rows])
    return _record(config.folder).write(_fingerprint(config, _cells(config), comparison["source"]), comparison, files)
