"""SIGKILL at any moment of any stage: the next run goes on, and ends with the same bits as if nothing had happened."""

from __future__ import annotations

import functools
import random
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.reliability.conftest import Count
from tests.reliability.forking import (
    SMALL,
    Before,
    check_whole,
    die_before_write,
    digests,
    finish,
    left_over,
    save_every_epoch,
    start,
)

KILLS = 30  # a stage, at random moments; those at each write come on top
STUDY = Path(__file__).parents[2] / "configs" / "studies" / "balance.yaml"


@dataclass(frozen=True)
class Stage:
    """A command line, and what of the compared experiment is taken away before it."""

    arguments: tuple[str, ...]
    without: tuple[str, ...] = ()
    before: Before | None = None


COMPARISON = ("results.csv", "comparison.json")
TRAIN = ("train", "--labels=100", "--seed=0")

STAGES = {
    "data": Stage(("data",), ("data-*", "pretrain-*", "cells", *COMPARISON)),
    "pretrain": Stage(("pretrain",), ("pretrain-*", "cells", *COMPARISON)),
    "pretrain-vae": Stage(("pretrain", "--pretrain.method=vae", "--pretrain.args.importance_samples=2")),
    "sample": Stage(("sample", "--count=4")),
    "frozen": Stage((*TRAIN, "--mode=frozen"), before=save_every_epoch),
    "finetune": Stage((*TRAIN, "--mode=finetune"), before=save_every_epoch),
    "propagate": Stage((*TRAIN, "--mode=propagate"), before=save_every_epoch),
    "scratch": Stage((*TRAIN, "--mode=scratch"), before=save_every_epoch),
    "cell": Stage((*TRAIN, "--mode=finetune")),  # too brief to be saved: it begins anew
    "compare": Stage(("compare",), ("cells", *COMPARISON)),
    "report": Stage(("report",)),
    "study": Stage(("study", f"--config={STUDY}", "--grid.modes=[frozen]", "--pretrain.epochs=1")),
    "export": Stage(("export", "--onnx=false")),
    "predict": Stage(("predict", "--images={images}", "--out={runs}/small/predictions.csv")),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    path = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8), np.uint8))
    return path


class Trial:
    """A stage on a copy of its own of the compared experiment."""

    def __init__(self, stage: Stage, compared: Path, images: Path, folder: Path) -> None:
        self.stage, self.compared, self.images, self.folder = stage, compared, images, folder
        self.log = folder / "log"
        self.renew()

    def renew(self) -> None:
        """Start from the same files again."""
        shutil.rmtree(self.folder / "runs", ignore_errors=True)
        self.log.unlink(missing_ok=True)
        self.runs = Path(shutil.copytree(self.compared, self.folder / "runs"))
        for pattern in self.stage.without:
            for path in self.experiment.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    @property
    def experiment(self) -> Path:
        """What the stage writes to."""
        return self.runs / "small"

    @property
    def arguments(self) -> list[str]:
        """The command line; a config comes first, so that the settings after it win."""
        given = [text.format(images=self.images, runs=self.runs) for text in self.stage.arguments]
        return [*given[:2], *SMALL, *given[2:], f"--runs={self.runs}"]

    def finish(self) -> int:
        """Run it to its end."""
        return finish(self.arguments, self.log, self.stage.before)

    def said(self) -> str:
        """What was printed so far."""
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture
def trial(request: pytest.FixtureRequest, compared: Path, images: Path, tmp_path: Path) -> Trial:
    return Trial(STAGES[request.param], compared, images, tmp_path)


def uninterrupted(trial: Trial) -> tuple[dict[str, str], float]:
    """What is there in the end, and how long it takes."""
    started = time.monotonic()
    assert trial.finish() == 0, trial.said()
    seconds = time.monotonic() - started
    found = digests(trial.experiment)
    trial.renew()
    return found, seconds


def check(trial: Trial, expected: dict[str, str]) -> None:
    """Let the stage come to its end and compare; whatever is broken would show here."""
    assert trial.finish() == 0, trial.said()
    assert digests(trial.experiment) == expected
    check_whole(trial.experiment)
    if trial.arguments[0] != "predict":  # writes a file of the user's choosing, beside which it clears nothing away
        assert left_over(trial.experiment) == []


def both(first: Before | None, second: Before) -> None:
    """One after the other, in the process that is to be killed."""
    if first is not None:
        first()
    second()


@pytest.mark.slow
@pytest.mark.parametrize("trial", STAGES, indirect=True)
def test_killed_at_random_moments(trial: Trial, count: Count) -> None:
    expected, seconds = uninterrupted(trial)
    moments, survived = random.Random(trial.arguments[0]), 0
    while survived < KILLS:
        process = start(trial.arguments, trial.log, trial.stage.before)
        process.join(moments.uniform(0, seconds))
        if process.exitcode is None:
            process.kill()
            process.join()
            survived += 1
            check_whole(trial.experiment)
        else:
            assert process.exitcode == 0, trial.said()
        if process.exitcode == 0 or survived == KILLS:
            check(trial, expected)
            trial.renew()
    count("kills at random moments survived", survived)


@pytest.mark.slow
@pytest.mark.parametrize("trial", STAGES, indirect=True)
def test_killed_before_each_write(trial: Trial, count: Count) -> None:
    expected, _ = uninterrupted(trial)
    for number in range(1000):
        before = functools.partial(both, trial.stage.before, functools.partial(die_before_write, number))
        status = finish(trial.arguments, trial.log, before)
        if status == 0:
            break
        check_whole(trial.experiment)
        check(trial, expected)
        trial.renew()
    else:
        pytest.fail("it never came to its end")
    assert number > 2
    count("kills at a write survived", number)


@pytest.mark.parametrize("trial", ["frozen"], indirect=True)
def test_a_cell_killed_at_some_writes(trial: Trial) -> None:
    """The quick one: in the midst of training, and of putting in place."""
    expected, _ = uninterrupted(trial)
    for number in (7, 19):
        before = functools.partial(both, trial.stage.before, functools.partial(die_before_write, number))
        assert finish(trial.arguments, trial.log, before) < 0
        check(trial, expected)
        trial.renew()


@pytest.mark.slow
@pytest.mark.parametrize("trial", ["pretrain"], indirect=True)
def test_at_most_one_epoch_is_trained_again(trial: Trial) -> None:
    process = start(trial.arguments, trial.log)
    while "epoch 2/" not in trial.said():
        time.sleep(0.01)
        assert process.exitcode is None, trial.said()
    process.kill()
    process.join()
    trained = epochs(trial)
    assert trial.finish() == 0
    again = epochs(trial)[len(trained) :]
    assert again[0] in (trained[-1], trained[-1] + 1)
    assert again == list(range(again[0], 5))


def epochs(trial: Trial) -> list[int]:
    return [int(number) for number in re.findall(r"epoch (\d+)/", trial.said())]
