"""Packages that only some tasks need: asked for by name when they are missing."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.errors import PipelineError

EXTRAS = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "tensorboard": ("tensorboard",),
    "huggingface": ("datasets",),
    "dask": ("distributed",),
    "ray": ("ray",),
}


def missing(extra: str) -> list[str]:
    """The packages of an extra that are not installed; nothing is imported to tell."""
    return [package for package in EXTRAS[extra] if not _installed(package)]


def _installed(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.origin is not None  # a folder of that name, say datasets/, has no origin


def install(extra: str) -> str:
    """The command that installs an extra, to be run where pyproject.toml lies."""
    return f"python -m pip install -c constraints.txt -e '.[{extra}]'"


def require(extra: str, purpose: str) -> None:
    """Refuse what cannot be done without an extra.

    Raises:
        PipelineError: A package of it is not installed; the message begins with ``purpose``.
    """
    absent = missing(extra)
    if absent:
        raise PipelineError(f"{purpose} needs {', '.join(absent)}; in the pipeline's folder run `{install(extra)}`")
