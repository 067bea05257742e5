"""The table of commands, each with its function, its line in ``--help`` and its own options."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import choosing, modes
from pipeline.artefacts import classifier
from pipeline.datasets.new_images import KINDS
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
            the values of the command's own options; it returns the path that is printed at the end.
        summary: One line about the command for ``--help``.
        options: The type, the default and the explanation of each option that the command has for itself.
        takes: The dataclass in which ``run`` takes the options; None passes their values one by one.
        operands: The name and the explanation of the operands that the command has in place of the experiment's
            settings; None for a command about an experiment.
    """

    run: Callable[..., Path]
    summary: str
    options: dict[str, tuple[Any, Any, str]] = dataclasses.field(default_factory=dict)
    takes: type | None = None
    operands: tuple[str, str] | None = None


_STUDIES = "; ".join(f"{name}: {summary}" for name, summary in STUDIES.items())
_STRATEGIES = "; ".join(f"{name}: {choosing.find_strategy(name).summary}" for name in choosing.NAMES)
_MODES = "; ".join(f"{name}: {mode.summary}" for name, mode in modes.BUILT_IN.items())

STAGES = {
    "init": Stage(
        init.run,
        "write a config for a data set of yours: the reader, the shape, and label budgets that fit",
        {
            "name": (str, "", "the experiment's name; empty: the path's"),
            "out": (str, "", "file to write, which must not exist yet; empty: <name>.yaml in the working directory"),
            "args": (
                dict[str, Any],
                {},
                "arguments of the reader that the files do not tell, such as --args.white 16",
            ),
        },
        operands=("path", "images in a folder or a file, or the name of a data set"),
    ),
    "check-dataset": Stage(check_dataset.run, "check that a data set keeps the contract, describe it, show its images"),
    "data": Stage(data.run, "unpack or download the images, check them, describe them"),
    "pretrain": Stage(pretrain.run, "learn an encoder from images without labels"),
    "sample": Stage(
        sample.run,
        "draw samples, reconstructions and interpolations from the pretrained latent space; of a VAE, measure the ELBO",
        {
            "count": (int, 100, "number of images to sample"),
            "seed": (int, 0, "seed of the sampled latents"),
        },
    ),
    "train": Stage(
        train.run,
        "train one classifier on a labelled subset (one cell)",
        {
            "mode": (str, "frozen", _MODES),
            "labels": (int, 100, "label budget, including validation"),
            "seed": (int, 0, "number of the draw of the labelled subset, from 0"),
        },
    ),
    "compare": Stage(compare.run, "train the grid of modes x labels x draws and compare E_in with E_out"),
    "study": Stage(study.run, f"test a claim about autoencoders; study.name is one of: {_STUDIES}"),
    "report": Stage(report.run, "write report.html and report.md from the comparison"),
    "all": Stage(all_stages.run, "the main job: data, pretrain, compare and report"),
}

# how images that a user names are read
_READING: dict[str, tuple[Any, Any, str]] = {
    "resize": (bool, False, "scale images of another size, and convert grey and colour; else they are refused"),
    "white": (float | None, None, "value of a white pixel; null: as in the training, if the numbers agree with that"),
    "skip-broken": (bool, False, "leave out pictures that cannot be read, and say which"),
}

# what is done around a finished experiment; in no order
TOOLS = {
    "predict": Stage(
        predict.run,
        "classify images of yours with a trained classifier; class and probabilities as CSV",
        {
            "images": (str, "", f"{KINDS}; gzipped or not"),
            "coverage": (
                float | None,
                None,
                "share of the images that it decides; the least certain ones are left to a person",
            ),
            "max-error": (
                float | None,
                None,
                "largest share of wrong answers among the images that it decides; others are left to a person",
            ),
            **_READING,
            "submission": (str, "", "a competition's sample submission, whose columns and rows are written"),
            "out": (str, "", "CSV file to write; empty: runs/<name>/predictions/<images>-<cell>.csv"),
            **classifier.OPTIONS,
        },
        takes=predict.Options,
    ),
    "embed": Stage(
        embed.run,
        "write the latents of any images as .npy and CSV; find the images that are most like a given one",
        {
            "images": (str, embed.TRAIN, f"{embed.TRAIN} or {embed.TEST}, the experiment's own; or {KINDS}"),
            "like": (str, "", "a picture whose nearest neighbours among the images are shown as a page"),
            **_READING,
            "out": (str, "", "folder to write to; empty: runs/<name>/embeddings/<images>-<encoder>/"),
            **classifier.OPTIONS,
        },
        takes=embed.Options,
    ),
    "export": Stage(
        export.run,
        "put a trained classifier into a folder of its own: weights, description, model card, ONNX",
        {
            "onnx": (
                bool,
                True,
                "write ONNX and a program of PyTorch, too, and compare both with the original",
            ),
            "out": (str, "", "folder to make, which must not exist yet; empty: runs/<name>/export-<cell>-*/"),
            **classifier.OPTIONS,
        },
        takes=export.Options,
    ),
    "suggest": Stage(
        suggest.run,
        "choose the images that are worth a label most; a table, and a page to label them on",
        {
            "labels": (int, 40, "number of images to choose"),
            "round": (
                int | None,
                None,
                "number of the round, from 1; from the second on, it learns from the labels so far, which data.labels "
                "names; null: 2 where some images have a label, else 1",
            ),
            "strategy": (str, choosing.NAMES[0], f"{_STRATEGIES}; or the import path 'module:OBJECT' of your own"),
            "seed": (int, 0, "seed of the choice"),
        },
    ),
    "review": Stage(
        review.run,
        "find labels that are probably wrong; a page to correct them on, which saves labels.csv",
        {"count": (int, 50, "largest number of labels to show, the most doubtful first")},
    ),
    "reproduce": Stage(
        reproduce.run,
        "train a cell again in a temporary place, from its manifest alone, and say whether the two match",
        {
            "cell": (str, "", "folder of a trained cell"),
            "tolerance": (
                float,
                0.01,
                "share of the test images that may be classified otherwise; on the same machine, none should be",
            ),
        },
    ),
    "compare-runs": Stage(
        compare_runs.run,
        "put two or more finished experiments side by side; differences from the first are paired where they can be",
        operands=("folders", "experiments' folders, runs/<name>"),
    ),
    "doctor": Stage(doctor.run, "check versions, devices, data, folders and disk; status 1 if something is broken"),
}

COMMANDS = STAGES | TOOLS
