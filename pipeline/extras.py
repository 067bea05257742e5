"""Packages that only some tasks need: asked for by name when they are missing."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec

from packaging.requirements import Requirement

from pipeline.errors import PipelineError
from pipeline.invocation import CHECKOUT, is_checkout

DISTRIBUTION = "semisupervised-pipeline"

EXTRAS = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "tensorboard": ("tensorboard",),
    "huggingface": ("datasets",),
    "dask": ("distributed",),
    "ray": ("ray",),
    "timm": ("timm",),
    "large": ("faiss",),
}


def missing(extra: str) -> list[str]:
    """List the packages of an extra that are not installed; nothing is imported to tell."""
    return [package for package in EXTRAS[extra] if not _installed(package)]


def _installed(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.origin is not None  # a folder of that name, say datasets/, has no origin


def install(extra: str) -> str:
    """Name the command that installs an extra: pinned in the project's folder, else its packages with their floors."""
    if is_checkout():
        return f"`python -m pip install -c constraints.txt -e '.[{extra}]'` in {CHECKOUT}"
    asked = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or []]
    names = [f"'{one.name}{one.specifier}'" for one in asked if one.marker and one.marker.evaluate({"extra": extra})]
    return f"`python -m pip install {' '.join(names)}`"


def reinstall() -> str:
    """Say how to put the pipeline's own packages right."""
    if is_checkout():
        return f"run `make install` in {CHECKOUT}, or `python -m pip install -c constraints.txt -e .` there"
    return "install the pipeline again from the wheel or the folder that it came from: `python -m pip install PATH`"


def require(extra: str, purpose: str) -> None:
    """Refuse what cannot be done without an extra; the message begins with the purpose, which is what needs it.

    Raises:
        PipelineError: If a package of the extra is not installed.
    """
    absent = missing(extra)
    if absent:
        raise PipelineError(f"{purpose} needs {', '.join(absent)}; run {install(extra)}")
