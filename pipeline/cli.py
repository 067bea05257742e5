"""The command line: reads the words, calls the command, and turns what can go wrong into a message and a status."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pipeline import methods
from pipeline.commands import COMMANDS
from pipeline.config import from_parsed
from pipeline.errors import PipelineError
from pipeline.invocation import targets
from pipeline.parsers import commands_parser, stage_parser
from pipeline.settings_text import in_plain_words
from pipeline.store.regular_files import check_regular
from pipeline.training.precision import with_fixed_precision

_KEPT = "what is finished is kept, the same command goes on from there"


class Terminated(SystemExit):
    """The process was asked to end, by SIGTERM."""


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
    name: str = commands_parser().parse_args(words[:1]).stage
    try:
        result = COMMANDS[name].run(*_arguments(name, words[1:]))
    except PipelineError as error:
        return _refuse(str(error), error.status)
    except OSError as error:  # names the path; nothing of ours is half-written, whichever it is
        return _refuse(f"{error}; check that it is there, that it may be read and written, and that the disk has room")
    except MemoryError as error:
        return _refuse(f"the memory does not suffice ({error}); use fewer or smaller images, or another machine")
    except KeyboardInterrupt:
        print(f"interrupted; {_KEPT}", file=sys.stderr)
        return 130
    except Terminated:
        print(f"terminated; {_KEPT}", file=sys.stderr)
        raise
    print(f"{name}: {result}")
    return 0


def _arguments(name: str, words: Sequence[str]) -> list[Any]:
    """Read what a command's function is called with: the experiment or the operands, and its own options if it has any.

    Raises:
        PipelineError: If a setting is not allowed, or the config cannot be read.
    """
    parser, stage = stage_parser(name), COMMANDS[name]
    words = [_at_home(word) for word in _without_options_of_targets(name, words)]
    _check_files(words)
    try:
        chosen = parser.instantiate(parser.parse_args(words))
    except PipelineError:
        raise
    except Exception as error:  # whatever YAML and jsonargparse raise of a broken or hostile file
        reason = in_plain_words(f"{type(error).__name__}: {error}")
        raise PipelineError(
            f"the settings cannot be read ({reason}); correct the file that --config names, or the options"
        ) from error
    arguments = []
    if stage.operands is not None:
        arguments.append(chosen[stage.operands[0]])
    else:
        experiment = from_parsed(chosen)
        methods.own_settings(experiment.pretrain)  # which only the method can check
        arguments.append(with_fixed_precision(experiment))
    if stage.options is not None:
        arguments.append(stage.options(**{field.name: chosen[field.name] for field in fields(stage.options)}))
    return arguments


def _without_options_of_targets(name: str, words: Sequence[str]) -> list[str]:
    """Leave out the options that only the target has which make was asked for.

    Make hands the same ARGS to each stage that the target needs first: target ``predict`` with
    ``ARGS="--coverage 0.9"`` runs ``data``, which has no such option.
    """
    asked = {option for target in targets() if target in COMMANDS for option in COMMANDS[target].explain_options()}
    others = {f"--{option}" for option in asked - COMMANDS[name].explain_options().keys()}
    kept = []
    rest = iter(words)
    for word in rest:
        if word in others:
            next(rest, None)  # its value
        elif word.partition("=")[0] not in others:
            kept.append(word)
    return kept


def _at_home(word: str) -> str:
    """Replace ~ at the start of an argument's path by the home folder, as shells do, but not behind an equals sign."""
    option, equals, value = word.partition("=")
    if word.startswith("--") and equals and value.startswith("~/"):
        return f"{option}={Path(value).expanduser()}"
    return str(Path(word).expanduser()) if word.startswith("~/") else word


def _check_files(words: Sequence[str]) -> None:
    """Refuse an option that names a pipe, a device or a socket, and a folder where the config should be."""
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


def _terminate(number: int, frame: object) -> None:
    raise Terminated(128 + number)
