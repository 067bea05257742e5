"""Stage doctor through the command line: nothing wrong is OK, and whatever is wrong is named with its remedy."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
import torch

from pipeline.config import InvariancesConfig, NetworkConfig, PretrainConfig, RuntimeConfig
from pipeline.datasets.readers import mnist
from pipeline.learning import step_time
from pipeline.stages import doctor
from tests.conftest import Run


def lines(text: str) -> dict[str, tuple[str, str]]:
    """Verdict and finding of each check."""
    checks = [line for line in text.splitlines() if line.startswith(("OK", "BROKEN"))]
    return {line[8:22].strip(): (line[:6].strip(), line[22:]) for line in checks}


def test_a_whole_installation_is_ok_and_nothing_is_changed(
    runs: Path, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    assert tiny("doctor") == 0
    said = lines(capsys.readouterr().out)
    assert set(said) == set(doctor.CHECKS)
    assert {verdict for verdict, _ in said.values()} == {"OK"}
    assert "packages are recent enough" in said["packages"][1]
    assert said["data"][1].startswith("digits, SHA-256 059201e4067df5ec")
    assert "takes cpu" in said["device"][1] or "takes cuda" in said["device"][1] or "takes mps" in said["device"][1]
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before
    assert tiny("doctor", "--name=new", f"--data.root={tmp_path / 'not' / 'yet'}", "--runtime.precision=bf16") == 0
    said = lines(capsys.readouterr().out)
    assert "not prepared yet; `python -m pipeline data` does it" in said["data"][1]
    assert said["data folder"][1] == f"{tmp_path / 'not' / 'yet'} can be made in {tmp_path}"
    assert said["precision"][1].startswith("bf16, on hardware that")


def test_what_is_broken_is_named_with_its_remedy_and_the_status_is_one(
    runs: Path, tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archives = Path(shutil.copytree(mnist.ARCHIVES, tmp_path / "archives"))
    (archives / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"others"))
    monkeypatch.setattr(mnist, "ARCHIVES", archives)
    monkeypatch.setattr(doctor, "NEEDED", 2**80)
    monkeypatch.setattr(doctor, "_requirements", lambda: ["torch>=99", "numpy>=1"])
    [card] = (runs / "tiny").glob("data-*/card.json")
    card.write_bytes(card.read_bytes().replace(b"digits", b"didits"))
    occupied = tmp_path / "occupied"
    occupied.write_text("mine")
    assert tiny("doctor", "--runtime.accelerator=abacus", f"--data.root={occupied}") == 1
    captured = capsys.readouterr()
    said = lines(captured.out)
    broken = {name for name, (verdict, _) in said.items() if verdict == "BROKEN"}
    assert broken == {"packages", "device", "bundled data", "data", "data folder", "disk"}
    assert captured.out.count("-> ") == len(broken)
    assert "needs >=99" in said["packages"][1]
    for remedy in (
        "'abacus' cannot be used",
        "t10k-labels-idx1-ubyte (its SHA-256 differs); install the package again",
        "card.json is not the file that was written",
        "make it writable, or choose another folder",
        "choose another folder with --runs",
    ):
        assert remedy in captured.out
    assert f"{len(broken)} of {len(said)} checks failed: packages, device" in captured.err


def test_an_installed_package_is_held_against_what_it_was_installed_with(
    tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"packages": doctor.CHECKS["packages"]})
    counts = []
    for checkout in (True, False):
        monkeypatch.setattr(doctor, "is_checkout", lambda checkout=checkout: checkout)
        assert tiny("doctor") == 0
        counts.append(lines(capsys.readouterr().out)["packages"][1])
    assert counts[0] == counts[1]
    assert "packages are recent enough" in counts[0]


def test_a_check_that_dies_does_not_take_the_others_with_it(
    tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(config: object) -> doctor.CheckResult:
        raise ImportError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setitem(doctor.CHECKS, "torchvision", die)
    assert tiny("doctor") == 1
    said = lines(capsys.readouterr().out)
    assert said["torchvision"] == ("BROKEN", "ImportError: libcudart.so.13: cannot open shared object file")
    assert [verdict for verdict, _ in said.values()].count("OK") == len(said) - 1


@pytest.mark.parametrize(("bfloat16", "advice"), [(0.004, False), (0.016, True)])
def test_a_step_is_timed_both_ways_and_the_slower_rule_is_named(
    bfloat16: float, advice: bool, tiny: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        step_time, "_seconds", lambda a, b, runtime, d: bfloat16 if runtime.precision == "bf16" else 0.008
    )
    monkeypatch.setattr("pipeline.training.precision.computes_bfloat16", lambda accelerator: True)
    assert tiny("doctor", "--runtime.precision=auto") == 0
    said = lines(capsys.readouterr().out)["precision"][1]
    assert f"8 ms in float32, {1000 * bfloat16:.0f} ms in bfloat16" in said
    assert ("runtime.precision 32 would be 2.0 times as fast here" in said) == advice


def test_timing_steps_takes_time_and_no_random_numbers() -> None:
    torch.manual_seed(3)
    settings = PretrainConfig(encoder=NetworkConfig("mlp", (4,)), decoder=NetworkConfig("mlp", (4,)), batch_size=8)
    times = step_time.measure_steps(settings, InvariancesConfig(), RuntimeConfig(), (1, 8, 8))
    assert min(times.float32, times.bfloat16) > 0
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))


def test_machines_that_take_auto_differently_make_different_encoders_and_cells(
    tiny: Run, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("--runtime.precision=auto", "--pretrain.epochs=1", "--name=auto")
    assert tiny("data", *settings) == 0
    for native in (True, False):
        monkeypatch.setattr("pipeline.training.precision.computes_bfloat16", lambda accelerator, native=native: native)
        assert tiny("pretrain", *settings) == 0
        assert tiny("train", "--mode=frozen", "--labels=50", *settings) == 0
    for kind in ("pretrain", "cells/frozen"):
        manifests = [json.loads(path.read_text()) for path in (runs / "auto").glob(f"{kind}-*/manifest.json")]
        assert {manifest["inputs"]["precision"] for manifest in manifests} == {"32", "bf16"}
