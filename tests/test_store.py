from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.store import disk
from pipeline.store.artefact import Artefact
from pipeline.store.manifest import MANIFEST, open_artefact

INPUTS = {"stage": "demo", "epochs": 3}


def make(text: str) -> Any:
    def fill(folder: Path) -> dict[str, Any]:
        (folder / "weights.bin").write_text(text)
        return {"said": text}

    return fill


def artefact(folder: Path, make: Any, name: str = "demo", **changes: Any) -> Artefact[Any]:
    return Artefact(folder, name, INPUTS | changes, make, "remedy")


def refuse(folder: Path) -> dict[str, Any]:
    raise AssertionError("must not be made again")


def test_a_finished_artefact_is_recognised_and_other_settings_make_another(tmp_path: Path) -> None:
    first = artefact(tmp_path / "a", make("one")).build()
    assert artefact(tmp_path / "a", refuse).build() == first
    assert Artefact(tmp_path / "a", "demo", dict(reversed(INPUTS.items())), refuse, "").build() == first
    other = artefact(tmp_path / "a", make("two"), epochs=4).build()
    assert other != first
    assert (first / "weights.bin").read_text() == "one"
    assert open_artefact(first, "")["outcome"] == {"said": "one"}


def test_who_waits_for_another_process_is_told_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(disk, "PATIENCE", 0.01)
    waited_for = artefact(tmp_path, make("x"))
    waiting = threading.Thread(target=waited_for.build)
    with disk.locked(waited_for.folder):
        waiting.start()
        time.sleep(0.3)
    waiting.join()
    assert capsys.readouterr().out == f"another process is making {waited_for.folder}; waiting for it\n"
    assert waited_for.is_finished


def test_an_artefact_is_whole_or_absent_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        artefact(tmp_path / "a", fail).build()
    assert [path.name for path in (tmp_path / "a").iterdir() if not path.name.endswith(".lock")] == []


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "a", refuse).folder
    folder.parent.mkdir(parents=True)
    left_over = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    (left_over / "half").write_text("x")
    foreign = folder.with_name(f".{folder.name}.mine")
    foreign.mkdir()
    artefact(tmp_path / "a", make("one")).build()
    assert {path for path in folder.parent.iterdir() if path.is_dir()} == {folder, foreign}


def test_what_another_experiment_has_made_is_taken_over_and_stands_alone(tmp_path: Path) -> None:
    first = artefact(tmp_path / "a", make("one"), "cells/demo").build()
    second = artefact(tmp_path / "b", refuse, "cells/demo").build()
    assert second.parent.parent == tmp_path / "b"
    (first / "weights.bin").unlink()
    assert open_artefact(second, "")["outcome"] == {"said": "one"}


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_changed_file_is_noticed_and_not_passed_on(damage: str, tmp_path: Path) -> None:
    folder = artefact(tmp_path / "a", make("one")).build()
    if damage == "flip":
        (folder / "weights.bin").write_text("onf")
    else:
        (folder / "weights.bin").unlink()
    with pytest.raises(PipelineError, match="run its stage again"):
        open_artefact(folder, "")
    if damage == "flip":
        with pytest.raises(PipelineError, match=r"weights\.bin"):
            artefact(tmp_path / "b", make("other")).build()
    else:  # it no longer counts as finished
        assert artefact(tmp_path / "a", make("anew")).build() == folder
        assert open_artefact(folder, "")["outcome"] == {"said": "anew"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', '{"files": {"weights.bin": {}}}'])
def test_a_broken_manifest_is_no_finished_artefact(content: str, tmp_path: Path) -> None:
    folder = artefact(tmp_path / "a", make("one")).build()
    (folder / MANIFEST).write_text(content)
    assert not artefact(tmp_path / "a", refuse).is_finished
    with pytest.raises(PipelineError, match=r"is not the file that was written .* delete .* and run its stage again"):
        open_artefact(folder, "remedy")


def test_a_manifest_says_what_it_was_made_from_and_by(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "a", make("one")).build()
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["inputs"] == INPUTS
    assert manifest["files"]["weights.bin"]["sha256"] == disk.sha256_file(folder / "weights.bin")
    assert manifest["provenance"]["packages"]["torch"]


def test_a_write_replaces_the_file_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.csv"
    disk.write_csv(path, [{"a": 0.1, "b": "x"}])
    assert path.read_text() == "a,b\n0.1,x\n"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PipelineError, match=r"cannot write .*results\.csv: No space left on device"):
        disk.write_atomic(path, "b" * 1000)
    assert path.read_text() == "a,b\n0.1,x\n"
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(PipelineError, match=r"cannot write .*/a/demo"):
        artefact(tmp_path / "a", make("one")).build()
    assert (tmp_path / "a").read_text() == "mine"


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        disk.write_json(tmp_path / "metrics.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
