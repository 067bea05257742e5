"""A tiny real experiment on scikit-learn's digits, made once through the command line."""

from __future__ import annotations

import os

# tiny networks gain nothing from more threads, and threads that wait for each other on a busy machine lose a lot;
# torch reads this when it is first imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import copy
import functools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from filelock import FileLock
from joblib.externals.loky import get_reusable_executor

from pipeline.cli import main
from pipeline.config import RuntimeConfig
from pipeline.invocation import program
from pipeline.parsers import stage_parser
from pipeline.training.precision import resolve_precision

# few epochs and steps everywhere: the tests ask whether it works, not how well
TINY = (
    "--name=tiny",
    "--data.dataset=digits",
    "--pretrain.epochs=2",
    "--pretrain.holdout=100",
    "--pretrain.encoder.widths=[8,16]",
    "--pretrain.encoder.hidden=[32]",
    "--pretrain.latent=16",
    "--train.length=3",
    "--train.unlabelled_steps=20",
    "--train.evaluations=4",
    "--grid.labels=[50,100]",
    "--grid.draws=2",
    "--grid.jobs=1",
)

Run = Callable[..., int]


def of_mode(mode: str, **settings: object) -> tuple[str, ...]:
    """Options that change a mode's settings."""
    return tuple(f"--train.modes.{mode}.{name}={value}" for name, value in settings.items())


def tiny_arguments(runs: Path, stage: str, extra: Sequence[str] = ()) -> list[str]:
    return [stage, *TINY, f"--runs={runs}", f"--data.root={runs / 'raw'}", *extra]


# for tests whose outcome may depend on the arithmetic: on any machine, they see what every machine would do
in_both_precisions = pytest.mark.parametrize("precision", ["32", "bf16"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def precision(request: pytest.FixtureRequest) -> str:
    """The tiny experiment's runtime.precision: what this machine takes, but in a test marked in_both_precisions."""
    chosen: str = getattr(request, "param", "auto")
    return chosen


@pytest.fixture(scope="session", autouse=True)
def _disks_are_not_waited_for() -> Iterator[None]:
    """Only a power cut shows whether a file has reached the disk, and waiting for it is a good part of a tiny run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _what_commands_share_is_made_once() -> Iterator[None]:
    """Hundreds of commands follow each other in one process here.

    For most of them, making the parser takes as long as all the rest, and so does reading the digits' text file.
    """
    from sklearn.datasets import _base  # not above: the workers of some tests import this file, too

    parser, table = functools.cache(lambda name, _: stage_parser(name)), functools.cache(_base.load_csv_data)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipeline.cli.stage_parser", lambda name: parser(name, program()))
        patched.setattr(_base, "load_csv_data", lambda **names: copy.deepcopy(table(**names)))
        yield


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first process of this test run to need it fills, and all others read."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # the one that the workers share
    folder, unfinished = base / name, base / f"{name}-unfinished"
    with FileLock(base / f"{name}.lock"):
        if not folder.exists():
            make(unfinished)
            unfinished.rename(folder)
    return folder


def resolved(precision: str) -> str:
    """The arithmetic that a setting means here: what is made once serves the tests of "auto", too."""
    return resolve_precision(RuntimeConfig(precision=cast(Any, precision)))


@pytest.fixture(scope="session")
def pretrained_runs(precision: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder in which stages data and pretrain of the tiny experiment are done. Not to be written to."""

    def make(runs: Path) -> None:
        for stage in ("data", "pretrain"):
            assert main(tiny_arguments(runs, stage, (f"--runtime.precision={precision}",))) == 0

    return made_once(tmp_path_factory, f"pretrained-{resolved(precision)}", make)


@pytest.fixture(scope="session")
def compared_runs(pretrained_runs: Path, precision: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder in which the tiny experiment is compared, without baselines. Not to be written to."""

    def make(runs: Path) -> None:
        shutil.copytree(pretrained_runs, runs)
        settings = ("--grid.baselines=false", f"--runtime.precision={precision}")
        assert main(tiny_arguments(runs, "compare", settings)) == 0

    return made_once(tmp_path_factory, f"compared-{resolved(precision)}", make)


@pytest.fixture
def runs(request: pytest.FixtureRequest, precision: str, tmp_path: Path) -> Path:
    """A private copy of the pretrained runs folder; of the compared one, in tests that are marked so."""
    is_compared = request.node.get_closest_marker("compared") is not None
    source: Path = request.getfixturevalue("compared_runs" if is_compared else "pretrained_runs")
    return Path(shutil.copytree(source, tmp_path / "runs"))


@pytest.fixture
def own_workers() -> Iterator[None]:
    """Let joblib's workers begin with this test and end with it.

    Otherwise they are those of a test before, with all that it left in them, and stay until they were idle for five
    minutes, half a gigabyte each.
    """
    get_reusable_executor(reuse=True).shutdown(kill_workers=True)
    yield
    get_reusable_executor(reuse=True).shutdown(kill_workers=True)


@pytest.fixture
def tiny(runs: Path, precision: str) -> Run:
    """Run a stage of the tiny experiment through the command line; returns its exit status."""

    def run(stage: str, *extra: str) -> int:
        try:
            return main(tiny_arguments(runs, stage, (f"--runtime.precision={precision}", *extra)))
        except SystemExit as error:  # what the argument parser refuses
            return int(error.code or 0)

    return run
