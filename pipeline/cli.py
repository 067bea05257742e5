"""The command line: one subcommand a stage, every setting of the experiment an option."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from pipeline import modes
from pipeline.config import Experiment, from_parsed
from pipeline.errors import PipelineError
from pipeline.stages import (
    check_dataset,
    compare,
    compare_runs,
    data,
    doctor,
    export,
    predict,
    pretrain,
    report,
    sample,
    study,
    train,
    trained,
)
from pipeline.studies import STUDIES


@dataclass(frozen=True)
class Stage:
    """A subcommand: the function it calls, what ``--help`` says of it, options of its own, and what it is about.

    That is the experiment, unless ``operands`` names what is listed after the subcommand instead.
    """

    run: Callable[..., Path]
    summary: str
    options: dict[str, tuple[Any, Any, str]] = dataclasses.field(default_factory=dict)
    operands: str = ""


_STUDIES = "; ".join(f"{name}: {summary}" for name, summary in STUDIES.items())
_MODES = "; ".join(f"{name}: {mode.summary}" for name, mode in modes.BUILT_IN.items())

STAGES = {
    "check-dataset": Stage(check_dataset.run, "hold a data set against the contract, describe it, show what is in it"),
    "data": Stage(data.run, "unpack or download the images, check them, describe them"),
    "pretrain": Stage(pretrain.run, "learn an encoder from images without labels"),
    "sample": Stage(
        sample.run,
        "draw samples, reconstructions and interpolations from the pretrained latent space; of a VAE, measure the ELBO",
        {
            "count": (int, 100, "images to sample"),
            "seed": (int, 0, "of the sampled latents"),
        },
    ),
    "train": Stage(
        train.run,
        "train one classifier on a labelled subset (one cell)",
        {
            "mode": (str, "frozen", _MODES),
            "labels": (int, 100, "label budget, validation included"),
            "seed": (int, 0, "which draw of the labelled subset"),
        },
    ),
    "compare": Stage(compare.run, "train the grid of modes x labels x draws and compare E_in with E_out"),
    "study": Stage(study.run, f"put a claim of the theory to the test; study.name is one of: {_STUDIES}"),
    "report": Stage(report.run, "write report.html and report.md from what compare found"),
}

# what is done around a finished experiment; in no order
TOOLS = {
    "predict": Stage(
        predict.run,
        "classify images of yours with a trained classifier; class and probabilities as CSV",
        {
            "images": (
                str,
                "",
                "folder of PNG and JPEG files, one such file, .npy, .npz, or an IDX file, gzipped or not",
            ),
            "resize": (bool, False, "scale images of another size, and convert grey and colour; else they are refused"),
            "out": (str, "", "CSV file to write; empty: runs/<name>/predictions/<images>-<cell>.csv"),
            **trained.OPTIONS,
        },
    ),
    "export": Stage(
        export.run,
        "put a trained classifier into a folder of its own: weights, description, model card, ONNX",
        {
            "onnx": (bool, True, "write an ONNX file, too, and compare it with the original"),
            "out": (str, "", "folder to make, which must not exist; empty: runs/<name>/export-<cell>-*/"),
            **trained.OPTIONS,
        },
    ),
    "compare-runs": Stage(
        compare_runs.run,
        "put two or more finished experiments side by side; differences from the first are paired where they can be",
        operands="folders",
    ),
    "doctor": Stage(doctor.run, "check versions, devices, data, folders and disk; status 1 if something is broken"),
}

COMMANDS = STAGES | TOOLS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage and return the exit status: 0, 1 or 2 for what the user can mend, 130 and 143 when interrupted."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(arguments)
    finally:
        signal.signal(signal.SIGTERM, before)  # whoever called this has its own way to end


def _run(arguments: Sequence[str] | None) -> int:
    parser, stage_parsers = make_parser()
    namespace = parser.parse_args(arguments)
    name = namespace.subcommand
    try:
        chosen = stage_parsers[name].instantiate(namespace[name])
        stage = COMMANDS[name]
        subject = chosen[stage.operands] if stage.operands else from_parsed(chosen)
        result = stage.run(subject, *(chosen[option] for option in stage.options))
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    print(f"{name}: {result}")
    return 0


def make_parser() -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    """The parser, and the parser of each stage."""
    parser = ArgumentParser(
        prog="python -m pipeline",
        description="Pretrain an autoencoder on unlabelled images, train classifiers on a few labels, compare E_in "
        "with E_out. Stages in order: " + ", ".join(STAGES) + ". A finished stage is recognised and not run again. "
        "Around them: " + ", ".join(TOOLS) + ".",
    )
    subcommands = parser.add_subcommands(required=True, metavar="STAGE")
    stage_parsers = {name: _stage_parser(name, stage) for name, stage in COMMANDS.items()}
    for name, stage_parser in stage_parsers.items():
        subcommands.add_subcommand(name, stage_parser, help=COMMANDS[name].summary)
    return parser, stage_parsers


def _stage_parser(name: str, stage: Stage) -> ArgumentParser:
    # a usage line that lists every setting would bury the message below it
    own = "".join(f" [--{option} {option.upper()}]" for option in stage.options)
    subject = f"{stage.operands.upper()} ..." if stage.operands else f"[--config FILE]{own} [--section.field value ...]"
    parser = ArgumentParser(description=stage.summary, usage=f"python -m pipeline {name} {subject}")
    if stage.operands:
        parser.add_argument(stage.operands, nargs="+", type=str, help="experiments' folders, runs/<name>")
    else:
        parser.add_argument("--config", action="config", help="YAML file with settings; options after it win")
        parser.add_class_arguments(Experiment)
    for option, (kind, default, explanation) in stage.options.items():
        parser.add_argument(f"--{option}", type=kind, default=default, help=explanation)
    return parser


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
