"""The whole pipeline on digits, and everything a user can get wrong, through the real command line."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import config as settings
from pipeline.cli import main
from pipeline.commands import COMMANDS
from pipeline.parsers import stage_parser
from tests.conftest import Run, tiny_arguments

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))

COLUMNS = [
    *("dataset", "pretraining", "mode", "labels", "seed", "sampling", "encoder", "n_train", "n_val", "n_test"),
    *("e_in", "e_val", "e_out", "balanced_error", "macro_f1", "unit", "kept", "last", "seconds", "cell"),
]


def read(runs: Path) -> list[dict[str, str]]:
    with (runs / "tiny" / "results.csv").open() as file:
        return list(csv.DictReader(file))


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def test_compare_trains_the_grid_and_says_what_it_shows(
    runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny("compare") == 0
    *table, path = capsys.readouterr().out.splitlines()  # a path is as long as its folders' names
    assert path == f"compare: {runs / 'tiny' / 'results.csv'}"
    assert max(map(len, table)) <= 100
    rows = read(runs)
    assert list(rows[0]) == COLUMNS
    modes = ("frozen", "finetune", "scratch", "logistic", "pca_logistic", "knn")
    keys = [(row["mode"], row["labels"], row["seed"]) for row in rows]
    assert keys == [(mode, n, seed) for n in ("50", "100") for mode in modes for seed in ("0", "1")]
    for row in rows:
        metrics = json.loads((runs / "tiny" / row["cell"] / "metrics.json").read_text())
        assert float(row["e_out"]) == metrics["e_out"]["errors"] / metrics["e_out"]["n"]
        assert int(row["n_train"]) + int(row["n_val"]) == int(row["labels"])

    comparison = json.loads((runs / "tiny" / "comparison.json").read_text())
    frozen = [float(row["e_out"]) for row in rows if row["mode"] == "frozen" and row["labels"] == "100"]
    finetune = [float(row["e_out"]) for row in rows if row["mode"] == "finetune" and row["labels"] == "100"]
    [summary] = [row for row in comparison["summary"] if (row["mode"], row["labels"]) == ("frozen", 100)]
    assert summary["e_out"]["mean"] == pytest.approx(sum(frozen) / 2)
    low, high = summary["one_run"]["clopper_pearson"]
    assert low < frozen[0] < high
    [paired] = [
        row
        for row in comparison["paired"]
        if (row["first"], row["second"], row["quantity"], row["labels"]) == ("frozen", "finetune", "e_out", 100)
    ]
    assert paired["difference"]["mean"] == pytest.approx((sum(frozen) - sum(finetune)) / 2)
    assert f"{100 * summary['e_out']['mean']:.2f}" in "\n".join(table)


@pytest.mark.usefixtures("own_workers")
def test_the_grid_goes_on_where_it_stopped_and_equals_one_that_never_did(runs: Path, tiny: Run, tmp_path: Path) -> None:
    assert tiny("train", "--mode=finetune", "--labels=50", "--seed=1") == 0
    [alone] = (runs / "tiny" / "cells").glob("finetune-50-1-*")
    made = alone.stat().st_mtime_ns
    small = ("--grid.labels=[50]", "--grid.baselines=false")
    assert tiny("compare", *small) == 0
    assert alone.stat().st_mtime_ns == made
    elsewhere = tmp_path / "elsewhere"
    for stage in ("data", "pretrain", "compare"):
        assert tiny(stage, *small, f"--runs={elsewhere}", "--grid.jobs=2") == 0
    first, second = ([{**row, "seconds": ""} for row in read(root)] for root in (runs, elsewhere))
    assert first == second


def damage(path: Path, kind: str) -> None:
    if kind == "removed":
        shutil.rmtree(path.parent)
    elif kind == "cut short":
        path.write_text("x")
    else:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)


@pytest.mark.compared
def test_a_cell_of_a_finished_comparison_that_is_missing_or_damaged_is_made_again(
    runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    [path] = (runs / "tiny").glob("cells/frozen-50-0-*/predictions.npz")
    results, content = read(runs), path.read_bytes()
    for kind in ("removed", "cut short"):
        damage(path, kind)
        assert tiny("compare", "--grid.baselines=false") == 0
        assert path.read_bytes() == content
    assert [{**row, "seconds": ""} for row in read(runs)] == [{**row, "seconds": ""} for row in results]
    damage(path, "flipped")
    assert tiny("report", "--grid.baselines=false") == 2
    assert f"delete {path.parent} and run its stage again" in capsys.readouterr().err
    damage(path, "removed")
    for stage in ("compare", "report"):
        assert tiny(stage, "--grid.baselines=false") == 0


def test_one_failed_cell_is_reported_and_the_others_are_kept(
    runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--grid.labels=[50]", "--grid.baselines=false", "--grid.modes=[frozen,scratch]")
    broken = ("--train.modes.scratch.head_lr=1e30", "--train.modes.scratch.encoder_lr=1e30")
    assert tiny("compare", *small, *broken) == 2
    message = capsys.readouterr().err
    assert "2 of 4 cells failed" in message
    assert "scratch at 50 labels, draw 1: PipelineError: training diverged" in message
    assert len(list((runs / "tiny").glob("cells/frozen-*/metrics.json"))) == 2
    assert not (runs / "tiny" / "results.csv").exists()
    assert tiny("compare", *small) == 0
    assert len(read(runs)) == 4


def test_a_finished_stage_takes_under_two_seconds_beyond_start_up(runs: Path, tiny: Run) -> None:
    small = ("--grid.labels=[50]", "--grid.baselines=false", "--grid.modes=[frozen]")
    assert tiny("compare", *small) == 0
    for stage in ("data", "pretrain", "compare"):
        code = f"import sys; from pipeline.cli import main; status = main({tiny_arguments(runs, stage, small)!r}); "
        started = time.monotonic()
        result = subprocess.run(
            [sys.executable, "-c", code + "print('torch' in sys.modules); sys.exit(status)"],
            capture_output=True,
            text=True,
            check=True,
        )
        # what makes it quick, rather than a clock on a noisy machine, is that torch is not imported
        assert result.stdout.endswith("False\n"), stage
        assert time.monotonic() - started < 20


# --- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "arguments", "message"),
    [
        ("pretrain", ("--pretrain.epochz=3",), "pretrain.epochz"),
        ("pretrain", ("--pretrain.epochs=three",), "pretrain.epochs"),
        ("pretrain", ("--pretrain.epochs=0",), "pretrain.epochs: 0 is not allowed; expected at least 1"),
        ("pretrain", ("--pretrain.method=gan",), "pretrain.method"),
        (
            "pretrain",
            ("--pretrain.encoder.name=resnet",),
            "pretrain.encoder.name: 'resnet' is unknown; expected one of conv, mlp",
        ),
        ("pretrain", ("--runtime.accelerator=abacus", "--pretrain.seed=5"), "'abacus' cannot be used"),
        ("pretrain", ("--pretrain.seed=5", "--name=other"), "run `python -m pipeline data`"),
        ("data", ("--data.dataset=nope",), "'nope' is unknown; expected one of mnist, digits"),
        ("data", ("--name=../up",), "'../up' is not allowed; expected a plain folder name"),
        ("data", ("--config=nowhere.yaml",), "nowhere.yaml"),
        ("train", ("--mode=nope",), "'nope' is unknown; expected one of frozen, finetune, scratch"),
        (
            "train",
            ("--labels=50", "--train.validation=kfold", "--train.batch_size=3"),
            "train.batch_size: 3 is not allowed; expected at least 4 images",
        ),
        ("train", ("--labels=5",), "error: labels: a budget of 5 is below the number of classes; take at least 10"),
        ("train", ("--labels=100000",), "above the 1437 labelled training images"),
        ("train", ("--labels=many",), "labels"),
        ("train", ("--seed=-1",), "seed: -1 is not allowed"),
        ("pretrain", ("--pretrain.seed=-1",), "pretrain.seed: -1 is not allowed"),
        ("pretrain", ("--pretrain.holdout=5000",), "pretrain.holdout: 5000 of 1437"),
        ("train", ("--pretrain.seed=5",), "run `python -m pipeline pretrain`"),
        ("train", ("--train.modes.frozen.head_first=true",), "train.modes.frozen: head_first: True is not allowed"),
        ("compare", ("--grid.modes=[frozen,nope]",), "grid.modes: 'nope' is not allowed; expected one of frozen"),
        ("compare", ("--train.trials={nope: []}",), "train.trials: 'nope' is not allowed; expected one of frozen"),
        (
            "compare",
            ("--train.trials={scratch: [{clean_fraction: 0.5}]}",),
            "train.trials: settings to choose among are frozen 1, finetune 1, scratch 2; give every mode",
        ),
        ("train", ("--train.trials={nope: []}",), "train.trials: 'nope' is not allowed"),
        (
            "train",
            ("--train.trials={frozen: [{clean_fraction: 0.5}, {folds: 3}]}",),
            "train.trials.frozen, 2 of 2: folds: 3 is not allowed; expected to be the same for all trials",
        ),
        (
            "train",
            ("--train.trials={propagate: [{graph: {neighbours: 3}}]}",),
            "1 of 1: graph.neighbours: 3 is not allowed",
        ),
        (
            "train",
            ("--train.trials={frozen: [{modes: {frozen: {head_lr: -1}}}]}",),
            "1 of 1: train.modes.frozen: head_lr: -1",
        ),
        ("train", ("--train.trials={frozen: [{modes: {frozen: {had_lr: 1}}}]}",), "had_lr"),
        ("compare", ("--grid.labels=[100,100000]",), "above the 1437 labelled training images"),
        ("compare", ("--grid.labels=[100,100]",), "grid.labels: (100, 100) is not allowed"),
        ("compare", ("--pretrain.seed=5",), "run `python -m pipeline pretrain`"),
        ("report", (), "`python -m pipeline compare`"),
    ],
)
def test_bad_input_gets_one_message_and_leaves_everything_as_it_was(
    stage: str, arguments: tuple[str, ...], message: str, runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(runs)
    assert tiny(stage, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert snapshot(runs) == before


def test_a_misspelt_key_in_a_file_is_named(tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("pretrain:\n  epochz: 3\n")
    assert tiny("data", f"--config={path}") == 2
    assert "Group 'pretrain' does not accept option 'epochz'" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["a file", "no such device"])
def test_a_runs_folder_that_cannot_be_written_is_named(
    kind: str, tiny: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "occupied" if kind == "a file" else Path("/proc/nowhere")
    if kind == "a file":
        folder.write_text("mine")
    assert tiny("data", f"--runs={folder}") == 2
    error = capsys.readouterr().err
    assert f"cannot write {folder}" in error
    assert "--runs" in error


def test_a_flipped_byte_in_an_upstream_artefact_is_noticed_before_it_is_used(
    runs: Path, tiny: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    [path] = (runs / "tiny").glob("pretrain-*/backbone.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert tiny("train", "--mode=frozen") == 2
    assert "backbone.safetensors is not the file that was written" in capsys.readouterr().err


# --- configs and help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_parses_and_is_named_after_its_file(path: Path) -> None:
    parser = stage_parser("compare")
    chosen = parser.instantiate(parser.parse_args([f"--config={path}"]))
    if path.parent.name == "studies":
        assert (chosen.name, chosen.study.name) == ("studies", path.stem)
    else:
        assert chosen.name == path.stem


def test_the_default_experiment_is_the_shipped_one_but_for_its_ablation() -> None:
    parser = stage_parser("compare")
    shipped = parser.instantiate(parser.parse_args([f"--config={ROOT / 'configs' / 'mnist.yaml'}"]))
    default = settings.Experiment(grid=settings.GridConfig(ablation=True))
    assert {name: shipped[name] for name in settings.as_dict(default)} == vars(default)


@pytest.mark.parametrize("stage", [name for name, stage in COMMANDS.items() if not stage.operands])
def test_help_explains_every_setting(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([stage, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Share of the label budget that holdout leaves out" in text
    assert "--grid.draws" in text
