"""The comparison of finished experiments; differences are paired where data, draws and protocol are the same."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artefacts import cell_files, comparison, encoder
from pipeline.artefacts.cell_files import SeenLabels
from pipeline.artefacts.results import (
    QUANTITIES,
    Compared,
    Comparison,
    Quantity,
    RunDifference,
    RunRow,
    RunSummary,
    SettingDifference,
    SummaryRow,
    paired_figures,
)
from pipeline.config import JsonObject
from pipeline.invocation import command
from pipeline.store import disk
from pipeline.store.artefact import Artefact
from pipeline.store.fingerprints import digest
from pipeline.store.manifest import open_artefact

if TYPE_CHECKING:
    import numpy.typing as npt

RESULTS, COMPARED = "compared.csv", "compared.json"

_KEY = ("stage", "mode", "labels", "seed")  # inputs by which cells are matched, so that they never differ in a pair


@dataclass(frozen=True)
class ComparedCell:
    """A cell or a baseline of an experiment.

    Attributes:
        row: The cell's line of results.csv.
        folder: The cell's folder.
        fingerprint: The fingerprint of all that the cell was made from.
        protocol: The settings that have to be equal in two cells for their difference to be paired.
        treatment: The settings of the encoder that the cell started from, which may differ.
    """

    row: dict[str, str]
    folder: Path
    fingerprint: str
    protocol: JsonObject
    treatment: JsonObject


Key = tuple[int, str]  # label budget and mode
Place = tuple[int, int]  # draw, and number of the encoder, of a cell among those of the same budget and mode


@dataclass(frozen=True)
class Finished:
    """A finished experiment.

    Attributes:
        letter: The letter by which tables name it.
        folder: The experiment's folder.
        comparison: The comparison of its cells.
        cells: The cells by budget and mode, and then by draw and encoder.
    """

    letter: str
    folder: Path
    comparison: Comparison
    cells: dict[Key, dict[Place, ComparedCell]]


def artefact(compared: Compared) -> Artefact[None]:
    """Return the artefact that holds the result of ``compare``, below the runs folder of the first experiment."""
    return Artefact(
        Path(compared["runs"][0]["folder"]).absolute().parent / "compared",
        "runs",
        {"stage": "compare-runs", "compared": compared},
        lambda folder: _write(compared, folder),
        "run it again",
    )


def compare(folders: Sequence[Path]) -> Compared:
    """Compare the experiments in these folders with the first of them.

    Raises:
        PipelineError: If stage compare has not run for one of them, or a file of it was changed.
    """
    found = [_read(chr(ord("A") + number), folder) for number, folder in enumerate(folders)]
    first, others = found[0], found[1:]
    compared: Compared = {
        "level": first.comparison["level"],
        "runs": [_run(one) for one in found],
        "differences": [],
        "summary": [_summary(one, row) for one in found for row in one.comparison["summary"]],
        "paired": [],
    }
    for other in others:
        compared["differences"] += _differences(first, other)
        compared["paired"] += _paired(first, other)
    return compared


def _read(letter: str, folder: Path) -> Finished:
    compared, rows = comparison.read(folder)
    pretraining = functools.cache(functools.partial(_pretraining, folder))  # many cells share one
    cells: dict[Key, dict[Place, ComparedCell]] = {}
    for row in rows:  # by draw and encoder
        own = cells.setdefault((int(row["labels"]), row["mode"]), {})
        draw = int(row["seed"])
        number = sum(other == draw for other, _ in own)
        own[draw, number] = _cell(folder, row, pretraining)
    return Finished(letter, folder, compared, cells)


def _cell(folder: Path, row: dict[str, str], pretraining: Callable[[str], JsonObject]) -> ComparedCell:
    manifest = open_artefact(folder / row["cell"], f"run `{command('compare')}` for it again")
    protocol = _flat({name: value for name, value in manifest["inputs"].items() if name not in _KEY})
    encoder_settings = [name for name in protocol if name.startswith(("encoder.", "code.pretrain."))]
    treatment = {name: protocol.pop(name) for name in encoder_settings}
    if "pretrained" in protocol:
        treatment = pretraining(protocol.pop("pretrained"))
    split = folder / row["cell"] / "split.json"
    if split.exists():  # a baseline trains on the whole budget and has no split
        protocol["labelled images (SHA-256)"] = _labelled(split)
    return ComparedCell(row, folder / row["cell"], manifest["fingerprint"], protocol, treatment)


def _labelled(path: Path) -> str:
    """Return the SHA-256 of which images were labelled; the names of their files do not count."""
    seen: dict[str, SeenLabels] = disk.read_json(path, f"run `{command('compare')}` for it again")
    return digest({part: [own["index"], own["sha256"]] for part, own in seen.items()})


def _pretraining(folder: Path, fingerprint: str) -> JsonObject:
    """Return the settings of the pretraining with this fingerprint, by dotted name."""
    made_from = encoder.find_manifest(folder, fingerprint)["inputs"]
    settings = {f"pretrain.{name}": value for name, value in made_from["pretrain"].items()}
    return settings | {"invariances": made_from.get("invariances", {}), "code": made_from.get("code", {})}


def _flat(settings: JsonObject) -> JsonObject:
    """Return settings by dotted name, such as "train.length"; sections are one level deep."""
    flat: JsonObject = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": entry for key, entry in value.items()}
        else:
            flat[name] = value
    return flat


# --- differences between the experiments     -------------------------------------------------------------------


def _run(one: Finished) -> RunRow:
    found = one.comparison
    return {
        "run": one.letter,
        "folder": str(one.folder),
        "fingerprint": found["fingerprint"],
        "dataset": found["dataset"],
        "pretraining": found["pretraining"],
        "draws": found["draws"],
    }


def _summary(one: Finished, row: SummaryRow) -> RunSummary:
    return {
        "run": one.letter,
        "labels": row["labels"],
        "mode": row["mode"],
        "draws": row["draws"],
        "e_in": row["e_in"],
        "e_out": row["e_out"],
        "gap": row["gap"],
    }


def _differences(first: Finished, other: Finished) -> list[SettingDifference]:
    """Return the settings in which two experiments differ, each once."""
    said: dict[str, SettingDifference] = {}
    for kind, setting, a, b in (*_grids(first, other), *_settings(first, other)):
        if a != b:
            values = {first.letter: a, other.letter: b}
            said.setdefault(setting, {"run": other.letter, "kind": kind, "setting": setting, "values": values})
    return list(said.values())


def _grids(first: Finished, other: Finished) -> Iterator[tuple[str, str, Any, Any]]:
    yield "grid", "budgets", _parts(first, 0), _parts(other, 0)
    yield "grid", "modes", _parts(first, 1), _parts(other, 1)
    for key in _shared(first, other):
        name = f"draws of {key[1]} at {key[0]} labels"
        yield "grid", name, _draws(first, key), _draws(other, key)


def _draws(one: Finished, key: Key) -> list[int]:
    return sorted({draw for draw, _ in one.cells[key]})


def _parts(one: Finished, number: int) -> list[Any]:
    return sorted({key[number] for key in one.cells})


def _settings(first: Finished, other: Finished) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield the kind, the name, and both values of every setting of the cells that both experiments have."""
    for key in _shared(first, other):
        for one, another in _pairs(first, other, key):
            a, b = one.protocol, another.protocol
            yield "protocol", "data", a["data"], b["data"]
            if a["data"] != b["data"]:
                continue  # all other differences may follow from it
            for setting in sorted({*a, *b} - {"data"}):
                yield "protocol", f"{key[1]}: {setting}", a.get(setting), b.get(setting)
            for setting in sorted({*one.treatment, *another.treatment}):
                yield "treatment", setting, one.treatment.get(setting), another.treatment.get(setting)


def _paired(first: Finished, other: Finished) -> Iterator[RunDifference]:
    """Yield the differences, first minus other, over the draws that both have.

    Nothing is yielded for a budget and mode if a protocol differs or the cells are the same.
    """
    from pipeline.evaluation.statistics import paired_difference

    for key in _shared(first, other):
        pairs = _pairs(first, other, key)
        same_protocol = all(one.protocol == another.protocol for one, another in pairs)
        same_cells = all(one.fingerprint == another.fingerprint for one, another in pairs)
        if not pairs or same_cells or not same_protocol:
            continue
        labels, mode = key
        for quantity in QUANTITIES:
            a, b = (_table(quantity, [pair[side] for pair in pairs]) for side in (0, 1))
            yield {
                **paired_figures(paired_difference(a, b)),
                "labels": labels,
                "mode": mode,
                "first": first.letter,
                "second": other.letter,
                "quantity": quantity,
            }


def _shared(first: Finished, other: Finished) -> list[Key]:
    return [key for key in first.cells if key in other.cells]


def _pairs(first: Finished, other: Finished, key: Key) -> list[tuple[ComparedCell, ComparedCell]]:
    """Pair the cells of the draws and encoders that both experiments have, in the order of draw and encoder."""
    a, b = first.cells[key], other.cells[key]
    return [(a[place], b[place]) for place in sorted(a) if place in b]


def _table(quantity: Quantity, cells: Sequence[ComparedCell]) -> npt.NDArray[Any]:
    """Return an error of cells as a table, shape (draws, encoders, images), or (draws, encoders, 1) for E_in."""
    import numpy as np

    draws = len({cell.row["seed"] for cell in cells})
    if quantity == "e_in":
        values = np.array([[float(cell.row["e_in"])] for cell in cells])
    else:
        values = np.stack([np.not_equal(*cell_files.read_tested(cell.folder)) for cell in cells])
    return values.reshape(draws, -1, values.shape[1])


def _write(compared: Compared, folder: Path) -> None:
    disk.write_json(folder / COMPARED, compared)
    rows = []
    for summary in compared["summary"]:
        row: dict[str, object] = {
            "run": summary["run"],
            "labels": summary["labels"],
            "mode": summary["mode"],
            "draws": summary["draws"],
        }
        for name, interval in (("e_in", summary["e_in"]), ("e_out", summary["e_out"]), ("gap", summary["gap"])):
            row |= {f"{name}_{part}": value for part, value in interval.items()}
        rows.append(row)
    disk.write_csv(folder / RESULTS, rows)
