"""Stage data: unpack or download the images, check them, and write down what they are."""

from __future__ import annotations

from pathlib import Path

from pipeline.artefacts import data_card
from pipeline.config import Experiment
from pipeline.datasets import loading


def run(config: Experiment) -> Path:
    """Make the data ready, print what is in it, and return the folder of its card.

    Raises:
        PipelineError: If the data cannot be loaded, or break the contract of a data set.
    """
    loading.prepare(config.data)
    folder = data_card.artefact(config).build()
    card = data_card.load(config)
    size = " x ".join(map(str, card["shape"]))
    print(
        f"{card['dataset']}: {card['train']} training and {card['test']} test images of {size}, "
        f"{len(card['classes'])} classes, {card['unlabelled']} unlabelled, "
        f"{card['left_out_because_in_test']} left out because the test set holds them too, "
        f"{card['labels_of_copies_left_out']} labels left out because another image is the same"
    )
    return folder
