"""Stage doctor: is everything here that the pipeline needs, and is it whole? Looks, and changes nothing."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pipeline import _torchvision_repair, extras, methods
from pipeline.artefacts import data_card, data_source
from pipeline.config import Experiment
from pipeline.datasets import loading
from pipeline.errors import PipelineError
from pipeline.invocation import CHECKOUT, command, is_checkout
from pipeline.store import provenance
from pipeline.training.precision import explain_precision, resolve_precision

NEEDED = 2**30  # bytes; configs/mnist.yaml leaves 0.2 GiB behind, its unpacked images included
NOTICED = 1.2  # times as fast as the precision that is taken, from which on the other one is named


class UnhealthyError(PipelineError):
    """A check failed; what was found stands above the message."""

    status = 1


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check.

    Attributes:
        found: A line that says what was found.
        remedy: A line that says what to do; empty if all is well.
    """

    found: str
    remedy: str = ""


def run(config: Experiment) -> Path:
    """Make all checks, print a line for each, and return the experiment's folder.

    Raises:
        UnhealthyError: If a check failed.
    """
    findings = {name: _attempt(check, config) for name, check in CHECKS.items()}
    for name, finding in findings.items():
        print(f"{'BROKEN' if finding.remedy else 'OK':<6}  {name:<12}  {finding.found}")
        if finding.remedy:
            print(f"{'':<22}-> {finding.remedy}")
    broken = [name for name, finding in findings.items() if finding.remedy]
    if broken:
        raise UnhealthyError(
            f"{len(broken)} of {len(findings)} checks failed: {', '.join(broken)}; see the remedies above"
        )
    return config.folder


def _attempt(check: Callable[[Experiment], CheckResult], config: Experiment) -> CheckResult:
    try:
        return check(config)
    except PipelineError as error:
        return CheckResult("cannot be used", str(error))
    except Exception as error:  # whatever a broken installation raises; the other checks go on
        return CheckResult(f"{type(error).__name__}: {error}", extras.reinstall())


# --- the checks -----------------------------------------------------------------------------------------------


def _packages(config: Experiment) -> CheckResult:
    """Compare the installed versions with those that pyproject.toml asks for."""
    from packaging.requirements import Requirement

    wrong, needed = [], [Requirement(line) for line in _requirements()]
    for requirement in needed:
        installed = provenance.version(requirement.name)
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed} (needs {requirement.specifier})")
    if wrong:
        return CheckResult(", ".join(wrong), extras.reinstall())
    main = ", ".join(f"{name} {provenance.version(name)}" for name in ("torch", "pytorch-lightning", "numpy"))
    return CheckResult(f"Python {sys.version.split()[0]}, {main}; all {len(needed)} packages are recent enough")


def _requirements() -> list[str]:
    """List the requirements of pyproject.toml, or else those that the package was installed with, less the extras."""
    if is_checkout():
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        asked: list[str] = project["dependencies"]
        return asked
    return [line for line in metadata.requires(extras.DISTRIBUTION) or [] if "extra ==" not in line]


def _extras(config: Experiment) -> CheckResult:
    """List the extras; one that is missing is no fault, since whoever needs it is told then."""
    states = []
    for extra in extras.EXTRAS:
        absent = extras.missing(extra)
        states.append(f"{extra} is not installed ({extras.install(extra)})" if absent else f"{extra} is installed")
    return CheckResult("; ".join(states))


def _torchvision(config: Experiment) -> CheckResult:
    import torchvision

    if _torchvision_repair.in_effect():
        return CheckResult(
            f"{torchvision.__version__}, repaired: its operators do not fit this torch; none of them is used here"
        )
    return CheckResult(f"{torchvision.__version__}, as installed; no repair is needed")


def _device(config: Experiment) -> CheckResult:
    import torch

    from pipeline.training.trainer import make_trainer

    chosen = make_trainer(config.runtime, max_epochs=1, callbacks=[]).strategy.root_device
    found = [f"{os.cpu_count()} CPU cores"]
    found += [f"GPU {torch.cuda.get_device_name(number)}" for number in range(torch.cuda.device_count())]
    found += ["MPS"] * torch.backends.mps.is_available()
    return CheckResult(f"{', '.join(found)}; runtime.accelerator {config.runtime.accelerator} takes {chosen}")


def _precision(config: Experiment) -> CheckResult:
    """Say which precision is taken, and what a step of pretraining takes in this one and in the other."""
    from pipeline.learning.step_time import measure_steps
    from pipeline.training.device import threads

    said = explain_precision(config.runtime)
    if data_source.last(config) is None or not methods.find_method(config.pretrain.method).trains:
        return CheckResult(said)
    try:
        channels, height, width = data_card.load(config)["shape"]
        with threads(config.runtime.threads):
            times = measure_steps(config.pretrain, config.invariances, config.runtime, (channels, height, width))
    except PipelineError as error:
        return CheckResult(f"{said}; no step could be timed: {error}")
    said += f"; a step takes {1000 * times.float32:.0f} ms in float32, {1000 * times.bfloat16:.0f} ms in bfloat16"
    factor = times.other_is_faster(resolve_precision(config.runtime))
    if factor > NOTICED:
        other = "32" if resolve_precision(config.runtime) == "bf16" else "bf16"
        said += f": runtime.precision {other} would be {factor:.1f} times as fast here"
    return CheckResult(said)


def _data(config: Experiment) -> CheckResult:
    """Compare the images with the checksum that stage data wrote down."""
    loader = loading.find_loader(config.data)
    if data_source.last(config) is None:
        return CheckResult(
            f"{config.data.dataset} ({loader.function.__module__}) is not prepared yet; `{command('data')}` does it"
        )
    dataset = loading.load(config.data)
    if dataset.sha256 != data_card.load(config)["sha256"]:
        return CheckResult(
            f"{config.data.dataset} is not what stage data saw", f"restore it, or run `{command('data')}`"
        )
    return CheckResult(f"{config.data.dataset}, SHA-256 {dataset.sha256[:16]}... as stage data saw it")


def _bundle(config: Experiment) -> CheckResult:
    from pipeline.datasets.readers import mnist

    for name in mnist.SHA256:
        mnist.unpack(name)
    return CheckResult(f"{len(mnist.SHA256)} MNIST archives, SHA-256 as they should be")


def _writable(folder: Path) -> CheckResult:
    """Make a file and remove it again; permissions alone do not tell, on a full or read-only disk."""
    nearest = _nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return CheckResult(f"{nearest}: {error.strerror or error}", "make it writable, or choose another folder")
    return CheckResult(
        f"{folder} can be written to" if folder == nearest else f"{folder} can be made in {nearest.absolute()}"
    )


def _disk(config: Experiment) -> CheckResult:
    nearest = _nearest(Path(config.runs))
    free = shutil.disk_usage(nearest).free
    found = f"{free / 2**30:.1f} GiB free at {nearest.absolute()}"
    if free < NEEDED:
        return CheckResult(found, f"free {NEEDED / 2**30:.0f} GiB, or choose another folder with --runs")
    return CheckResult(found)


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


CHECKS: dict[str, Callable[[Experiment], CheckResult]] = {
    "packages": _packages,
    "extras": _extras,
    "torchvision": _torchvision,
    "device": _device,
    "precision": _precision,
    "bundled data": _bundle,
    "data": _data,
    "runs folder": lambda config: _writable(Path(config.runs)),
    "data folder": lambda config: _writable(Path(config.data.root)),
    "disk": _disk,
}
