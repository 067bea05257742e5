"""docs/datasets.md and docs/encoders.md do what they say: their blocks are run. So is the README's example.

Of docs/scaling.md the commands are parsed, and what is cheap is run; the rest is done by test_parallel.py and
test_distributed.py.
"""

from __future__ import annotations

import csv
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import cell_tables, cost, published
from pipeline.cli import main
from pipeline.config import DataConfig, NetworkConfig, TrainConfig, from_parsed
from pipeline.datasets.loading import load
from pipeline.errors import PipelineError
from pipeline.parsers import stage_parser
from pipeline.training.networks import make_encoder
from tests.conftest import tiny_arguments

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# the page is about data: whether training goes well is not asked here
QUICK = ["--pretrain.epochs=1", "--grid.jobs=1", "--grid.draws=1"]
QUICK += ["--pretrain.encoder.widths=[8,16]", "--pretrain.encoder.hidden=[32]"]
QUICK += ["--train.length=2", "--train.evaluations=2", "--train.unlabelled_steps=4"]


def commands(line: str) -> Iterator[list[str]]:
    """The pipeline's arguments for a line of shell; a make target is the stage of the same name."""
    words = shlex.split(line)
    if words[:3] == ["python", "-m", "pipeline"]:
        yield words[3:]
        return
    assert words.pop(0) == "make"
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    targets = [word for word in words if "=" not in word] or ["all"]
    for target in targets:
        quick = [] if target == "check-dataset" else QUICK
        yield [
            target,
            f"--config={variables.get('CONFIG', 'configs/mnist.yaml')}",
            *([f"--images={variables['IMAGES']}"] if "IMAGES" in variables else []),
            *variables.get("ARGS", "").split(),
            *quick,
        ]


def test_the_walk_through_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    run = 0
    for language, text in BLOCK.findall((ROOT / "docs" / "datasets.md").read_text()):
        if language in ("python", "yaml"):
            path = tmp_path / text.split("\n", 1)[0].removeprefix("# ")
            path.write_text(text)
            if language == "python":
                runpy.run_path(str(path))
        elif language == "toml":
            groups = {"pipeline.datasets", "pipeline.encoders", "pipeline.modes"}
            assert set(tomllib.loads(text)["project"]["entry-points"]) == groups
        else:
            assert language == "sh"
            for arguments in (arguments for line in text.splitlines() for arguments in commands(line)):
                assert main(arguments) == 0, arguments
                run += 1
    assert run == 5
    text = capsys.readouterr().out
    assert "--grid.labels [20, 200]" in text
    assert (tmp_path / "runs" / "pictures" / "report.html").exists()


def test_the_estimators_example_works(capsys: pytest.CaptureFixture[str]) -> None:
    [example] = (text for _, text in BLOCK.findall((ROOT / "README.md").read_text()) if "pipeline.estimators" in text)
    quick = example.replace("epochs=10", "epochs=1, train=SHORT", 2).replace("epochs=10", "epochs=1")
    assert quick.count("train=SHORT") == 2
    short = TrainConfig(length=1, unlabelled_steps=4, evaluations=2)
    exec(compile(quick, "README.md", "exec"), {"SHORT": short})
    score, best, spread = capsys.readouterr().out.splitlines()
    assert 0 <= float(score) <= 1
    assert "mode" in best
    assert float(spread) > 0.5


def test_the_page_on_estimators_works(capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, object] = {}
    for language, text in BLOCK.findall((ROOT / "docs" / "estimators.md").read_text()):
        assert language == "python"
        exec(compile(text, "estimators.md", "exec"), seen)
    alone, best, together = capsys.readouterr().out.splitlines()
    assert float(alone.split()[-1]) > 0.5
    assert "pretrain__epochs" in best
    assert float(together.split()[-1]) > 0.8


def test_the_walk_from_make_to_answers_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "using_a_classifier.md").read_text()
    for language, text in BLOCK.findall(page[: page.index("## The commands")]):
        if language == "python":
            exec(compile(text, "using_a_classifier.md", "exec"), {})
        else:
            for arguments in (arguments for line in text.splitlines() for arguments in commands(line)):
                assert main(arguments) == 0, arguments
    assert "left to a person, being the least sure: 10 of 100 images" in capsys.readouterr().out
    [table] = (tmp_path / "runs" / "digits" / "predictions").glob("new.npy-*.csv")
    with table.open() as file:
        assert [row["decided_by"] for row in csv.DictReader(file)].count("person") == 10


def test_an_export_works_in_other_hands(
    compared_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [cell] = (compared_runs / "tiny" / "cells").glob("frozen-100-0-*")
    runs = shutil.copytree(compared_runs / "tiny", tmp_path / "tiny")
    assert main(["export", f"--cell={runs / 'cells' / cell.name}", f"--out={tmp_path / 'model'}"]) == 0
    monkeypatch.chdir(tmp_path / "model")
    np.save("images.npy", load(DataConfig("digits")).test.images.numpy())
    capsys.readouterr()
    seen: dict[str, object] = {}
    page = (ROOT / "docs" / "using_a_classifier.md").read_text()
    blocks = BLOCK.findall(page[page.index("## An export in other hands") :])
    for text in (text for language, text in blocks if language == "python"):
        exec(compile(text, "using_a_classifier.md", "exec"), seen)
    differ, like, groups = capsys.readouterr().out.splitlines()
    assert differ.endswith("0.0000")
    assert "[0, " in like
    assert "images a group" in groups


def test_readme_and_help_name_every_data_set() -> None:
    from pipeline.config import DataConfig
    from pipeline.datasets.loading import BUILT_IN

    for name in BUILT_IN:
        assert name in (DataConfig.__doc__ or ""), name
        assert f"`{name}`" in (ROOT / "README.md").read_text(), name


def write_examples(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Put the files that docs/encoders.md shows where it says; its commands."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "configs").mkdir()
    blocks = BLOCK.findall((ROOT / "docs" / "encoders.md").read_text())
    for _, text in (block for block in blocks if block[0] != "sh"):
        (folder / text.split("\n", 1)[0].removeprefix("# ")).write_text(text)
    return {language: text for language, text in blocks if language == "sh"}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 33, 40)])
def test_the_torchvision_encoder_takes_one_channel_and_three(
    shape: tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_examples(tmp_path, monkeypatch)
    encoder = make_encoder(NetworkConfig("resnet:ResNet", args={"name": "resnet18"}), shape, 5)
    assert encoder.out_features == 5
    assert encoder(torch.rand(2, *shape)).shape == (2, 5)


def test_an_encoder_that_fails_shows_the_lines_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_examples(tmp_path, monkeypatch)
    with pytest.raises(
        PipelineError, match=r"(?s)pretrain.encoder: resnet:ResNet failed.*resnet.py.*Unknown model nope"
    ):
        make_encoder(NetworkConfig("resnet:ResNet", args={"name": "nope"}), (1, 8, 8), 5)
    with pytest.raises(PipelineError, match=r"pretrain.encoder: resnet:ResNet was called with .*'depth'"):
        make_encoder(NetworkConfig("resnet:ResNet", args={"depth": 3}), (1, 8, 8), 5)


@pytest.mark.slow
def test_the_experiment_with_the_torchvision_encoder_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [line] = write_examples(tmp_path, monkeypatch)["sh"].splitlines()  # of the encoder of one's own, which is last
    for arguments in commands(line):
        assert main(arguments) == 0, arguments
    [cell] = (tmp_path / "runs" / "resnet" / "cells").glob("finetune-50-0-*")
    np.save(tmp_path / "images.npy", np.zeros((3, 8, 8), np.uint8))
    predict = ["predict", f"--cell={cell}", "--images=images.npy"]
    assert main([*predict, "--config=configs/resnet.yaml"]) == 0


def scaling() -> str:
    return (ROOT / "docs" / "scaling.md").read_text()


def test_the_commands_in_scaling_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = re.findall(r"-m pipeline ([^\"$`]+?)\"?$", scaling().replace("\\\n", ""), re.MULTILINE)
    assert len(found) == 9
    for stage, *words in map(shlex.split, found):
        parser = stage_parser(stage)
        from_parsed(parser.instantiate(parser.parse_args(words)))


def test_the_costs_in_scaling_are_those_of_the_benchmark() -> None:
    with (ROOT / "docs" / "label_efficiency.csv").open(newline="") as file:
        assert cost.table(list(csv.DictReader(file))) in scaling()


def test_the_errors_on_label_efficiency_are_those_of_the_cells() -> None:
    page = (ROOT / "docs" / "label_efficiency.md").read_text()
    for name in ("label_efficiency", "label_efficiency_cpu", "label_efficiency_trials", "label_efficiency_views"):
        for group, errors in published.read_errors(ROOT / "docs" / f"{name}.csv").items():
            for (mode, labels), table in errors.items():
                assert re.search(rf"\| (\*\*)?{table.mean():.2f}\b", page), (name, group, mode, labels)


def test_the_table_of_methods_is_that_of_the_cells() -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    assert cell_tables.table(cell_tables.read_cells([ROOT / "docs" / "results.csv"])) in page


@pytest.mark.slow
def test_an_array_job_makes_the_cells_that_compare_finds(pretrained_runs: Path, tmp_path: Path) -> None:
    [script] = (text for language, text in BLOCK.findall(scaling()) if language == "bash")
    (tmp_path / "cells.sh").write_text(script)
    _, *settings = tiny_arguments(shutil.copytree(pretrained_runs, tmp_path / "runs"), "")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for task in range(6):
        with_number = {**environment, "SLURM_ARRAY_TASK_ID": str(task)}
        subprocess.run(["bash", tmp_path / "cells.sh", *settings], check=True, cwd=tmp_path, env=with_number)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/tiny/cells/*/manifest.json")}
    assert len(made) == 6
    grid = ("--grid.labels=[50,200]", "--grid.draws=1", "--grid.baselines=false")
    assert main(["compare", *settings, *grid]) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/tiny/cells/*/manifest.json")} == made
