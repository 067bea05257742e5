"""The names by which sections of the page link to each other's parts."""

from __future__ import annotations


def mode_anchor(labels: int, mode: str) -> str:
    """Return the anchor of the card on a mode at a budget."""
    return f"at-{labels}-{mode}"


def cell_anchor(labels: int | str, mode: str, seed: int | str) -> str:
    """Return the anchor of a cell's row among all cells."""
    return f"cell-{labels}-{mode}-{seed}"
