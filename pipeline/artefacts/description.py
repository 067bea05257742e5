"""The description of a classifier: all that it is rebuilt from and known by, as an export keeps it."""

from __future__ import annotations

from typing import Any, TypedDict

from pipeline import methods
from pipeline.artefacts.metrics import SplitMetrics
from pipeline.datasets.brightness import Brightness
from pipeline.datasets.decoding import Decoding
from pipeline.datasets.new_images import Reading
from pipeline.datasets.scale import Scale
from pipeline.store.provenance import Provenance


class ReadAs(TypedDict):
    """How the images of a training were read.

    Attributes:
        shape: Channels, height and width.
        scale: How their numbers became intensities, see ``Scale``.
        decoding: How pictures were decoded, see ``Decoding``; None if there were no pictures.
    """

    shape: list[int]
    scale: dict[str, Any]
    decoding: dict[str, Any] | None


class Input(ReadAs):
    """What the classifier takes, and how the images of its training became that.

    Attributes:
        layout: "NCHW".
        type: "uint8".
        range: The intensities of black and white, 0 and 255.
        divided_inside_by: 255: the network itself turns intensities into numbers from 0 to 1.
        brightness: The intensities of the training images, see ``Brightness``.
    """

    layout: str
    type: str
    range: list[int]
    divided_inside_by: int
    brightness: dict[str, Any]


class TrainingData(TypedDict):
    """The data that it was trained on: their name and digest, and the numbers of training and test images."""

    dataset: str
    sha256: str
    train: int
    test: int


class Training(TypedDict):
    """How it was trained, and how often it errs, see ``metrics.Metrics``."""

    mode: str
    labels: int
    seed: int
    e_in: SplitMetrics
    e_val: SplitMetrics
    e_out: SplitMetrics


class Description(TypedDict):
    """The content of description.json.

    Attributes:
        format: The version of all formats that it was written with.
        fingerprint: The fingerprint of all that the cell was made from.
        input: What it takes.
        classes: Names of the classes, in the order of its outputs.
        encoder: What the encoder is built from, see ``methods.architecture``.
        head_widths: Hidden layers of the head.
        data: What it was trained on.
        trained: How it was trained, and how often it errs.
        provenance: Versions, machine and command.
    """

    format: int
    fingerprint: str
    input: Input
    classes: list[str]
    encoder: dict[str, Any]
    head_widths: list[int]
    data: TrainingData
    trained: Training
    provenance: Provenance


def input_shape(description: Description) -> tuple[int, int, int]:
    """Channels, height and width of the images that the classifier takes."""
    channels, height, width = description["input"]["shape"]
    return channels, height, width


def reading(given: ReadAs) -> Reading:
    """How new images are read, so that an encoder sees them as it saw those of its training.

    Args:
        given: How those were read: the part "input" of a description, or what stage data found.

    Raises:
        KeyError, TypeError, ValueError, PipelineError: If it says something else.
    """
    channels, height, width = given["shape"]
    decoding = Decoding() if given["decoding"] is None else Decoding.from_dict(given["decoding"])
    return Reading((channels, height, width), Scale.from_dict(given["scale"]), decoding)


def check(description: Description) -> None:
    """Hold the parts that a network is built from against what they have to be; an export may come from anywhere.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, PipelineError: If they are something else.
    """
    shape, classes, widths = description["input"]["shape"], description["classes"], description["head_widths"]
    if not (len(shape) == 3 and all(type(size) is int and size > 0 for size in (*shape, *widths))):
        raise ValueError(f"input.shape {shape}, head_widths {widths}")
    if not (isinstance(classes, list) and all(isinstance(name, str) and name.isprintable() for name in classes)):
        raise ValueError(f"classes {classes}")
    reading(description["input"])
    Brightness.from_dict(description["input"]["brightness"])
    methods.from_architecture(description["encoder"])
