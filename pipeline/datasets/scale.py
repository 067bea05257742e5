"""The one rule by which numbers become intensities: which value is white, who says so, and what is refused.

The type and the values of an array tell most of it: booleans are black and white; bytes run to 255; floats run to 1, or
to 255. Where they do not, such as for whole numbers from 0 to 16, the user says which value is white. The outcome is a
``Scale``, which stays with whatever is made from the images, so that new images are read like those of the training.
See the table in ``docs/datasets.md``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import PipelineError

Array = npt.NDArray[Any]

TOLERANCE = 0.1  # of white: by so much floats may lie beyond black and white, as smooth resizing leaves them
DIM = 128  # numbers whose brightest is below are not taken for intensities up to 255, unless they are bytes
APART = 8  # times as bright as another part: the two are scaled differently

GIVE_WHITE = "data.args.white"  # the setting that messages name


@dataclass(frozen=True)
class Values:
    """The numbers that images are made of.

    Attributes:
        dtype: Their type, as NumPy calls it, such as "uint8".
        low: The least of them.
        high: The greatest of them.
    """

    dtype: str
    low: float
    high: float

    @property
    def kind(self) -> str:
        """What sort of numbers they are: "bool", "int" or "float"."""
        return {"b": "bool", "u": "int", "i": "int", "f": "float"}[np.dtype(self.dtype).kind]

    @property
    def text(self) -> str:
        """The range in words."""
        return f"pixels run from {_show(self.low)} to {_show(self.high)}"

    @property
    def slack(self) -> float:
        """The share of white by which values may lie beyond black and white: whole numbers are never rounded."""
        return TOLERANCE if self.kind == "float" else 0

    def reach(self, white: float) -> bool:
        """Whether all values lie between black and this white, rounding aside."""
        return self.low >= -self.slack * white and self.high <= (1 + self.slack) * white

    def __or__(self, other: Values) -> Values:
        """The numbers of both, whose types are of one kind."""
        widest = np.result_type(np.dtype(self.dtype), np.dtype(other.dtype))
        return Values(str(widest), min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Scale:
    """How numbers became intensities: 0 is black, and ``white`` became 255.

    Attributes:
        white: The value of a white pixel.
        values: The numbers that were seen.
        given: Whether the user said which value is white; else the values tell.
    """

    white: float
    values: Values
    given: bool = False

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Scale:
        """The inverse of ``dataclasses.asdict``.

        Raises:
            KeyError, TypeError, ValueError: If it is something else.
        """
        seen, white = content["values"], float(content["white"])
        if not 0 < white < float("inf"):
            raise ValueError(f"white {white}")
        values = Values(str(np.dtype(seen["dtype"])), float(seen["low"]), float(seen["high"]))
        return cls(white, values, bool(content["given"]))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, which ``from_dict`` reads."""
        return asdict(self)

    @property
    def text(self) -> str:
        """The outcome in words, such as "pixels 0 to 16, taken as 0 to 1 by white: 16"."""
        values, white = self.values, _show(self.white)
        said = f"pixels {_show(values.low)} to {_show(values.high)}, taken as 0 to 1 by white: {white}"
        if values.low < 0 or values.high > self.white:
            where = [f"above {white}"] * (values.high > self.white) + ["below 0"] * (values.low < 0)
            said += f" (a hair {' and '.join(where)} is rounding, and cut off)"
        if values.dtype == "uint8" and self.white == 1 and not self.given:
            said += " (bytes that hold 0 and 1 alone; if they are nearly black instead, white is 255)"
        return said

    def to_bytes(self, numbers: Array) -> npt.NDArray[np.uint8]:
        """Intensities 0 to 255 of numbers of any shape."""
        if numbers.dtype == np.uint8 and self.white == 255:
            return numbers
        scaled = np.rint(numbers * (255 / self.white))
        return scaled.clip(0, 255).astype(np.uint8)


BYTES = Scale(255, Values("uint8", 0, 255))  # of images that are intensities 0 to 255 from the start


def find_scale(parts: Mapping[str, Values], white: float | None = None, setting: str = GIVE_WHITE) -> Scale:
    """Find the scale of images; one serves for all parts of a data set, such as its training and its test images.

    Args:
        parts: The numbers of each part, all finite, by what messages call it.
        white: The value that the user says is white; None leaves it to the numbers.
        setting: The setting that says which value is white, as messages call it.

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
                f"numbers up to 255. If {_show(values.high)} is white, say so with {setting} {_show(values.high)}; or "
                "scale the images"
            )
        if found is None or not own.reach(found):
            raise PipelineError(
                f"{name}: {own.text}; expected 0 (black) to {_show(found or 255)} (white). {_explain(own, setting)}"
            )
    assert found is not None
    return Scale(found, values, white is not None)


def find_scale_like(known: Scale, name: str, values: Values, white: float | None, setting: str) -> Scale:
    """Find the scale of new images, which are most likely scaled as those of a training were.

    Args:
        known: The scale of the training images.
        name: What messages call the new images.
        values: The numbers that they are made of, finite.
        white: The value that the user says is white; None leaves it to the training and the numbers.
        setting: The setting that says which value is white, as messages call it.

    Raises:
        PipelineError: If neither tells which value is white, or the numbers lie beyond black and white.
    """
    plausible = known.white < APART * values.high and values.reach(known.white)
    if white is None and plausible and values.kind != "bool":
        return Scale(known.white, values, known.given)
    return find_scale({name: values}, white, setting)


def find_range(values: Values) -> tuple[float, float]:
    """The numbers that are 0 and 1 for an estimator: black and white, or the least and the greatest number.

    An estimator takes whatever numbers it is given, such as standardised ones, of which no value need be black.
    """
    white = _natural_white(values)
    if white is None or not values.reach(white):
        return values.low, values.high
    return 0.0, white


def find_deviation(known: tuple[float, float], values: Values, mean: float) -> str:
    """Say how far new numbers are from the range that an estimator was fitted to.

    Args:
        known: The numbers that are 0 and 1 for the estimator.
        values: The new numbers.
        mean: Their mean. A single number beyond the range says nothing: scaled pixels have outliers.

    Returns:
        A sentence; "" if they are not far.
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
    """What to do about numbers that lie beyond black and white."""
    if values.low < -values.slack * values.high:
        return "Undo any standardisation, so that black is 0"
    return f"Scale them, or say which value is white with {setting}"


def _natural_white(values: Values) -> float | None:
    """The value that is white by what the numbers are; None if they do not tell."""
    if values.high <= 1 + values.slack:
        return 1
    if values.dtype == "uint8" or values.high >= DIM:
        return 255
    return None


def _check_alike(parts: Mapping[str, Values], setting: str) -> None:
    """Refuse parts of different types or scales.

    Raises:
        PipelineError: If there are some.
    """
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
    """A number with as many digits as tell it from its neighbours, also as float32."""
    return f"{number:.9g}"
