"""How bright images are: what tells that new images are scaled, lit or inverted unlike those of the training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config import JsonObject

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.models.inputs import Images

CHUNK = 1000  # images that are looked at at a time

_FAR = 3  # standard deviations between the means of two sets, from which on they are said to differ
_LEAST = 10  # of 255: smaller differences of the mean are never far, however alike the training images are
_DARK = 4  # times as bright: the brightest pixel of the training beside that of new images


@dataclass(frozen=True)
class Brightness:
    """The intensities of images, 0 (black) to 255 (white).

    Attributes:
        low: The least.
        high: The greatest.
        mean: The mean over all pixels.
        spread: The standard deviation of the means of the images.
        constant: How many images have one intensity all over.
    """

    low: float
    high: float
    mean: float
    spread: float
    constant: int

    @classmethod
    def from_dict(cls, content: JsonObject) -> Brightness:
        """Make a brightness from JSON: the inverse of ``dataclasses.asdict``.

        Raises:
            KeyError, TypeError, ValueError: If it is something else.
        """
        low, high, mean, spread = (float(content[name]) for name in ("low", "high", "mean", "spread"))
        return cls(low, high, mean, spread, int(content["constant"]))


class BrightnessMeter:
    """Measures images that come a few at a time."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.count, self.total, self.squares, self.constant = 0, 0.0, 0.0, 0

    def add(self, images: Tensor) -> None:
        """Take further images into account, at least one: uint8 or floats in [0, 1], shape (n, C, H, W)."""
        from pipeline.models.inputs import as_input

        pixels = images.flatten(1)
        darkest, brightest = pixels.amin(1), pixels.amax(1)
        means = 255 * as_input(pixels).mean(1).double()
        self.low = min(self.low, 255 * float(as_input(darkest).min()))
        self.high = max(self.high, 255 * float(as_input(brightest).max()))
        self.count += len(images)
        self.total += float(means.sum())
        self.squares += float(means.square().sum())
        self.constant += int((darkest == brightest).sum())

    def result(self) -> Brightness:
        """Return the statistics of all images that were added; there was at least one."""
        mean = self.total / self.count
        spread = math.sqrt(max(0.0, self.squares / self.count - mean**2))
        return Brightness(round(self.low, 1), round(self.high, 1), round(mean, 1), round(spread, 1), self.constant)


def measure(images: Images) -> Brightness:
    """Return the brightness of images, shape (N, C, H, W); all 0 if there are none."""
    from pipeline.models.inputs import chunks

    if not len(images):
        return Brightness(0, 0, 0, 0, 0)
    meter = BrightnessMeter()
    for chunk in chunks(images, CHUNK):
        meter.add(chunk)
    return meter.result()


def compare_brightness(training: Brightness, new: Brightness, setting: str) -> list[str]:
    """Return sentences on how far the mean or the brightest pixel of new images is from that of the training images.

    They name ``setting``, which says which value is white in the new ones; there are none if nothing is far.
    """
    sentences = []
    if abs(new.mean - training.mean) > max(_LEAST, _FAR * training.spread):
        sentences.append(
            f"the mean intensity is {new.mean:g}, that of the training images is {training.mean:g} (of 255): look "
            "whether these are lit, cut, scaled or inverted otherwise"
        )
    if new.high * _DARK < training.high:
        sentences.append(
            f"the brightest pixel is {new.high:g}, that of the training images is {training.high:g} (of 255): look "
            f"whether these are scaled otherwise; {setting} says which value is white"
        )
    return sentences
