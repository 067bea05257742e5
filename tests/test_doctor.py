"""Stage doctor through the command line: nothing wrong is OK, and whatever is wrong is named with its remedy."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

from pipeline.datasets.readers import mnist
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
