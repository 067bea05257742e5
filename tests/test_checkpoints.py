"""A killed pretraining goes on after its last whole epoch, and ends with the same bits."""

from __future__ import annotations

import functools
import hashlib
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.cli import main
from pipeline.training import checkpoints
from tests.conftest import Run, in_both_precisions, tiny_arguments

EPOCHS = 4
# a VAE draws from the random generators in every step, and so does a distortion
SETTINGS = (
    f"--pretrain.epochs={EPOCHS}",
    "--pretrain.method=vae",
    "--pretrain.args.importance_samples=2",
    "--runtime.threads=1",
)


class KilledError(Exception):
    """Stands for a kill right after an epoch was saved."""


def pretrained(runs: Path) -> dict[str, str]:
    """SHA-256 of each file that the last pretraining made, by name."""
    folders = [path for path in (runs / "tiny").glob("pretrain-*/") if (path / "likelihood.safetensors").exists()]
    assert len(folders) == 1
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folders[0].iterdir()
        if path.name != "manifest.json"
    }


@pytest.fixture(scope="module")
def uninterrupted(precision: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    runs = tmp_path_factory.mktemp("uninterrupted")
    for stage in ("data", "pretrain"):
        assert main(tiny_arguments(runs, stage, (*SETTINGS, f"--runtime.precision={precision}"))) == 0
    return pretrained(runs)


def kill_after(epoch: int, runs: Path, tiny: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretrain until an epoch has been saved, then die; the checkpoint that is left."""
    save = checkpoints.SaveEpochs.on_train_epoch_end

    def save_and_die(self: checkpoints.SaveEpochs, trainer: object, module: object) -> None:
        save(self, trainer, module)  # type: ignore[arg-type]
        if trainer.current_epoch + 1 == epoch:  # type: ignore[attr-defined]
            raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.SaveEpochs, "on_train_epoch_end", save_and_die)
        with pytest.raises(KilledError):
            tiny("pretrain", *SETTINGS)
    (checkpoint,) = (runs / "tiny").glob(".pretrain-*.checkpoint")
    return checkpoint


@in_both_precisions
@pytest.mark.parametrize("epoch", [1, 3, EPOCHS])
def test_the_result_is_the_same_to_the_bit(
    epoch: int,
    runs: Path,
    tiny: Run,
    uninterrupted: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = kill_after(epoch, runs, tiny, monkeypatch)
    capsys.readouterr()
    torch.manual_seed(99)  # whatever the new process did before
    assert tiny("pretrain", *SETTINGS) == 0
    said = capsys.readouterr().out
    assert f"epoch {epoch}/{EPOCHS}" not in said  # no epoch is trained again
    assert epoch == EPOCHS or f"epoch {epoch + 1}/{EPOCHS}" in said
    assert pretrained(runs) == uninterrupted
    assert not checkpoint.exists()


def test_without_the_random_states_it_would_not_be(
    runs: Path, tiny: Run, uninterrupted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_after(2, runs, tiny, monkeypatch)
    monkeypatch.setattr(checkpoints, "set_random_states", lambda states: None)
    assert tiny("pretrain", *SETTINGS) == 0
    assert pretrained(runs) != uninterrupted


def test_sigkill_loses_no_whole_epoch(runs: Path, tiny: Run, uninterrupted: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pipeline", *tiny_arguments(runs, "pretrain", SETTINGS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 2/" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    assert tiny("pretrain", *SETTINGS) == 0
    assert pretrained(runs) == uninterrupted


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code was run",))


def overwrite(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def as_an_older_version_wrote_it(path: Path) -> None:
    files = checkpoints.AtomicCheckpoints()
    checkpoint = files.load_checkpoint(path)
    [states] = checkpoint["callbacks"]["SaveEpochs"].pop("random")
    checkpoint["callbacks"]["SaveEpochs"] = states  # of a single process, as all were
    files.save_checkpoint(checkpoint, path)


OTHER_SHA = "its SHA-256 is not the one"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (functools.partial(overwrite, b""), OTHER_SHA),
        (functools.partial(overwrite, b"not a checkpoint"), OTHER_SHA),
        (functools.partial(overwrite, pickle.dumps(Evil())), OTHER_SHA),
        (as_an_older_version_wrote_it, "parts of it are missing"),
    ],
)
def test_a_broken_hostile_or_old_checkpoint_is_left_out(
    spoil: Callable[[Path], None],
    reason: str,
    runs: Path,
    tiny: Run,
    uninterrupted: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(kill_after(1, runs, tiny, monkeypatch))
    assert tiny("pretrain", *SETTINGS) == 0
    said = capsys.readouterr().out
    assert "code was run" not in said
    assert f"cannot be read ({reason}" in said
    assert pretrained(runs) == uninterrupted
