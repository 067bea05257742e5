"""Stages in processes of their own, forked from one that has imported everything: killing one is cheap, and real."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from pipeline.store.manifest import MANIFEST, open_artefact

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.reliability.imports"])

# seconds a stage, all in the process itself
SMALL = (
    "--name=small",
    "--data.dataset=digits",
    "--pretrain.epochs=4",
    "--pretrain.holdout=100",
    "--pretrain.encoder.name=mlp",
    "--pretrain.encoder.widths=[16]",
    "--pretrain.decoder.widths=[16]",
    "--pretrain.latent=8",
    "--train.length=3",
    "--train.unlabelled_steps=20",
    "--train.evaluations=4",
    "--grid.modes=[frozen,scratch]",
    "--grid.labels=[50]",
    "--grid.draws=2",
    "--grid.jobs=1",
    "--grid.baselines=false",
    "--runtime.threads=1",
)

Before = Callable[[], object]


def start(arguments: Sequence[str], log: Path, before: Before | None = None) -> BaseProcess:
    """Start the command line in a process of its own.

    Args:
        arguments: The stage and its options.
        log: File that standard output and error are added to.
        before: Called in that process first; has to survive the way there.
    """
    process = _CONTEXT.Process(target=_run, args=(list(arguments), log, before))
    process.start()
    return process


def finish(arguments: Sequence[str], log: Path, before: Before | None = None) -> int:
    """Run the command line in a process of its own; the exit status, below 0 for a signal."""
    process = start(arguments, log, before)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run(arguments: list[str], log: Path, before: Before | None) -> None:
    from pipeline.cli import main

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    if before is not None:
        before()
    os._exit(_status(functools.partial(main, arguments)))


def _status(run: Callable[[], int]) -> int:
    try:
        return run()
    except SystemExit as error:
        return int(error.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1


# --- what is done to it ---------------------------------------------------------------------------------------


def die_before_write(number: int) -> None:
    """Kill this process right before the n-th time that it has the disk keep something, or renames or removes it."""
    left = number

    def wrap(function: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return counted

    for name in ("fsync", "replace", "rename", "unlink", "rmdir"):
        setattr(os, name, wrap(getattr(os, name)))


def save_every_epoch() -> None:
    """As if every epoch of a cell took long enough to be saved."""
    from pipeline.training import checkpoints

    checkpoints.BRIEF = 0.0


# --- what is left of it ---------------------------------------------------------------------------------------

_TIMES = ("seconds",)  # what no two trainings have in common


def digests(experiment: Path) -> dict[str, str]:
    """SHA-256 of every file that has to be the same to the bit, by path; files that hold times are left out."""
    return {
        str(path.relative_to(experiment)): hashlib.sha256(_timeless(path)).hexdigest()
        for path in sorted(experiment.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path.suffix not in (".md", ".html")
        if path.name not in ("manifest.json", "comparison.json", "report.json", "test_access.jsonl")
    }


def _timeless(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name in ("metrics.json", "verdict.json"):
        found = json.loads(content)
        for name in (*_TIMES, "provenance", "sha256", "files"):
            found.pop(name, None)
        return json.dumps(found).encode()
    if path.name == "results.csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        return json.dumps([{**row, **dict.fromkeys(_TIMES)} for row in rows]).encode()
    return content


def check_whole(folder: Path) -> int:
    """Assert that whatever looks like an artefact is whole; how many there are."""
    manifests = [path for path in folder.rglob(MANIFEST) if not path.parent.name.startswith(".")]
    for manifest in manifests:
        open_artefact(manifest.parent, "")
    for path in folder.rglob("*.json"):
        if not any(part.startswith(".") for part in path.parts):
            json.loads(path.read_text())
    return len(manifests)


def left_over(folder: Path) -> list[Path]:
    """Hidden files and folders that a finished stage has no use for; locks stay."""
    return [path for path in folder.rglob(".*") if path.suffix != ".lock"]
