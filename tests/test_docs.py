"""docs/datasets.md does what it says: its blocks are written and run in their order. So does the README's example."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli import main

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# the page is about data: whether training goes well is not asked here
QUICK = ["--pretrain.epochs=1", "--grid.jobs=1", "--grid.draws=1"]
QUICK += [f"--train.{mode}.max_epochs=1" for mode in ("frozen", "finetune", "scratch")]


def commands(line: str) -> Iterator[list[str]]:
    """The pipeline's arguments for a line of shell; a make target is the stage of the same name."""
    words = shlex.split(line)
    if words[:3] == ["python", "-m", "pipeline"]:
        yield words[3:]
        return
    assert words.pop(0) == "make"
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    targets = [word for word in words if "=" not in word] or ["data", "pretrain", "compare", "report"]
    for target in targets:
        quick = [] if target == "check-dataset" else QUICK
        yield [
            target,
            f"--config={variables.get('CONFIG', 'configs/mnist.yaml')}",
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
    assert run == 8
    text = capsys.readouterr().out
    assert "--grid.labels [20, 200] --pretrain.holdout" in text
    assert (tmp_path / "runs" / "pictures" / "report.html").exists()


def test_the_estimators_example_works(capsys: pytest.CaptureFixture[str]) -> None:
    [example] = (text for _, text in BLOCK.findall((ROOT / "README.md").read_text()) if "pipeline.estimators" in text)
    quick = example.replace("epochs=10", "epochs=1, max_epochs=1", 2).replace("epochs=10", "epochs=1")
    assert quick.count("max_epochs=1") == 2
    exec(compile(quick, "README.md", "exec"), {})
    score, best, spread = capsys.readouterr().out.splitlines()
    assert 0 <= float(score) <= 1
    assert "mode" in best
    assert float(spread) > 0.5


def test_readme_and_help_name_every_data_set() -> None:
    from pipeline.config import DataConfig
    from pipeline.datasets.base import BUILT_IN

    for name in BUILT_IN:
        assert name in (DataConfig.__doc__ or ""), name
        assert f"`{name}`" in (ROOT / "README.md").read_text(), name
