"""Checks that several sections of the settings share."""

from __future__ import annotations

import re

from pipeline.errors import require


def check_folder_name(name: str, value: str) -> None:
    """Refuse the value of a setting that cannot name a folder on every system.

    Raises:
        PipelineError: If the value holds anything but letters, digits, '.', '_' and '-', or begins with a sign.
    """
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value) is not None
    require(plain, name, value, "a plain folder name: letters, digits, '.', '_' and '-'")


def check_seed(name: str, seed: int) -> None:
    """Refuse a seed that one of the random generators would not take; the setting is named in the message.

    Raises:
        PipelineError: If the seed is negative or does not fit into 32 bits.
    """
    require(0 <= seed < 2**32, name, seed, "a number from 0 to 2**32 - 1")
