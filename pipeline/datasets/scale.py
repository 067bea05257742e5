"""The rule by which the numbers of images become intensities: which value is white, and which numbers are refused.

The type and the values of an array usually tell: booleans are black and white; bytes run to 255; floats run to 1, or to
255. If they do not, as for whole numbers from 0 to 16, the user says which value is white. The result is a ``Scale``,
which is kept with everything that is made from the images, so that new images are read like those of the training.
``docs/datasets.md`` has a table of the rule.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.config import JsonObject
from pipeline.errors import PipelineError

Array = npt.NDArray[Any]

TOLERANCE = 0.1  # the share of white by which floats may lie beyond black and white, as after smooth resizing
DIM = 128  # numbers other than bytes are taken for intensities up to 255 only if the largest is at least this
APART = 8  # parts whose brightest values differ by more than this factor are taken to be scaled differently

GIVE_WHITE = "data.args.white"  # the setting of the value of white, for messages


@dataclass(frozen=True)
class Values:
    """The type and the range of the numbers that images consist of.

    Attributes:
        dtype: The name of their NumPy type, such as "uint8".
        low: The least number.
        high: The greatest number.
    """

    dtype: str
    low: float
    high: float

    @property
    def kind(self) -> str:
        """The kind of numbers: "bool", "int" or "float"."""
        return {"b": "bool", "u": "int", "i": "int", "f": "float"}[np.dtype(self.dtype).kind]

    @property
    def text(self) -> str:
        """The range in words."""
        return f"pixels run from {_show(self.low)} to {_show(self.high)}"

    @property
    def slack(self) -> float:
        """The share of white by which values may lie beyond black and white; whole numbers have no rounding errors."""
        return TOLERANCE if self.kind == "float" else 0

    def reach(self, white: float) -> bool:
        """Whether all values lie between black and this white, apart from rounding."""
        return self.low >= -self.slack * white and self.high <= (1 + self.slack) * white

    def __or__(self, other: Values) -> Values:
        """Return the common type and range of two sets of numbers of one kind."""
        widest = np.result_type(np.dtype(self.dtype), np.dtype(other.dtype))
        return Values(str(widest), min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Scale:
    """How numbers became intensities: 0 is black, and ``white`` became 255.

    Attributes:
        white: The value of a white pixel.
        values: The type and the range of the numbers.
        given: Whether the user said which value is white; otherwise the numbers told.
    """

    white: float
    values: Values
    given: bool = False

    @classmethod
    def from_dict(cls, content: JsonObject) -> Scale:
        """Make a scale from JSON: the inverse of ``dataclasses.asdict``.

        Raises:
            KeyError, TypeError, ValueError: If a field is missing or has a value that is not allowed.
        """
        seen, white = content["values"], float(content["white"])
        if not 0 < white < float("inf"):
            raise ValueError(f"white {white}")
        values = Values(str(np.dtype(seen["dtype"])), float(seen["low"]), float(seen["high"]))
        return cls(white, values, bool(content["given"]))

    @property
    def text(self) -> str:
        """The scale in words, such as "pixels 0 to 16, taken as 0 to 1 by white: 16"."""
        values, white = self.values, _show(self.white)
        said = f"pixels {_show(values.low)} to {_show(values.high)}, taken as 0 to 1 by white: {white}"
        if values.low < 0 or values.high > self.white:
            where = [f"above {white}"] if values.high > self.white else []
            if values.low < 0:
                where.append("below 0")
            said += f" (values slightly {' and '.join(where)} are rounding errors, and are clipped)"
        if values.dtype == "uint8" and self.white == 1 and not self.given:
            said += " (bytes that hold 0 and 1 alone; if they are nearly black instead, white is 255)"
        return said

    def to_bytes(self, numbers: Array) -> npt.NDArray[np.uint8]:
        """Return intensities, 0 to 255, of numbers of any shape."""
        if numbers.dtype == np.uint8 and self.white == 255:
            return numbers
        scaled = np.rint(numbers * (255 / self.white))
        return scaled.clip(0, 255).astype(np.uint8)


BYTES = Scale(255, Values("uint8", 0, 255))  # the scale of images that are intensities from 0 to 255 already


def find_scale(parts: Mapping[str, Values], white: float | None = None, setting: str = GIVE_WHITE) -> Scale:
    """Find the scale of images, which all parts of a data set share, such as its training and its test images.

    Args:
        parts: The numbers of each part, all finite, by the name of the part in messages.
        white: The value of white that the user names; None finds it from the numbers.
        setting: The setting by which the user names white, for messages.

    Raises:
        PipelineError: If the numbers do not tell which value is white, lie beyond black and white, or are scaled
            differently in different parts.
    """
    if white is not None and not (isinstance(white, int | float) and 0 < white < float("inf")):
        raise PipelineError(f"{setting}: {white!r} is not allowed; expected the value of a white pixel, above 0")
    if white is None:
        _check_alike(parts, setting)
    values = functools.reduce(Values.__or__, parts.values())
    found = _natural_white(values) if white is None else float(white)
    for name, own in parts.items():
        if found is None and own.low >= 0:
            raise PipelineError(
                f"{name}: {own.text}, and nothing tells which value is white; expected bytes, floats from 0 to 1, or "
                f"numbers up to 255. If {_show(values.high)} is white, set {setting} {_show(values.high)}; or "
                "scale the images"
            )
        if found is None or not own.reach(found):
            raise PipelineError(
                f"{name}: {own.text}; expected 0 (black) to {_show(found or 255)} (white). {_explain(own, setting)}"
            )
    assert found is not None
    return Scale(found, values, white is not None)


def find_scale_like(known: Scale, name: str, values: Values, white: float | None, setting: str) -> Scale:
    """Find the scale of new images, which most likely have that of the training images.

    Args:
        known: The scale of the training images.
        name: The name of the new images in messages.
        values: The type and range of their numbers, all finite.
        white: The value of white that the user names; None takes that of the training, or what the numbers tell.
        setting: The setting by which the user names white, for messages.

    Raises:
        PipelineError: If nothing tells which value is white, or the numbers lie beyond black and white.
    """
    plausible = known.white < APART * values.high and values.reach(known.white)
    if white is None and plausible and values.kind != "bool":
        return Scale(known.white, values, known.given)
    return find_scale({name: values}, white, setting)


def find_range(values: Values) -> tuple[float, float]:
    """Return the numbers that an estimator maps to 0 and 1: black and white, or the least and the greatest number.

    An estimator takes any numbers, such as standardised ones, among which no value need be black.
    """
    white = _natural_white(values)
    if white is None or not values.reach(white):
        return values.low, values.high
    return 0.0, white


def find_deviation(known: tuple[float, float], values: Values, mean: float) -> str:
    """Say in a sentence whether new numbers are far from the range that an estimator was fitted to; "" if they are not.

    The range is that of the numbers that the estimator maps to 0 and 1. It is held against the new numbers' mean, since
    a single number beyond the range means nothing: there are outliers.
    """
    low, high = known
    is_beyond = not low <= mean <= high
    is_dark = low == 0 and 0 < values.high < high / APART
    if low < high and (is_beyond or is_dark):
        return (
            f"X runs from {_show(values.low)} to {_show(values.high)}, but fit took {_show(low)} and {_show(high)} for "
            "black and white: scale X as it was scaled then"
        )
    return ""


def _explain(values: Values, setting: str) -> str:
    """Return the remedy for numbers that lie beyond black and white."""
    if values.low < -values.slack * values.high:
        return "Undo any standardisation, so that black is 0"
    return f"Scale them, or say which value is white with {setting}"


def _natural_white(values: Values) -> float | None:
    """Return the value of white that the numbers tell; None if they do not."""
    if values.high <= 1 + values.slack:
        return 1
    if values.dtype == "uint8" or values.high >= DIM:
        return 255
    return None


def _check_alike(parts: Mapping[str, Values], setting: str) -> None:
    """Refuse parts of different types or scales."""
    (first_name, first), *others = parts.items()
    for name, values in others:
        if values.kind != first.kind:
            raise PipelineError(
                f"{name}: they are {values.dtype}, {first_name} are {first.dtype}; expected one type, so that one "
                f"scale serves for all. Convert them; or say which value is white in both with {setting}"
            )
        darker, brighter = sorted((first.high, values.high))
        if 0 < darker < brighter / APART:
            raise PipelineError(
                f"{name}: {values.text}, those of {first_name} from {_show(first.low)} to {_show(first.high)}: they "
                f"seem to be scaled differently. Bring them to one scale; or, if they are as they should be, say which "
                f"value is white with {setting}"
            )


def _show(number: float) -> str:
    """Return a number with enough digits to tell all values of float32 apart."""
    return f"{number:.9g}"
