"""Precision "auto" is what it comes to on this machine, in every fingerprint and on every worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pipeline.config import Experiment, RuntimeConfig
from pipeline.training import precision
from pipeline.training.precision import computes_bfloat16, resolve_precision, with_fixed_precision
from tests.conftest import Run


def test_the_system_s_files_say_what_torch_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    capable = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    assert computes_bfloat16.__wrapped__("cpu") == capable
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "none")  # as on other systems: torch is asked
    assert computes_bfloat16.__wrapped__("cpu") == capable
    made_up = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "CPUINFO", made_up)
    for flags, expected in (("fma avx512_bf16 avx2", True), ("fma avx512_bf16x avx2", False)):
        made_up.write_text(f"processor : 0\nflags : {flags}\n")
        assert computes_bfloat16.__wrapped__("cpu") == expected


def test_what_is_set_wins_and_auto_becomes_what_it_means() -> None:
    assert resolve_precision(RuntimeConfig(precision="32")) == "32"
    assert resolve_precision(RuntimeConfig(precision="bf16")) == "bf16"
    fixed = with_fixed_precision(Experiment()).runtime.precision
    assert fixed == resolve_precision(RuntimeConfig())
    assert fixed in ("32", "bf16")


def test_auto_is_the_same_encoder_and_cell_as_the_precision_that_it_means(
    runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = resolve_precision(RuntimeConfig())
    other = {"32": "bf16", "bf16": "32"}[means]
    for setting in ("auto", means):
        assert tiny("train", "--mode=frozen", f"--runtime.precision={setting}") == 0
    [encoder] = (runs / "tiny").glob("pretrain-*")
    assert json.loads((encoder / "manifest.json").read_text())["inputs"]["precision"] == means
    assert len(list((runs / "tiny").glob("cells/frozen-*/"))) == 1
    assert tiny("train", "--mode=frozen", f"--runtime.precision={other}") == 2  # its encoder is not there
