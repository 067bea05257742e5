"""Stage export: a trained classifier in a folder of its own, to be used, passed on, and rebuilt without the rest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pipeline import extras
from pipeline.artefacts import classifiers
from pipeline.config import Experiment
from pipeline.errors import PipelineError
from pipeline.stages import compare
from pipeline.store import disk, runs

ONNX, CARD = "model.onnx", "README.md"


def run(
    config: Experiment, onnx: bool, out: str, cell: str, mode: str | None, labels: int | None, seed: int | None
) -> Path:
    """Export one classifier unless it is done, and return the folder.

    It holds the weights, a description that they are rebuilt from, a model card and, unless ``onnx`` is false, an ONNX
    file that was compared with the original.

    Raises:
        PipelineError: The classifier is missing or changed, a package for ONNX is missing, the ONNX file computes
            something else, or ``out`` is taken.
    """
    if onnx:
        extras.require("onnx", "an ONNX file")
    folder = classifiers.find(config, cell, mode, labels, seed)
    description = classifiers.describe(folder)
    if (folder / classifiers.DESCRIPTION).exists():
        raise PipelineError(f"{folder} is an export already; name the cell it came from")
    summary = compare.find_summary(classifiers.home(folder), folder.resolve().name)
    made_from = {"stage": "export", "classifier": description, "comparison": summary, "onnx": onnx}
    artefact = runs.build(
        classifiers.home(folder),
        f"export-{folder.resolve().name}",
        made_from,
        lambda staging: _make(config, folder, description, summary, onnx, staging),
    )
    deviation = runs.open_artefact(artefact, "export it again")["outcome"]["onnx_deviation"]
    if deviation is not None:
        print(f"the ONNX file's outputs deviate from the original's by at most {deviation:.1g}")
    if out:
        runs.copy_artefact(artefact, Path(out))
    return Path(out) if out else artefact


def _make(
    config: Experiment,
    source: Path,
    description: dict[str, Any],
    summary: dict[str, Any] | None,
    onnx: bool,
    folder: Path,
) -> dict[str, Any]:
    from pipeline.report import model_card

    deviation = None
    if onnx:
        from pipeline.artefacts import onnx_file

        model = classifiers.restore(config, source, description)
        deviation = onnx_file.save(model, tuple(description["input"]["shape"]), description["classes"], folder / ONNX)
    shutil.copyfile(source / classifiers.WEIGHTS, folder / classifiers.WEIGHTS)
    disk.write_json(folder / classifiers.DESCRIPTION, description)
    disk.write_atomic(folder / CARD, model_card.write(description, summary, ONNX if onnx else None))
    return {"onnx_deviation": deviation}
