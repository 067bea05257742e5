"""Stage data: unpack or download the images, check them, and write down what they are."""

from __future__ import annotations

from pathlib import Path

from pipeline.artefacts import data_card
from pipeline.config import Experiment
from pipeline.datasets import loading
from pipeline.datasets.facts import Facts, scale_text

MUCH = 2e9  # bytes of memory from which on pretraining gets a remark
SMALL = 64  # pixels a side that most pictures can do with


def run(config: Experiment) -> Path:
    """Make the data ready, print what is in it, and return the folder of its card.

    Raises:
        PipelineError: If the data cannot be loaded, or break the contract of a data set.
    """
    loading.prepare(config.data)
    built = data_card.build(config)
    card = data_card.load(config)
    print(describe(card))
    if remark := _remark_on_memory(config, card):
        print(f"  remark: {remark}")
    if built.is_other:
        print(f"the data have changed ({built.changes}): what depends on them is made again")
    elif built.changes:
        print(f"files have changed ({built.changes}), but the data are the same: nothing is made again")
    return built.folder


def _remark_on_memory(config: Experiment, card: Facts) -> str:
    """Return a remark, with the remedy, if pretraining on these images would take much memory; else ""."""
    channels, height, width = card["shape"]
    if height * width <= SMALL * SMALL:
        return ""
    from pipeline.learning.memory import estimate_pretraining

    needed, small = (
        estimate_pretraining(config.pretrain, config.invariances, shape, card["train"])
        for shape in ((channels, height, width), (channels, SMALL, SMALL))
    )
    if needed is None or small is None or needed < MUCH or small > needed / 2:
        return ""
    return (
        f"pretraining on {height} x {width} pixels takes about {needed / 1e9:.1f} GB of memory: make the images "
        f"smaller, of {SMALL} x {SMALL} it is {small / 1e9:.1f} GB (data.args.size {SMALL}, where the reader has it)"
    )


def describe(card: Facts) -> str:
    """Return the card in a few lines, with what its owner had better know."""
    size = " x ".join(map(str, card["shape"]))
    counts = [
        f"{card['dataset']}: {card['train']} training and {card['test']} test images of {size}",
        f"{len(card['classes'])} classes",
        f"{card['unlabelled']} unlabelled",
    ]
    if card["left_out_because_in_test"]:
        counts.append(f"{card['left_out_because_in_test']} left out because the test set holds them too")
    if card["labels_of_copies_left_out"]:
        counts.append(f"{card['labels_of_copies_left_out']} labels left out because another image is the same")
    lines = [
        ", ".join(counts),
        f"  {scale_text(card)}",
        f"  the test set {'was held out of the labelled images' if card['held_out'] else 'is the official one'}",
    ]
    return "\n".join([*lines, *(f"  remark: {remark}" for remark in card["remarks"])])
