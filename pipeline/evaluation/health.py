"""Whether an arm of a comparison was trained well enough for its errors to mean something.

A comparison with an arm that was never given a chance says nothing about the other arms. What can be seen of it in the
arm's own measurements is said aloud, with the setting to change; nothing is left out of the comparison because of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOLERANCE = 0.01  # a fall of the error by less, from one quarter of the training to the next, is none


@dataclass(frozen=True)
class Arm:
    """The measurements of a mode at a label budget, over all its cells.

    Attributes:
        mode: The mode's name.
        e_in: Each cell's error on the labels that it is trained on, at each measurement of its training, 0 to 1; empty
            where nothing was trained step by step.
        e_val: Each cell's error on its validation labels, at the same measurements; empty where it has none.
        stopped_early: Whether each cell's training ended before its time.
        e_out: The mean error on the test images, 0 to 1.
        images: Number of test images.
        chance: The error of always naming the commonest class of the test images, 0 to 1.
        baselines: The mean error on the test images of each classical baseline with the same labels, by its name.
    """

    mode: str
    e_in: Sequence[Sequence[float]]
    e_val: Sequence[Sequence[float]]
    stopped_early: Sequence[bool]
    e_out: float
    images: int
    chance: float
    baselines: dict[str, float]


@dataclass(frozen=True)
class Remedies:
    """The names of the settings that an arm's training depends on.

    Attributes:
        longer: The setting that makes its training longer.
        more_patient: The setting that makes early stopping wait longer.
        fit: The setting of its learning rate, or of what else decides how well it fits.
        stronger: What to do about an arm that a classical baseline beats, in words.
    """

    longer: str
    more_patient: str
    fit: str
    stronger: str


@dataclass(frozen=True)
class Flag:
    """A reason not to trust an arm.

    Attributes:
        kind: The reason in a word or two.
        text: The reason in a sentence, and the setting to change.
    """

    kind: str
    text: str


def examine(arm: Arm, remedies: Remedies) -> list[Flag]:
    """Return the reasons not to trust an arm, with the settings to change; none if it is well.

    Examples:
        A training that ended while its error was still falling:

        >>> falling = [0.9, 0.7, 0.5, 0.3]
        >>> arm = Arm("scratch", [falling] * 3, [falling] * 3, [True] * 3, 0.4, 1000, 0.9, {"knn": 0.25})
        >>> remedies = Remedies("train.length", "train.patience", "train.modes.scratch.encoder_lr", "train longer")
        >>> [flag.kind for flag in examine(arm, remedies)]
        ['E_in not settled', 'worse than a baseline']
    """
    flags = []
    most_stopped = 2 * sum(arm.stopped_early) > len(arm.stopped_early)
    if _still_falls(arm.e_in):
        flags.append(
            Flag(
                "E_in not settled",
                f"{arm.mode} was still learning its own labels when its training ended; raise "
                f"{remedies.more_patient if most_stopped else remedies.longer}.",
            )
        )
    if _still_falls(arm.e_val) and not most_stopped:
        flags.append(
            Flag(
                "at its cap",
                f"{arm.mode} stopped at its limit while the error on its validation labels was still falling; raise "
                f"{remedies.longer}.",
            )
        )
    if arm.e_out >= arm.chance - 2 * math.sqrt(arm.chance * (1 - arm.chance) / arm.images):
        flags.append(Flag("at chance", _chance_text(arm, remedies)))
    better = min(arm.baselines, key=lambda name: arm.baselines[name], default=None)
    if better is not None and arm.baselines[better] < arm.e_out:
        flags.append(
            Flag(
                "worse than a baseline",
                f"{arm.mode} errs on {100 * arm.e_out:.2f} %, the classical baseline {better} on "
                f"{100 * arm.baselines[better]:.2f} %: whatever beats {arm.mode} has beaten a weak arm; "
                f"{remedies.stronger}.",
            )
        )
    return flags


def _chance_text(arm: Arm, remedies: Remedies) -> str:
    """Return the sentence on an arm that errs as often as chance, or less but on too few test images to tell."""
    errs, chance = f"{arm.mode} errs on {100 * arm.e_out:.1f} % of the test images", f"{100 * arm.chance:.1f} %"
    if arm.e_out >= arm.chance:
        return (
            f"{errs}, no less than by always naming the commonest class ({chance}); look at the labels, and change "
            f"{remedies.fit}."
        )
    return (
        f"{errs}, always naming the commonest class on {chance}: {arm.images} test images do not tell the two apart; "
        f"take more test images, or change {remedies.fit}."
    )


def _still_falls(curves: Sequence[Sequence[float]]) -> bool:
    """Whether errors fell from the third to the last quarter of the training, over the cells and beyond chance.

    Cells were measured at even intervals; where there are fewer than four measurements, the last one is held against
    the one before.
    """
    falls = [_fall(curve) for curve in curves if len(curve) > 1]
    if not falls or np.mean(falls) <= TOLERANCE:
        return False
    return len(falls) == 1 or bool(np.mean(falls) > 2 * np.std(falls, ddof=1) / math.sqrt(len(falls)))


def _fall(curve: Sequence[float]) -> float:
    quarter = max(1, len(curve) // 4)
    return float(np.mean(curve[-2 * quarter : -quarter]) - np.mean(curve[-quarter:]))
