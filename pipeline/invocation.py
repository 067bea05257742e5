"""How the user runs the pipeline, so that every message names a command that this user can type."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROGRAM = "fewlabels"  # the console command; pyproject.toml installs it under this name
BY_MAKE = "FEWLABELS_BY_MAKE"  # the Makefile sets this variable to the targets that make was asked for
CHECKOUT = Path(__file__).parent.parent  # the project's folder, where the package is installed from its source


def program() -> str:
    """Return the words before a stage's name, as the user typed them: ``fewlabels``, or ``python -m pipeline``."""
    return PROGRAM if Path(sys.argv[0]).stem == PROGRAM else "python -m pipeline"


def command(stage: str, **options: object) -> str:
    """Return the command that runs a stage with these options of its own, in the form that the user uses now.

    Examples:
        >>> command("train", mode="frozen", labels=100)
        'python -m pipeline train --mode frozen --labels 100'
    """
    if os.environ.get(BY_MAKE):
        return " ".join(["make", stage, *(f"{name.upper()}={value}" for name, value in options.items())])
    return " ".join([program(), stage, *(f"--{name} {value}" for name, value in options.items())])


def targets() -> list[str]:
    """Return the targets that make was asked for; none if the command was not run by make."""
    return os.environ.get(BY_MAKE, "").split()


def is_checkout() -> bool:
    """Whether the package runs from the project's folder, where its dependencies are pinned."""
    return (CHECKOUT / "constraints.txt").is_file()
