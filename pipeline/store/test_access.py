"""The book of looks at the test set: each is written down before it is taken, and the report shows who looked twice.

E_out counts once. A cell that is measured again, because its folder was removed or its process killed, sees the same
images again; cells of other settings, from which the best is then picked, make E_out too good to be true.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

from pipeline.store import disk, provenance

FILE = "test_looks.jsonl"


@dataclass(frozen=True)
class Looks:
    """Who looked at the test set of some data, as far as an experiment's folder tells.

    Attributes:
        taken: How often the test set was opened in all.
        again: Cells that opened it more than once, each with how often.
        settings: The largest number of settings under which the same mode, budget and draw was measured.
    """

    taken: int
    again: dict[str, int]
    settings: int


class Entry(TypedDict):
    """One line of the book: which cell opened the test set, what it was made from, of which data, and when."""

    what: str
    fingerprint: str
    data: str
    time: str


def take(experiment: Path, what: str, fingerprint: str, data: str) -> None:
    """Write down that the test set is about to be opened, and say so if it is not the first time.

    Args:
        experiment: The experiment's folder.
        what: Which cell opens it, such as "cells/frozen-100-0".
        fingerprint: The fingerprint of all that the cell is made from.
        data: The SHA-256 of the data.

    Raises:
        PipelineError: If it cannot be written.
    """
    known = [(entry["what"], entry["fingerprint"]) for entry in _entries(experiment, data)]
    before = known.count((what, fingerprint))
    entry: Entry = {"what": what, "fingerprint": fingerprint, "data": data, "time": provenance.now()}
    disk.append_line(experiment / FILE, json.dumps(entry))
    if before:
        print(f"{what}: look number {before + 1} of the same cell at the test set; the report will say so")


def read(experiment: Path, data: str) -> Looks:
    """What was written down about this data."""
    cells: dict[str, int] = {}
    fingerprints: dict[str, set[str]] = {}
    for entry in _entries(experiment, data):
        cell = f"{entry['what']}-{entry['fingerprint'][:8]}"
        cells[cell] = cells.get(cell, 0) + 1
        fingerprints.setdefault(entry["what"], set()).add(entry["fingerprint"])
    again = {cell: count for cell, count in cells.items() if count > 1}
    return Looks(sum(cells.values()), again, max(map(len, fingerprints.values()), default=0))


def _entries(experiment: Path, data: str) -> Iterator[Entry]:
    """The lines about this data; one that a kill has cut short, or that is none of ours, is passed over."""
    try:
        lines = (experiment / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        ours = isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in ("what", "fingerprint"))
        if ours and entry.get("data") == data:
            yield cast(Entry, entry)
