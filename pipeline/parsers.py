"""The parsers of the command line: of a command's name, and of what follows it."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter
from jsonargparse._actions import ActionConfigFile

from pipeline import methods, settings_text
from pipeline.commands import COMMANDS, STAGES, TOOLS
from pipeline.config import Experiment
from pipeline.invocation import program


def commands_parser() -> argparse.ArgumentParser:
    """Make the parser of the command's name alone: making those of all commands would take longer than many a stage."""
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
    """Make the parser of what follows the name of a command: every setting of the experiment is an option."""
    stage = COMMANDS[name]
    options = stage.explain_options()
    # a usage line that lists every setting would bury the message below it
    own = "".join(f" [--{option} {option.upper()}]" for option in options)
    subject = f"[--config FILE]{own} [--section.field value ...]"
    if stage.operands is not None:
        subject = f"{stage.operands[0].upper()} ...{own}"
    parser = _Parser(
        prog=f"{program()} {name}",
        description=stage.summary,
        usage=f"{program()} {name} {subject}",
        parser_mode=settings_text.register(),
        epilog=None if stage.operands else _explain_methods(),
        formatter_class=_Help,
    )
    if stage.operands is not None:
        operand, explanation = stage.operands
        parser.add_argument(operand, nargs="+", type=str, help=explanation)
        taken = ", ".join([f"{operand.upper()} ({explanation})", *(f"--{option}" for option in options)])
        parser.hint = (
            f"; {name} takes only {taken}; the settings of an experiment stand in its config, or follow a command that "
            "takes --config"
        )
    else:
        parser.add_argument("--config", action=_ConfigFile, help="YAML file with settings; options after it win")
        parser.add_class_arguments(Experiment)
    for option, (kind, default, explanation) in options.items():
        parser.add_argument(f"--{option}", type=kind, default=default, help=explanation)
    return parser


class _Parser(ArgumentParser):
    """Says in plain words what is wrong with the settings.

    Attributes:
        hint: The end of the message on words that the command does not take: a list of what it takes.
    """

    hint = ""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and exit with status 2."""
        hint = self.hint if message.startswith("unrecognized arguments") else ""
        super().error(settings_text.in_plain_words(message) + hint, ex)


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
    """Return the built-in pretraining methods, and the settings that each has for itself."""
    lines = ["Built-in methods of pretraining (pretrain.method), and what pretrain.args may hold:"]
    for name in methods.BUILT_IN:
        method = methods.find_method(name)
        lines.append(f"  {name}: {method.summary}")
        fields = dataclasses.fields(method.settings)
        lines += [f"    {field.name}: {field.type}, default {field.default}" for field in fields]
    return "\n".join(lines)
