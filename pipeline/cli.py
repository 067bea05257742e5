"""The command line: one subcommand a stage, every setting of the experiment an option."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter
from jsonargparse._actions import ActionConfigFile

from pipeline import methods, modes, settings_text
from pipeline.artefacts import classifier
from pipeline.config import Experiment, from_parsed
from pipeline.errors import PipelineError
from pipeline.invocation import program
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
    reproduce,
    sample,
    study,
    train,
)
from pipeline.store.regular_files import check_regular
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
            **classifier.OPTIONS,
        },
    ),
    "export": Stage(
        export.run,
        "put a trained classifier into a folder of its own: weights, description, model card, ONNX",
        {
            "onnx": (bool, True, "write an ONNX file, too, and compare it with the original"),
            "out": (str, "", "folder to make, which must not exist; empty: runs/<name>/export-<cell>-*/"),
            **classifier.OPTIONS,
        },
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
        operands="folders",
    ),
    "doctor": Stage(doctor.run, "check versions, devices, data, folders and disk; status 1 if something is broken"),
}

COMMANDS = STAGES | TOOLS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage and return the exit status: 0, 1 or 2 for what the user can mend, 130 and 143 when interrupted."""
    if threading.current_thread() is not threading.main_thread():
        return _run(arguments)  # only the main thread may set a signal's handler
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(arguments)
    finally:
        signal.signal(signal.SIGTERM, before)  # whoever called this has its own way to end


def _run(arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    name: str = _commands_parser().parse_args(words[:1]).stage
    try:
        subject, options = _settings(name, words[1:])
        result = COMMANDS[name].run(subject, *options)
    except PipelineError as error:
        return _refuse(str(error), error.status)
    except OSError as error:  # names the path; nothing of ours is half-written, whichever it is
        return _refuse(f"{error}; check that it is there, that it may be read and written, and that the disk has room")
    except MemoryError as error:
        return _refuse(f"the memory does not suffice ({error}); use fewer or smaller images, or another machine")
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    print(f"{name}: {result}")
    return 0


def _settings(name: str, words: Sequence[str]) -> tuple[Any, list[Any]]:
    """What a stage is about, and its own options.

    Raises:
        PipelineError: A setting is not allowed, or the config cannot be read.
    """
    parser, stage = stage_parser(name), COMMANDS[name]
    _check_files(words)
    try:
        chosen = parser.instantiate(parser.parse_args(words))
    except PipelineError:
        raise
    except Exception as error:  # whatever YAML and jsonargparse raise of a broken or hostile file
        raise PipelineError(
            f"the settings cannot be read ({type(error).__name__}: {error}); mend the file that --config names, or the "
            "options"
        ) from error
    options = [chosen[option] for option in stage.options]
    if stage.operands:
        return chosen[stage.operands], options
    experiment = from_parsed(chosen)
    methods.own_settings(experiment.pretrain)  # which only the method can check
    return experiment, options


def _check_files(words: Sequence[str]) -> None:
    """Refuse an option that names a pipe, a device or a socket, and a folder where the config should be.

    Raises:
        PipelineError: If there is one.
    """
    option = ""
    for word in words:
        value = word
        if word.startswith("--"):
            option, _, value = word.partition("=")
        if value:
            check_regular(Path(value), option, folder_allowed=option != "--config")


def _refuse(message: str, status: int = PipelineError.status) -> int:
    """Print an error; what a terminal would obey, such as in a file's name that means harm, is written out."""
    shown = (c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in message)
    print(f"error: {''.join(shown)}", file=sys.stderr)
    return status


def _commands_parser() -> argparse.ArgumentParser:
    """The parser of the first word alone: making those of all stages would take longer than many a stage."""
    parser = argparse.ArgumentParser(
        prog=program(),
        usage=f"{program()} STAGE ...",
        description="Pretrain an autoencoder on unlabelled images, train classifiers on a few labels, compare E_in "
        "with E_out. Stages in order: " + ", ".join(STAGES) + ". A finished stage is recognised and not run again. "
        "Around them: " + ", ".join(TOOLS) + ".",
        epilog=f"{program()} STAGE --help explains a stage and every setting.",
    )
    stages = parser.add_subparsers(title="stages", metavar="STAGE", dest="stage", required=True)
    for name, stage in COMMANDS.items():
        stages.add_parser(name, help=stage.summary.replace("%", "%%"), add_help=False)
    return parser


def stage_parser(name: str) -> ArgumentParser:
    """The parser of what follows the name of a stage."""
    stage = COMMANDS[name]
    # a usage line that lists every setting would bury the message below it
    own = "".join(f" [--{option} {option.upper()}]" for option in stage.options)
    subject = f"{stage.operands.upper()} ..." if stage.operands else f"[--config FILE]{own} [--section.field value ...]"
    parser = ArgumentParser(
        prog=f"{program()} {name}",
        description=stage.summary,
        usage=f"{program()} {name} {subject}",
        parser_mode=settings_text.register(),
        epilog=None if stage.operands else _explain_methods(),
        formatter_class=_Help,
    )
    if stage.operands:
        parser.add_argument(stage.operands, nargs="+", type=str, help="experiments' folders, runs/<name>")
    else:
        parser.add_argument("--config", action=_ConfigFile, help="YAML file with settings; options after it win")
        parser.add_class_arguments(Experiment)
    for option, (kind, default, explanation) in stage.options.items():
        parser.add_argument(f"--{option}", type=kind, default=default, help=explanation)
    return parser


class _ConfigFile(ActionConfigFile):
    """Lays a config file over the settings before it; jsonargparse alone would drop the modes that it does not name."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Read the file, and keep the changes of modes that it does not name."""
        before = cfg.get("train.modes") or {}
        super().__call__(parser, cfg, values, option_string)  # type: ignore[no-untyped-call]
        cfg["train.modes"] = {**before, **(cfg.get("train.modes") or {})}


class _Help(DefaultHelpFormatter):
    """Leaves the lines of the last paragraph as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


def _explain_methods() -> str:
    """The built-in pretraining methods, and the settings that each has for itself."""
    lines = ["Built-in methods of pretraining (pretrain.method), and what pretrain.args may hold:"]
    for name in methods.BUILT_IN:
        method = methods.find_method(name)
        lines.append(f"  {name}: {method.summary}")
        fields = dataclasses.fields(method.settings)
        lines += [f"    {field.name}: {field.type}, default {field.default}" for field in fields]
    return "\n".join(lines)


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
