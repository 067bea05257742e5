"""The log of access to the test set: each access is written down before it happens, and repeated ones are reported.

E_out is an honest estimate once. It becomes too low if a cell is measured again under other settings and the best
result is picked. A cell may also be measured twice because its folder was removed or its process was killed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

from pipeline.store import disk, provenance, regular_files

FILE = "test_access.jsonl"


@dataclass(frozen=True)
class AccessCounts:
    """How often the test set of some data was opened, as far as an experiment's folder tells.

    Attributes:
        total: The number of times that the test set was opened.
        repeated: The cells that opened it more than once, each with the number of times.
        settings: The largest number of different settings under which one mode, budget and draw was measured.
    """

    total: int
    repeated: dict[str, int]
    settings: int


class Access(TypedDict):
    """One line of the log.

    Attributes:
        what: The cell that opened the test set, such as "cells/frozen-100-0".
        fingerprint: The fingerprint of all that the cell is made from.
        data: The SHA-256 of the data.
        time: The time of the access, with its time zone.
    """

    what: str
    fingerprint: str
    data: str
    time: str


def log(experiment: Path, what: str, fingerprint: str, data: str) -> None:
    """Write down that a cell is about to open the test set, and print a line if the same cell has opened it before.

    The cell is named by its place, such as "cells/frozen-100-0", and by its fingerprint; the data by their SHA-256.

    Raises:
        PipelineError: If the log cannot be written.
    """
    known = [(access["what"], access["fingerprint"]) for access in _read(experiment, data)]
    before = known.count((what, fingerprint))
    access: Access = {"what": what, "fingerprint": fingerprint, "data": data, "time": provenance.now()}
    disk.append_line(experiment / FILE, json.dumps(access))
    if before:
        print(f"{what}: the same cell opens the test set for the {_ordinal(before + 1)} time; the report will say so")


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def count(experiment: Path, data: str) -> AccessCounts:
    """Count the logged accesses to the test set of the data with this SHA-256."""
    cells: dict[str, int] = {}
    fingerprints: dict[str, set[str]] = {}
    for access in _read(experiment, data):
        cell = f"{access['what']}-{access['fingerprint'][:8]}"
        cells[cell] = cells.get(cell, 0) + 1
        fingerprints.setdefault(access["what"], set()).add(access["fingerprint"])
    repeated = {cell: times for cell, times in cells.items() if times > 1}
    return AccessCounts(sum(cells.values()), repeated, max(map(len, fingerprints.values()), default=0))


def _read(experiment: Path, data: str) -> Iterator[Access]:
    """Yield the entries about this data; a line that was cut short by a kill, or has other content, is skipped."""
    path = experiment / FILE
    regular_files.check_regular(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        valid = isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in ("what", "fingerprint"))
        if valid and entry.get("data") == data:
            yield cast(Access, entry)
