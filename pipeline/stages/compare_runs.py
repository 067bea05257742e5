"""Stage compare-runs: finished experiments side by side; paired where data, draws and protocol are the same."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.report.terminal import runs_table
from pipeline.stages import compare
from pipeline.store import disk, runs

RESULTS, COMPARED = "compared.csv", "compared.json"

_KEY = ("stage", "mode", "labels", "seed")  # what two cells have in common by being looked up


@dataclass(frozen=True)
class Cell:
    """A cell or a baseline of an experiment.

    Attributes:
        row: Of results.csv.
        fingerprint: Of all that it was made from.
        protocol: What has to be equal in two cells for their difference to be paired, by setting.
        treatment: What may differ: the encoder that it started from, by setting.
    """

    row: dict[str, str]
    fingerprint: str
    protocol: dict[str, Any]
    treatment: dict[str, Any]


Key = tuple[int, str]  # budget and mode


@dataclass(frozen=True)
class Run:
    """An experiment: the letter that it has in the table, its comparison, and its cells by budget, mode and draw."""

    letter: str
    folder: Path
    comparison: dict[str, Any]
    cells: dict[Key, dict[int, Cell]]


def run(folders: list[str]) -> Path:
    """Compare the experiments in these folders with the first of them, print it, and return the artefact's folder.

    Raises:
        PipelineError: There are fewer than two, one is not compared yet, or a file of it was changed.
    """
    if not 2 <= len({Path(folder).resolve() for folder in folders}) == len(folders) <= 26:
        raise PipelineError(
            f"folders: {' '.join(folders)!r} is not allowed; expected 2 to 26 different folders of experiments "
            '(make compare-runs RUNS="runs/a runs/b")'
        )
    found = [_read(chr(ord("A") + number), Path(folder)) for number, folder in enumerate(folders)]
    compared = _compare(found)
    made_from = {"stage": "compare-runs", "compared": compared}
    artefact = runs.build(
        found[0].folder.absolute().parent / "compared", "runs", made_from, lambda folder: _write(compared, folder)
    )
    print(runs_table(compared))
    return artefact


def _read(letter: str, folder: Path) -> Run:
    comparison, rows = compare.read(folder)
    pretraining = functools.cache(functools.partial(_pretraining, folder))  # one serves many cells
    cells: dict[Key, dict[int, Cell]] = {}
    for row in rows:
        cells.setdefault((int(row["labels"]), row["mode"]), {})[int(row["seed"])] = _cell(folder, row, pretraining)
    return Run(letter, folder, comparison, cells)


def _cell(folder: Path, row: dict[str, str], pretraining: Callable[[str], dict[str, Any]]) -> Cell:
    manifest = runs.open_artefact(folder / row["cell"], "run `make compare` for it again")
    protocol = _flat({name: value for name, value in manifest["inputs"].items() if name not in _KEY})
    treatment = {name: protocol.pop(name) for name in list(protocol) if name.startswith("encoder.")}
    if "pretrained" in protocol:
        treatment = pretraining(protocol.pop("pretrained"))
    split = folder / row["cell"] / "split.json"
    if split.exists():  # a baseline trains on the whole budget and has none
        protocol["labelled images (SHA-256 of split.json)"] = disk.sha256_file(split)
    return Cell(row, manifest["fingerprint"], protocol, treatment)


def _pretraining(folder: Path, mark: str) -> dict[str, Any]:
    """The settings of the pretraining with this fingerprint."""
    artefact = runs.marked_path(folder, "pretrain", mark)
    settings = runs.open_artefact(artefact, "run `make pretrain` for it again")["inputs"]["pretrain"]
    return {f"pretrain.{name}": value for name, value in settings.items()}


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted name; sections are one level deep."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {name: value}
    return flat


# --- what the experiments say of each other -------------------------------------------------------------------


def _compare(found: list[Run]) -> dict[str, Any]:
    first, others = found[0], found[1:]
    return {
        "level": first.comparison["level"],
        "runs": [
            {
                "run": one.letter,
                "folder": str(one.folder),
                "fingerprint": one.comparison["fingerprint"],
                **{name: one.comparison[name] for name in ("dataset", "pretraining", "draws")},
            }
            for one in found
        ],
        "differences": [difference for other in others for difference in _differences(first, other)],
        "summary": [
            {"run": one.letter, **{name: row[name] for name in ("labels", "mode", "draws", "e_in", "e_out", "gap")}}
            for one in found
            for row in one.comparison["summary"]
        ],
        "paired": [paired for other in others for paired in _paired(first, other)],
    }


def _differences(first: Run, other: Run) -> list[dict[str, Any]]:
    """What the two were made with, where it differs, each thing once."""
    said: dict[str, dict[str, Any]] = {}
    for kind, setting, a, b in (*_grids(first, other), *_settings(first, other)):
        if a != b:
            values = {first.letter: a, other.letter: b}
            said.setdefault(setting, {"run": other.letter, "kind": kind, "setting": setting, **values})
    return list(said.values())


def _grids(first: Run, other: Run) -> Iterator[tuple[str, str, Any, Any]]:
    yield "grid", "budgets", _parts(first, 0), _parts(other, 0)
    yield "grid", "modes", _parts(first, 1), _parts(other, 1)
    for key in _shared(first, other):
        name = f"draws of {key[1]} at {key[0]} labels"
        yield "grid", name, sorted(first.cells[key]), sorted(other.cells[key])


def _parts(one: Run, number: int) -> list[Any]:
    return sorted({key[number] for key in one.cells})


def _settings(first: Run, other: Run) -> Iterator[tuple[str, str, Any, Any]]:
    """Kind, name, and both values of every setting of the cells that both have."""
    for key in _shared(first, other):
        for one, another in _pairs(first, other, key):
            a, b = one.protocol, another.protocol
            yield "protocol", "data", a["data"], b["data"]
            if a["data"] != b["data"]:
                continue  # whatever else differs follows from it
            for setting in sorted({*a, *b} - {"data"}):
                yield "protocol", f"{key[1]}: {setting}", a.get(setting), b.get(setting)
            for setting in sorted({*one.treatment, *another.treatment}):
                yield "treatment", setting, one.treatment.get(setting), another.treatment.get(setting)


def _paired(first: Run, other: Run) -> Iterator[dict[str, Any]]:
    """First minus other over the draws that both have; nothing where a protocol differs or the cells are the same."""
    from pipeline.evaluation.statistics import paired_difference

    for key in _shared(first, other):
        pairs = _pairs(first, other, key)
        same_protocol = all(one.protocol == another.protocol for one, another in pairs)
        same_cells = all(one.fingerprint == another.fingerprint for one, another in pairs)
        if not pairs or same_cells or not same_protocol:
            continue
        for quantity in ("e_in", "e_out"):
            a, b = ([float(pair[side].row[quantity]) for pair in pairs] for side in (0, 1))
            yield {
                "labels": key[0],
                "mode": key[1],
                "first": first.letter,
                "second": other.letter,
                "quantity": quantity,
                **asdict(paired_difference(a, b)),
            }


def _shared(first: Run, other: Run) -> list[Key]:
    return [key for key in first.cells if key in other.cells]


def _pairs(first: Run, other: Run, key: Key) -> list[tuple[Cell, Cell]]:
    """Cells of the draws that both have."""
    a, b = first.cells[key], other.cells[key]
    return [(a[seed], b[seed]) for seed in sorted(a) if seed in b]


def _write(compared: dict[str, Any], folder: Path) -> dict[str, Any]:
    disk.write_json(folder / COMPARED, compared)
    disk.write_csv(
        folder / RESULTS,
        [
            {
                **{name: row[name] for name in ("run", "labels", "mode", "draws")},
                **{f"{name}_{part}": row[name][part] for name in ("e_in", "e_out", "gap") for part in row[name]},
            }
            for row in compared["summary"]
        ],
    )
    return {}
