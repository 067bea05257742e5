"""The one exception that a user is meant to see."""

from __future__ import annotations


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
