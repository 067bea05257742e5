"""When a training ends before its time, and which of its measurements is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Stopping:
    """When a training is stopped before its time.

    Attributes:
        minimum: Number of measurements before which it is not.
        patience: Number of measurements in a row after which it is, if none of them was kept and E_in fell in none; 0
            never stops.
    """

    minimum: int
    patience: int


@dataclass
class Selection:
    """Which measurement is kept: the last whose validation loss is within one standard error of the lowest.

    The loss of a few validation images is mostly chance: its minimum often comes long before the network has learnt
    what it can. Breiman et al. 1984 choose the simplest of the models that cannot be told apart from the best (the
    one-standard-error rule); this chooses the one that was trained the longest.

    Attributes:
        lowest: The lowest validation loss so far.
        allowed: The validation loss up to which a measurement is kept.
        lowest_error: The lowest E_in so far.
        kept: Number of the measurement that is kept, from 0.
        fell: Number of the measurement at which E_in fell last, from 0.
        seen: Number of measurements so far.

    Examples:
        >>> losses = [0.9, 0.5, 0.52, 0.55, 0.7, 0.8]
        >>> selection = Selection()
        >>> [selection.take({"loss_val": loss, "se_val": 0.1, "e_in": 0.0}) for loss in losses]
        [True, True, True, True, False, False]
        >>> selection.ends(Stopping(minimum=2, patience=2)), selection.kept
        (True, 3)
    """

    lowest: float = math.inf
    allowed: float = math.inf
    lowest_error: float = math.inf
    kept: int = -1
    fell: int = -1
    seen: int = 0

    def take(self, row: Mapping[str, float]) -> bool:
        """Take a measurement, and say whether it is the one to keep now.

        Args:
            row: Has the validation loss, "loss_val", its standard error, "se_val", and the error on the labels that are
                trained on, "e_in".
        """
        if row["loss_val"] < self.lowest:
            self.lowest, self.allowed = row["loss_val"], row["loss_val"] + row["se_val"]
        if row["e_in"] < self.lowest_error:
            self.lowest_error, self.fell = row["e_in"], self.seen
        keeps = row["loss_val"] <= self.allowed
        if keeps:
            self.kept = self.seen
        self.seen += 1
        return keeps

    def ends(self, stopping: Stopping) -> bool:
        """Whether the training is to stop now."""
        waited = self.seen - 1 - max(self.kept, self.fell)
        return stopping.patience > 0 and self.seen >= stopping.minimum and waited >= stopping.patience
