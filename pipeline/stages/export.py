"""Stage export: a trained classifier in a folder of its own, to be used, passed on, and rebuilt without the rest."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from pipeline import extras
from pipeline.artefacts import cell_files, classifier, comparison
from pipeline.artefacts.classifier import ClassifierChoice
from pipeline.artefacts.description import Description, input_shape
from pipeline.artefacts.results import SummaryRow
from pipeline.config import Experiment
from pipeline.errors import PipelineError
from pipeline.store import disk
from pipeline.store.artefact import Artefact, copy_artefact

ONNX, CARD = "model.onnx", "README.md"


class Outcome(TypedDict):
    """The largest deviation of both files' outputs from the original's; None where there are no such files."""

    onnx_deviation: float | None


@dataclass(frozen=True)
class Options(ClassifierChoice):
    """The options of the command, beside those by which a classifier is chosen."""

    onnx: Annotated[bool, "write ONNX and a program of PyTorch, too, and compare both with the original"] = True
    out: Annotated[str, "folder to make, which must not exist yet; empty: runs/<name>/export-<cell>-*/"] = ""


def run(config: Experiment, options: Options) -> Path:
    """Export one classifier unless it is done, and return the folder.

    It holds the weights, a description that they are rebuilt from, a model card and, unless ``onnx`` is false, an ONNX
    file and a program of PyTorch, which were compared with the original.

    Raises:
        PipelineError: If the classifier is missing or changed, a package for ONNX is missing, a file computes
            something else, or ``out`` is taken.
    """
    onnx, out = options.onnx, options.out
    if onnx:
        extras.require("onnx", "an ONNX file")
    folder = classifier.find(config, options)
    description = classifier.describe(folder)
    if (folder / classifier.DESCRIPTION).exists():
        raise PipelineError(f"{folder} is an export already; name the cell it came from")
    home = classifier.home(folder)
    summary = comparison.find_summary(home, folder.resolve().name)
    export: Artefact[Outcome] = Artefact(
        home,
        f"export-{folder.resolve().name}",
        {"stage": "export", "classifier": description, "comparison": summary, "onnx": onnx},
        lambda staging: _make(config, folder, description, summary, onnx, staging),
        "export it again",
    )
    artefact = export.build()
    deviation = export.open()["outcome"]["onnx_deviation"]
    if deviation is not None:
        print(f"the outputs of model.onnx and model.pt2 deviate from the original's by at most {deviation:.1g}")
    if out:
        copy_artefact(artefact, Path(out))
    return Path(out) if out else artefact


def _make(
    config: Experiment,
    source: Path,
    description: Description,
    summary: SummaryRow | None,
    onnx: bool,
    folder: Path,
) -> Outcome:
    from pipeline.report import model_card

    deviation = None
    if onnx:
        from pipeline.artefacts import onnx_file

        model = classifier.restore(config, source, description)
        metadata = {
            "classes": description["classes"],
            "scale": description["input"]["scale"],
            "temperature": description["temperature"],
        }
        deviation = onnx_file.save(model, input_shape(description), metadata, folder / ONNX)
    for name in (cell_files.WEIGHTS, cell_files.SAMPLE):
        shutil.copyfile(source / name, folder / name)
    disk.write_json(folder / classifier.DESCRIPTION, description)
    disk.write_atomic(folder / CARD, model_card.write(description, summary, ONNX if onnx else None))
    return {"onnx_deviation": deviation}
