"""Where a command may write if the user names the place: over what it wrote itself, and over nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.errors import PipelineError


def check_target(target: Path, inputs: Iterable[Path], is_own: Callable[[Path], bool], kind: str) -> None:
    """Refuse to write over a file that the command reads, or over one that it would not have written.

    An empty file may always be written over.

    Args:
        target: The file to write, as the option ``out`` names it.
        inputs: Files and folders that the command reads, whether they exist or not.
        is_own: Tells whether an existing file is of the kind that the command writes.
        kind: What the command writes, for the message, such as "a table of predictions".

    Raises:
        PipelineError: If the file is one of the inputs, or exists and is of another kind.
    """
    if not target.exists():
        return
    if any(path.exists() and path.samefile(target) for path in inputs):
        raise PipelineError(f"out: {target} is read by this command; name another place")
    if target.stat().st_size and not is_own(target):
        raise PipelineError(f"out: {target} exists and is not {kind}; name another place, or remove it")
