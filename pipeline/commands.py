"""The table of commands, each with its function, its line in ``--help`` and its own options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pipeline.stages import all as all_stages
from pipeline.stages import (
    check_dataset,
    compare,
    compare_runs,
    data,
    doctor,
    embed,
    export,
    init,
    predict,
    pretrain,
    report,
    reproduce,
    review,
    sample,
    study,
    suggest,
    train,
)
from pipeline.studies import STUDIES


@dataclass(frozen=True)
class Stage:
    """A command.

    Attributes:
        run: The function of the command. It is called with the experiment, or with the list of operands, and then with
            the command's own options if it has any; it returns the path that is printed at the end.
        summary: One line about the command for ``--help``.
        options: The dataclass of the options that the command has for itself. Each field has a default, and an
            annotation with the explanation for ``--help``: ``Annotated[int, "number of images"]``.
        operands: The name and the explanation of the operands that the command has in place of the experiment's
            settings; None for a command about an experiment.
    """

    run: Callable[..., Path]
    summary: str
    options: type[Any] | None = None
    operands: tuple[str, str] | None = None

    def explain_options(self) -> dict[str, tuple[Any, Any, str]]:
        """Return type, default and explanation of each option by its name on the command line, inherited ones last."""
        if self.options is None:
            return {}
        hints, defaults = get_type_hints(self.options, include_extras=True), self.options()
        own = inspect.get_annotations(self.options)
        explained = {}
        for name in sorted(hints, key=lambda name: name not in own):
            kind, explanation = get_args(hints[name])
            explained[name.replace("_", "-")] = kind, getattr(defaults, name), explanation
        return explained


_STUDIES = "; ".join(f"{name}: {summary}" for name, summary in STUDIES.items())

STAGES = {
    "init": Stage(
        init.run,
        "write a config for a data set of yours: the reader, the shape, and label budgets that fit",
        init.Options,
        operands=("path", "images in a folder or a file, or the name of a data set"),
    ),
    "check-dataset": Stage(check_dataset.run, "check that a data set keeps the contract, describe it, show its images"),
    "data": Stage(data.run, "unpack or download the images, check them, describe them"),
    "pretrain": Stage(pretrain.run, "learn an encoder from images without labels"),
    "sample": Stage(
        sample.run,
        "draw samples, reconstructions and interpolations from the pretrained latent space; of a VAE, measure the ELBO",
        sample.Options,
    ),
    "train": Stage(train.run, "train one classifier on a labelled subset (one cell)", train.Options),
    "compare": Stage(compare.run, "train the grid of modes x labels x draws and compare E_in with E_out"),
    "study": Stage(study.run, f"test a claim about autoencoders; study.name is one of: {_STUDIES}"),
    "report": Stage(report.run, "write report.html and report.md from the comparison"),
    "all": Stage(all_stages.run, "the main job: data, pretrain, compare and report"),
}

# what is done around a finished experiment; in no order
TOOLS = {
    "predict": Stage(
        predict.run,
        "classify images of yours with a trained classifier; class and probabilities as CSV",
        predict.Options,
    ),
    "embed": Stage(
        embed.run,
        "write the latents of any images as .npy and CSV; find the images that are most like a given one",
        embed.Options,
    ),
    "export": Stage(
        export.run,
        "put a trained classifier into a folder of its own: weights, description, model card, ONNX",
        export.Options,
    ),
    "suggest": Stage(
        suggest.run,
        "choose the images that are worth a label most; a table, and a page to label them on",
        suggest.Options,
    ),
    "review": Stage(
        review.run,
        "find labels that are probably wrong; a page to correct them on, which saves labels.csv",
        review.Options,
    ),
    "reproduce": Stage(
        reproduce.run,
        "train a cell again in a temporary place, from its manifest alone, and say whether the two match",
        reproduce.Options,
    ),
    "compare-runs": Stage(
        compare_runs.run,
        "put two or more finished experiments side by side; differences from the first are paired where they can be",
        operands=("folders", "experiments' folders, runs/<name>"),
    ),
    "doctor": Stage(doctor.run, "check versions, devices, data, folders and disk; status 1 if something is broken"),
}

COMMANDS = STAGES | TOOLS
