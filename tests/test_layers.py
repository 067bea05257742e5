"""Imports point downwards only; a stage that is finished is recognised without importing torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pipeline

ROOT = Path(pipeline.__file__).parent

# from the top; a module may import from its own layer and from those below
LAYERS = (
    ("__main__", "cli", "estimators"),
    ("stages", "artefacts", "studies", "report"),
    ("learning", "parallel"),
    ("methods", "evaluation"),
    ("training",),
    ("models", "datasets"),
    ("store",),
    ("config",),
    ("modes", "plugins"),
    ("errors", "extras", "settings_text", "_torchvision_repair", "__init__"),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def imports(path: Path) -> set[str]:
    """First names below pipeline that a file imports at run time, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("pipeline.")}
    return found


def test_imports_point_downwards() -> None:
    upwards = []
    for path in sorted(ROOT.rglob("*.py")):
        own = path.relative_to(ROOT).with_suffix("").parts[0]
        upwards += [f"{own} -> {other}" for other in imports(path) if RANK[other] < RANK[own]]
    assert upwards == []


def test_models_know_nothing_of_data_sets_files_or_configs() -> None:
    for path in sorted((ROOT / "models").glob("*.py")):
        assert imports(path) <= {"models"}, path.name


def test_the_command_line_starts_without_what_takes_seconds_to_import() -> None:
    code = "import sys, pipeline.cli as cli; cli.stage_parser('compare'); print({'torch', 'scipy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
