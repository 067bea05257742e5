"""Artefacts: folders that are made once from known inputs, and recognised by a fingerprint of these inputs.

An artefact's folder holds a ``manifest.json`` with a fingerprint of all that it was made from. It is built beside its
final place and renamed into it, so it is either complete or absent. The folder's name ends with the fingerprint's first
characters: changed settings make a new folder beside the old one, and nothing that was made before is overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from pipeline.errors import PipelineError
from pipeline.store import disk
from pipeline.store.fingerprints import Inputs, fingerprint
from pipeline.store.manifest import MANIFEST, Manifest, Outcome, is_whole, open_artefact, write_manifest
from pipeline.store.sealed import read_sealed


@dataclass(frozen=True)
class Artefact(Generic[Outcome]):
    """A folder of files that is made once from known inputs.

    Attributes:
        experiment: The experiment's folder.
        name: The artefact's place inside it, without the fingerprint, such as "cells/frozen-100-0".
        inputs: All that it is made from; their fingerprint recognises it.
        make: Fills an empty folder; what it returns is written into the manifest as ``outcome``.
        remedy: The advice of messages about a missing artefact, such as "run `fewlabels data` first".
    """

    experiment: Path
    name: str
    inputs: Inputs
    make: Callable[[Path], Outcome]
    remedy: str

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256, in hex, of all that the artefact is made from."""
        return fingerprint(self.inputs)

    @property
    def folder(self) -> Path:
        """The artefact's folder, whether it exists yet or not."""
        return artefact_folder(self.experiment, self.name, self.fingerprint)

    @property
    def checkpoint(self) -> Path:
        """The file, beside the artefact's folder, that an unfinished training is saved to."""
        return self.folder.with_name(f".{self.folder.name}.checkpoint")

    @property
    def is_finished(self) -> bool:
        """Whether the artefact exists and is complete; only the manifest and the files' sizes are read."""
        return is_whole(self.folder, self.fingerprint)

    def check(self) -> Path:
        """Return the artefact's folder; the manifest is read, the files are not.

        Raises:
            PipelineError: If the artefact is not finished; the message ends with the remedy.
        """
        if not self.is_finished:
            raise PipelineError(f"{self.folder} is missing; {self.remedy}")
        return self.folder

    def open(self) -> Manifest[Outcome]:
        """Check every file against the manifest, and return the manifest.

        Raises:
            PipelineError: If the artefact is missing, or a file in it was changed.
        """
        return open_artefact(self.folder, self.remedy)

    def build(self) -> Path:
        """Make the artefact unless it is finished, and return its folder.

        An artefact with the same fingerprint in another experiment below the same runs folder is copied instead.

        Raises:
            PipelineError: If the folder cannot be written.
        """
        if not self.is_finished:
            with disk.locked(self.folder), disk.readable_os_errors(self.folder):
                if not self.is_finished and not self._adopt():
                    self._make()
        disk.discard(self.checkpoint)  # not before the artefact is in its place
        return self.folder

    def fetch(self) -> bool:
        """Copy the artefact from another experiment below the same runs folder, unless it is finished here.

        Returns:
            Whether the artefact is finished now.

        Raises:
            PipelineError: If the folder cannot be written.
        """
        if self.is_finished:
            return True
        with disk.locked(self.folder), disk.readable_os_errors(self.folder):
            return self.is_finished or self._adopt()

    def inputs_before(self) -> Iterator[Inputs]:
        """Yield the inputs of the other artefacts of this name in the experiment, the newest first."""
        manifests = self.experiment.glob(f"{self.name}-{'?' * 8}/{MANIFEST}")
        others = [path for path in manifests if path.parent != self.folder]
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
            with contextlib.suppress(PipelineError):
                yield read_sealed(path, "")["inputs"]

    def _adopt(self) -> bool:
        """Copy the artefact from another experiment if one has it; return whether one does."""
        for other in sorted(self.experiment.parent.glob(f"*/{self.folder.relative_to(self.experiment)}")):
            if is_whole(other, self.fingerprint):
                _copy(other, self.folder, open_artefact(other, ""))  # an error if a file of the other was changed
                return True
        return False

    def _make(self) -> None:
        if self.folder.is_file():
            raise FileExistsError(errno.EEXIST, "there is a file where the folder should be")
        with _staging(self.folder) as staging:
            started = time.monotonic()
            outcome = self.make(staging)
            write_manifest(staging, self.inputs, outcome, time.monotonic() - started)
            _put_in_place(staging, self.folder)


def artefact_folder(experiment: Path, name: str, fingerprint: str) -> Path:
    """Return where the artefact with this name and fingerprint lies inside the experiment's folder."""
    return experiment / f"{name}-{fingerprint[:8]}"


def copy_artefact(folder: Path, target: Path) -> None:
    """Copy an artefact to another folder, completely or not at all; nothing is done if the same artefact is there.

    Raises:
        PipelineError: If something else is at the target, or the copy cannot be written.
    """
    manifest = open_artefact(folder, "make it again")
    if is_whole(target, manifest["fingerprint"]):
        return
    if target.exists():
        raise PipelineError(f"{target} exists already; name a folder that does not")
    with disk.readable_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(folder, target, manifest)


def _copy(folder: Path, target: Path, manifest: Manifest[Outcome]) -> None:
    """Copy the manifest and the files that it names."""
    with _staging(target) as staging:
        for name in (*manifest["files"], MANIFEST):
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, staging / name)
        _put_in_place(staging, target)


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Make a temporary folder beside the final one; it is removed afterwards unless it was renamed.

    The caller holds the artefact's lock, so folders that an earlier, killed process left behind are removed first.
    """
    for ending in ("?" * 8, "broken"):  # the names that mkdtemp gives, and that of a folder being replaced
        for left_over in folder.parent.glob(f".{glob.escape(folder.name)}.{ending}/"):
            shutil.rmtree(left_over, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    staging.chmod(0o777 & ~disk.umask())
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, folder: Path) -> None:
    """Rename a temporary folder to its final name.

    A folder that has this name already is broken, or it would have been reused; it is kept until the new one is there.
    """
    for path in (*staging.rglob("*"), staging):
        disk.sync(path)
    broken = folder.with_name(f".{folder.name}.broken")
    if folder.exists():
        shutil.rmtree(broken, ignore_errors=True)
        folder.rename(broken)
    staging.rename(folder)
    disk.sync(folder.parent)
    shutil.rmtree(broken, ignore_errors=True)
