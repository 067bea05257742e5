"""Stage init: a config for a data set that it is shown, with comments, to begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pipeline.config import DataConfig, GridConfig, JsonObject
from pipeline.datasets.facts import Facts
from pipeline.datasets.recognise import recognise, suggested_name
from pipeline.errors import PipelineError
from pipeline.invocation import command
from pipeline.store import disk

if TYPE_CHECKING:
    from pipeline.datasets.contract import Card

MAIN_JOB = 60_000  # images, which are pretrained on for LEAST_EPOCHS
LEAST_EPOCHS, MOST_EPOCHS = 16, 400

TEMPLATE = """\
# {title}
#
#   {check:<62}  look at the images first
#   {next:<62}  {purpose}
#
# `{help}` explains every setting; what is not named here has its default.
name: {name}

data:
  dataset: {dataset}{args}

# Which random changes leave an image's class as it is? digits: characters, never mirrored; objects: things, mirrored;
# none. check-dataset shows what becomes of your images.
invariances: {{preset: {preset}}}

pretrain:
  epochs: {epochs}  # passes over the images; fewer images need more

grid:
  modes: {modes}
  {budgets}
  draws: 8  # the least with which six paired differences can stand after Holm's correction
"""

BUDGETS = "labels: {}  # budgets: labels in all, those for early stopping included; {:,} images have one"
NO_BUDGET = "# labels: [40]  # no image has a label yet; when some have, in data.labels, name how many to train with"


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    name: Annotated[str, "the experiment's name; empty: the path's"] = ""
    out: Annotated[str, "file to write, which must not exist yet; empty: <name>.yaml in the working directory"] = ""
    args: Annotated[JsonObject, "arguments of the reader that the files do not tell, such as --args.white 16"] = field(
        default_factory=dict
    )


def run(paths: list[str], options: Options) -> Path:
    """Load the data set, describe it, and write a config that fits it; return the config's path.

    Args:
        paths: One path of images, or one name that ``data.dataset`` takes.
        options: The options of the command.

    Raises:
        PipelineError: If it cannot be told which reader is meant, the data set breaks the contract, or the file exists.
    """
    if len(paths) != 1:
        raise PipelineError(f"path: {' '.join(paths)!r} is not allowed; expected one path, or one name of a data set")
    name = options.name or suggested_name(paths[0])
    target = Path(options.out or f"{name}.yaml")
    if target.exists():
        raise PipelineError(f"out: {target} exists already; name another file with --out, or remove it")
    config = recognise(paths[0])
    config = replace(config, args=config.args | options.args)
    card = _examine(config)
    for remark in card.remarks:
        print(f"remark: {remark}")
    disk.write_atomic(target, config_text(name, target, config, card.facts))
    print(f"next: {command('check-dataset', config=target)}, then {command(_next_stage(card.facts), config=target)}")
    return target


def _examine(config: DataConfig) -> Card:
    """Load the data set and describe it.

    Raises:
        PipelineError: If it cannot be loaded, breaks the contract, or has too few labels for any budget.
    """
    from pipeline.datasets import loading
    from pipeline.datasets.contract import examine

    try:
        card = examine(loading.find_loader(config))
    except PipelineError as error:
        raise PipelineError(_as_options_of_init(str(error))) from error
    if card.problems:
        raise PipelineError("the contract of a data set is broken: " + "; ".join(card.problems))
    if _is_labelled(card.facts) and not card.facts["suggested_budgets"]:
        raise PipelineError("too few images have a label: " + "; ".join(card.remarks))
    return card


def _as_options_of_init(message: str) -> str:
    """Call arguments of the reader, in a message, as they are called on the command line of this stage."""
    return message.replace("data.args.path:", "path:").replace("data.args.", "--args.")


def config_text(name: str, target: Path, config: DataConfig, facts: Facts) -> str:
    """Return the config for a data set and the facts that were found in it, as YAML with comments."""
    channels, height, width = facts["shape"]
    colour = "colour" if channels == 3 else "grey" if channels == 1 else f"{channels}-channel"
    title = (
        f"{facts['train']:,} training and {facts['test']:,} test images, {colour}, {height} x {width} pixels, in "
        f"{len(facts['classes'])} classes; {facts['unlabelled']:,} have no label."
    )
    labelled = facts["train"] - facts["unlabelled"]
    args = f"\n  args: {json.dumps(config.args)}" if config.args else ""  # JSON is YAML, whatever is in a path
    return TEMPLATE.format(
        title=title,
        check=command("check-dataset", config=target),
        next=command(_next_stage(facts), config=target),
        purpose="the whole job, up to the report" if _is_labelled(facts) else "which images to label, and a page",
        help=command("all") + " --help",
        name=name,
        dataset=json.dumps(config.dataset),
        args=args,
        preset="objects" if channels == 3 else "digits",
        epochs=suggested_epochs(facts["train"]),
        modes=f"[{', '.join(GridConfig().modes)}]",
        budgets=BUDGETS.format(facts["suggested_budgets"], labelled) if _is_labelled(facts) else NO_BUDGET,
    )


def _is_labelled(facts: Facts) -> bool:
    """Return whether any training image has a label."""
    return facts["unlabelled"] < facts["train"]


def _next_stage(facts: Facts) -> str:
    """Return the stage to run once the images have been looked at."""
    return "all" if _is_labelled(facts) else "suggest"


def suggested_epochs(images: int) -> int:
    """Return the epochs of pretraining: 16 for 60,000 images or more; for fewer, as many steps in all, or 400 epochs.

    How long pays is measured by ``python -m benchmarks.lengths``, see docs/methods.md.

    Examples:
        >>> suggested_epochs(60_000), suggested_epochs(6000), suggested_epochs(500)
        (16, 160, 400)
    """
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, round(LEAST_EPOCHS * MAIN_JOB / images)))
