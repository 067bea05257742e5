"""The one exception a user is meant to see."""


class PipelineError(Exception):
    """Something the user can mend; its message says what, where, and what to do.

    The command line prints the message alone, without a traceback, and exits with ``status``.
    """

    status = 2
