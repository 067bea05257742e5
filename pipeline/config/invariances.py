"""The section ``invariances``: which random changes leave an image's class as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import require

# amounts of the changes that leave the class as it is, for two kinds of pictures
PRESETS: dict[str, dict[str, float]] = {
    "none": {},
    "digits": {"rotation": 20.0, "scale": 0.25, "shear": 0.3, "shift": 0.1, "elastic": 0.04},
    "objects": {
        "rotation": 10.0,
        "scale": 0.2,
        "shear": 0.1,
        "shift": 0.1,
        "elastic": 0.02,
        "flip": 0.5,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.3,
        "hue": 0.05,
    },
}


@dataclass(frozen=True)
class InvariancesConfig:
    """The random changes that leave an image's class as it is; they are drawn anew for each image.

    Pretraining and the training of every classifier use the same changes, each with a strength of its own.
    `check-dataset` shows images that are changed so. An amount that is null is taken from the preset.

    Attributes:
        preset: "digits", for characters: no mirror images, no colours; "objects", for pictures of things; "none".
        rotation: Largest rotation, in degrees.
        scale: Largest zoom of either axis, as the logarithm of the factor.
        shear: Largest shear, as a slope.
        shift: Largest shift, as a share of the image's side, 0 to 1.
        elastic: Standard deviation of a smooth displacement field, as a share of the image's side.
        flip: Probability of a mirror image, left to right; a strength does not change it.
        brightness: Largest change of the brightness, as a share of it, 0 to 1.
        contrast: Largest change of the contrast, as a share of it, 0 to 1.
        saturation: Largest change of the colours' saturation, as a share of it, 0 to 1.
        hue: Largest turn of the colours' hue, as a share of the colour circle, 0 to 1.
        erase: Largest side of a square that half of the images have filled with their mean colour, as a share of the
            image's side, 0 to 1.
        noise: Standard deviation of added Gaussian noise; intensities run from 0 to 1.

    Examples:
        >>> InvariancesConfig("digits", elastic=0.0).amounts(0.5)
        {'rotation': 10.0, 'scale': 0.125, 'shear': 0.15, 'shift': 0.05}
    """

    preset: Literal["digits", "objects", "none"] = "digits"
    rotation: float | None = None
    scale: float | None = None
    shear: float | None = None
    shift: float | None = None
    elastic: float | None = None
    flip: float | None = None
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: float | None = None
    erase: float | None = None
    noise: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.amounts().items():
            if name in ("rotation", "scale", "shear", "elastic", "noise"):
                require(0 <= value < math.inf, f"invariances.{name}", value, "a number of at least 0")
            else:
                require(0 <= value <= 1, f"invariances.{name}", value, "a share between 0 and 1")

    def amounts(self, strength: float = 1.0) -> dict[str, float]:
        """Return the amounts that are not 0, by their names; a strength of at least 0 scales all but flip."""
        if strength == 0:
            return {}
        given = {name: value for name, value in vars(self).items() if name != "preset" and value is not None}
        scaled = {}
        for name, value in (PRESETS[self.preset] | given).items():
            if value:
                scaled[name] = value if name == "flip" else value * strength
        return scaled
