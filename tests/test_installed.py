"""What someone gets who installs the wheel: a command of its own, from any folder, and remedies that they have."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipeline.cli import main
from pipeline.estimators import AutoencoderTransformer
from pipeline.invocation import BY_MAKE, PROGRAM, command
from tests.conftest import tiny_arguments

ROOT = Path(__file__).parent.parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")

Installed = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Run a program of a fresh environment that has the wheel, in an empty folder; its status and all that it says."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    shutil.copytree(ROOT / "pipeline", source / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    build = (*PIP, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", source)
    subprocess.run(build, check=True)
    [wheel] = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    binaries = environment / Path(sysconfig.get_path("scripts")).name
    [packages] = environment.rglob("site-packages")
    # what the wheel depends on, as it lies here; the package that is installed here in place is not found this way
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    install = (*PIP, f"--python={binaries / 'python'}", "install", "--no-deps", "--no-index", wheel)
    subprocess.run(install, check=True)
    empty = folder / "empty"
    empty.mkdir()
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", BY_MAKE)}

    def run(*words: str) -> tuple[int, str]:
        result = subprocess.run(
            [binaries / words[0], *words[1:]],
            cwd=empty,
            env=plain,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return result.returncode, result.stdout

    return run


def test_the_console_command_works_from_an_empty_folder(installed: Installed) -> None:
    status, said = installed(PROGRAM, "data", "--name=d", "--data.dataset=digits")
    assert status == 0, said
    assert "1437 training and 360 test images" in said
    status, said = installed("python", "-c", "import pipeline; print(pipeline.__file__)")
    assert "environment" in said


def test_remedies_are_ones_that_this_user_has(installed: Installed) -> None:
    status, said = installed(PROGRAM, "train", "--name=d", "--data.dataset=digits")
    assert status == 2
    assert f"run `{PROGRAM} pretrain` with the same settings first" in said
    status, said = installed("python", "-c", "from pipeline import extras; print(extras.install('onnx'))")
    assert said == "`python -m pip install 'onnx>=1.21' 'onnxruntime>=1.20' 'onnxscript>=0.2'`\n"


def test_commands_are_named_as_the_user_types_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("train", mode="frozen", seed=3) == "python -m pipeline train --mode frozen --seed 3"
    monkeypatch.setattr(sys, "argv", [f"C:/Scripts/{PROGRAM}.exe", "train"])
    assert command("train", mode="frozen") == f"{PROGRAM} train --mode frozen"
    monkeypatch.setenv(BY_MAKE, "train")
    assert command("train", mode="frozen", seed=3) == "make train MODE=frozen SEED=3"


def test_no_message_names_a_command_that_only_some_users_have() -> None:
    """They come from ``invocation.command``; where make is named all the same, the folder of the project is, too."""
    fixed = []
    for path in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = any(word in node.value for word in ("`make ", "run make", "`python -m pipeline"))
                if named and path.name not in ("invocation.py", "extras.py"):
                    fixed.append(f"{path.name}: {node.value}")
    assert fixed == []


def in_a_thread(work: Callable[[], Any]) -> Any:
    """What work returns in a thread that is not the main one, as in a server or some notebooks."""
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(work()))
    thread.start()
    thread.join()
    return outcome[0]


def test_the_stages_run_in_another_thread_and_end_as_in_the_main_one(pretrained_runs: Path, tmp_path: Path) -> None:
    small = ("--grid.jobs=1", "--grid.labels=[50]", "--grid.modes=[scratch]", "--grid.baselines=false")

    def run_stages() -> list[int]:
        return [main(tiny_arguments(tmp_path, stage, small)) for stage in ("data", "pretrain", "compare")]

    assert in_a_thread(run_stages) == [0, 0, 0]
    [made], [expected] = (list(runs.glob("tiny/pretrain-*/embeddings.*")) for runs in (tmp_path, pretrained_runs))
    assert made.read_bytes() == expected.read_bytes()


def test_the_estimators_fit_in_another_thread() -> None:
    images, _ = load_digits(return_X_y=True)

    def embedded() -> Any:
        return AutoencoderTransformer(4, 1, random_state=0).fit(images[:100]).transform(images[:100])

    assert np.array_equal(in_a_thread(embedded), embedded())


WITHOUT_UNIX = """
import os, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("fork", "getuid", "mkfifo", "sched_getaffinity", "sysconf"):
    vars(os).pop(name, None)
from pipeline.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_nothing_is_taken_for_granted_that_only_unix_has(tmp_path: Path) -> None:
    words = ("data", "--data.dataset=digits", "--name=d", f"--runs={tmp_path}", f"--data.root={tmp_path / 'raw'}")
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_UNIX, *words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr
