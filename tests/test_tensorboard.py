from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest

from pipeline import extras
from tests.conftest import Run
from tests.test_command_line import snapshot

LOGGED = ("--pretrain.seed=5", "--runtime.tensorboard=true")


def weights(runs: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (runs / "tiny").glob("pretrain-*/*")
        if path.name != "manifest.json"
    }


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="the extra [tensorboard] is missing")
def test_the_curves_are_those_of_history_and_nothing_else_changes(runs: Path, tiny: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from pipeline.store.disk import read_columns

    assert tiny("pretrain", *LOGGED) == 0
    (folder,) = (runs / "tiny" / "tensorboard").glob("pretrain-*")
    events = EventAccumulator(str(folder))
    events.Reload()
    history = read_columns(runs / "tiny" / folder.name / "history.csv")
    assert set(events.Tags()["scalars"]) == set(history) - {"epoch"}
    for name in events.Tags()["scalars"]:
        assert [event.value for event in events.Scalars(name)] == pytest.approx(history[name])
        assert [event.step for event in events.Scalars(name)] == history["epoch"]
    before = snapshot(runs / "tiny")
    assert tiny("pretrain", "--pretrain.seed=5") == 0  # the same artefact, logged or not
    assert snapshot(runs / "tiny") == before


def test_without_the_package_it_is_refused_before_training(
    runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    before = weights(runs)
    assert tiny("pretrain", *LOGGED) == 2
    assert "runtime.tensorboard needs tensorboard; run `python -m pip install" in capsys.readouterr().err
    assert weights(runs) == before
