"""The one exception that a user is meant to see, and what its messages are made of."""

from __future__ import annotations

from collections.abc import Sequence


class PipelineError(Exception):
    """Something the user can mend; its message says what, where, and what to do.

    The command line prints the message alone, without a traceback, and exits with ``status``.
    """

    status = 2


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Refuse the value of a setting unless the condition holds.

    Raises:
        PipelineError: If the condition does not hold; the message names the setting, the value and what is expected.
    """
    if not condition:
        raise PipelineError(f"{name}: {value!r} is not allowed; expected {expected}")


def list_names(names: Sequence[str], most: int = 5) -> str:
    """Return the first names of a list, and how many more there are.

    Examples:
        >>> list_names(["a", "b", "c", "d"], most=2)
        'a, b and 2 more'
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
