"""Imports point downwards only and never in a circle; what lies in ``stages/`` are commands; a finished stage is
recognised without importing torch."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.commands import COMMANDS

ROOT = Path(pipeline.__file__).parent

# from the top; a module may import from its own layer and from those below
LAYERS = (
    ("__main__", "cli", "parsers", "commands", "estimators"),
    ("stages",),
    ("studies", "report"),
    ("artefacts",),
    ("learning", "parallel"),
    ("methods",),
    ("evaluation", "labelling", "choosing"),
    ("training",),
    ("datasets",),
    ("models",),
    ("store",),
    ("config",),
    ("modes", "plugins"),
    ("errors", "extras", "source_code", "invocation", "settings_text", "_torchvision_repair", "__init__"),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

MODULES = {
    ".".join(("pipeline", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def imports(module: str) -> set[str]:
    """The modules of the package that a module imports, wherever the import stands: in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return (found & set(MODULES)) - {module, "pipeline"}


def top(module: str) -> str:
    """A module's place in ``LAYERS``."""
    return "__init__" if module == "pipeline" else module.split(".")[1]


def test_imports_point_downwards() -> None:
    upwards = []
    for module in MODULES:
        upwards += [f"{module} -> {other}" for other in imports(module) if RANK[top(other)] < RANK[top(module)]]
    assert upwards == []


def test_imports_make_no_circle() -> None:
    try:
        graphlib.TopologicalSorter({module: imports(module) for module in MODULES}).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_stages_are_commands_and_commands_are_stages() -> None:
    stages = {module.rsplit(".", 1)[1] for module in MODULES if module.startswith("pipeline.stages.")}
    assert {command.replace("-", "_") for command in COMMANDS} == stages
    assert {command.run.__module__ for command in COMMANDS.values()} == {f"pipeline.stages.{stage}" for stage in stages}


def test_models_know_nothing_of_data_sets_files_or_configs() -> None:
    for module in MODULES:
        if top(module) == "models":
            assert {top(other) for other in imports(module)} <= {"models"}, module


def test_the_command_line_starts_without_what_takes_seconds_to_import() -> None:
    code = "import sys; from pipeline.parsers import stage_parser; stage_parser('all'); "
    code += "print({'torch', 'scipy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_classifiers_are_used_and_mnist_is_read_without_importing_what_trains() -> None:
    code = "import sys; import pipeline.datasets.readers.mnist, pipeline.evaluation.calibration; "
    code += "import pipeline.models.deployed, pipeline.training.device, pipeline.training.networks; "
    code += "print({'pytorch_lightning', 'torchmetrics', 'torchvision'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
