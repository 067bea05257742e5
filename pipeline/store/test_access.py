"""The book of looks at the test set: each is written down before it is taken, and the report shows who looked twice.

E_out counts once. A cell that is measured again, because its folder was removed or its process killed, sees the same
images again; cells of other settings, from which the best is then picked, make E_out too good to be true.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.store import disk, provenance

FILE = "test_looks.jsonl"


@dataclass(frozen=True)
class Looks:
    """Who looked at the test set of some data, as far as an experiment's folder tells.

    Attributes:
        taken: Looks in all.
        again: Cells that took more than one, each with the number of its looks.
        settings: Of a mode, budget and draw: the most settings under which the same was measured.
    """

    taken: int
    again: dict[str, int]
    settings: int


def take(experiment: Path, what: str, mark: str, data: str) -> None:
    """Write down that the test set is about to be looked at, and say so if it is not the first time.

    Args:
        experiment: The experiment's folder.
        what: Which cell looks, such as "cells/frozen-100-0".
        mark: Fingerprint of all that it is made from.
        data: SHA-256 of the data.

    Raises:
        PipelineError: It cannot be written.
    """
    before = sum(entry["what"] == what and entry["mark"] == mark for entry in _entries(experiment, data))
    line = json.dumps({"what": what, "mark": mark, "data": data, "time": provenance.now()})
    disk.append_line(experiment / FILE, line)
    if before:
        print(f"{what}: look number {before + 1} of the same cell at the test set; the report will say so")


def read(experiment: Path, data: str) -> Looks:
    """What was written down about this data."""
    cells: dict[str, int] = {}
    marks: dict[str, set[str]] = {}
    for entry in _entries(experiment, data):
        cell = f"{entry['what']}-{entry['mark'][:8]}"
        cells[cell] = cells.get(cell, 0) + 1
        marks.setdefault(entry["what"], set()).add(entry["mark"])
    again = {cell: count for cell, count in cells.items() if count > 1}
    return Looks(sum(cells.values()), again, max(map(len, marks.values()), default=0))


def _entries(experiment: Path, data: str) -> Iterator[dict[str, Any]]:
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
        ours = isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in ("what", "mark"))
        if ours and entry.get("data") == data:
            yield entry
