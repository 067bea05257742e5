"""The description of a classifier: all that is needed to rebuild it and to say what it is."""

from __future__ import annotations

import math
from typing import TypedDict

from pipeline import methods
from pipeline.artefacts.metrics import SplitMetrics
from pipeline.config import JsonObject
from pipeline.datasets.brightness import Brightness
from pipeline.datasets.decoding import Decoding
from pipeline.datasets.new_images import Reading
from pipeline.datasets.scale import Scale
from pipeline.store.provenance import Provenance


class ReadAs(TypedDict):
    """How the images of a training were read.

    Attributes:
        shape: Channels, height and width.
        scale: The content of a ``Scale``: how the numbers of the images became intensities.
        decoding: The content of a ``Decoding``: how picture files were decoded; None if there were none.
    """

    shape: list[int]
    scale: JsonObject
    decoding: JsonObject | None


class Input(ReadAs):
    """The images that the classifier takes, and how the training images were converted to them.

    Attributes:
        layout: The order of the dimensions, "NCHW".
        type: The type of the numbers, "uint8".
        range: The intensities of black and white, 0 and 255.
        divided_inside_by: The number by which the network divides intensities, 255, to get numbers from 0 to 1.
        brightness: The content of a ``Brightness``: the intensities of the training images.
    """

    layout: str
    type: str
    range: list[int]
    divided_inside_by: int
    brightness: JsonObject


class TrainingData(TypedDict):
    """The name and the SHA-256 of the training data, and the numbers of training and test images."""

    dataset: str
    sha256: str
    train: int
    test: int


class Training(TypedDict):
    """The mode, the label budget and the draw of the training, and the errors; ``Metrics`` explains the fields."""

    mode: str
    labels: int
    seed: int
    e_in: SplitMetrics
    e_val: SplitMetrics | None
    e_out: SplitMetrics


class Judged(TypedDict):
    """Answers to labels of the budget that it did not learn from: how sure of each it was, and whether it was right."""

    probability: list[float]
    right: list[bool]


class Description(TypedDict):
    """The content of description.json.

    Attributes:
        format: The version of the file formats.
        fingerprint: The fingerprint of all that the cell was made from.
        input: The images that the classifier takes.
        classes: The names of the classes, in the order of the network's outputs.
        encoder: The settings that the encoder is built from, as ``methods.architecture`` gives them.
        head_widths: The widths of the head's hidden layers.
        data: The data that the classifier was trained on.
        trained: How the classifier was trained, and its errors.
        temperature: The number that logits are divided by before they become probabilities.
        judged: The answers that its promises rest on.
        provenance: The versions, the machine and the command.
    """

    format: int
    fingerprint: str
    input: Input
    classes: list[str]
    encoder: JsonObject
    head_widths: list[int]
    data: TrainingData
    trained: Training
    temperature: float
    judged: Judged
    provenance: Provenance


def input_shape(description: Description) -> tuple[int, int, int]:
    """Return channels, height and width of the images that the classifier takes."""
    channels, height, width = description["input"]["shape"]
    return channels, height, width


def reading(given: ReadAs) -> Reading:
    """Return how new images are read, so that an encoder sees them as it saw those of its training.

    Args:
        given: How the training images were read: the part "input" of a description, or the card of stage ``data``.

    Raises:
        KeyError, TypeError, ValueError, PipelineError: If it has other fields or values than it should.
    """
    channels, height, width = given["shape"]
    decoding = Decoding() if given["decoding"] is None else Decoding.from_dict(given["decoding"])
    return Reading((channels, height, width), Scale.from_dict(given["scale"]), decoding)


def check(description: Description) -> None:
    """Check the types and values that a network is built from, since an export may come from anywhere.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, PipelineError: If a field is missing or has a value that is not
            allowed.
    """
    shape, classes, widths = description["input"]["shape"], description["classes"], description["head_widths"]
    if not (len(shape) == 3 and all(type(size) is int and size > 0 for size in (*shape, *widths))):
        raise ValueError(f"input.shape {shape}, head_widths {widths}")
    if not (isinstance(classes, list) and all(isinstance(name, str) and name.isprintable() for name in classes)):
        raise ValueError(f"classes {classes}")
    temperature, judged = description["temperature"], description["judged"]
    if not (type(temperature) is float and 0 < temperature < math.inf):
        raise ValueError(f"temperature {temperature}")
    expected = 0 if description["trained"]["e_val"] is None else description["trained"]["e_val"]["n"]
    if not len(judged["probability"]) == len(judged["right"]) == expected:
        raise ValueError(f"judged {judged}")
    if not all(type(right) is bool for right in judged["right"]):
        raise ValueError(f"judged {judged}")
    if not all(type(probability) is float and 0 <= probability <= 1 for probability in judged["probability"]):
        raise ValueError(f"judged {judged}")
    reading(description["input"])
    Brightness.from_dict(description["input"]["brightness"])
    methods.from_architecture(description["encoder"])
