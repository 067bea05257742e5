"""Independent pieces of work in parallel processes: a bar, and failures that do not take the others with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.config import Experiment
from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Work:
    """One piece.

    Attributes:
        name: What it is called if it fails.
        run: Does it; has to survive the way to another process.
    """

    name: str
    run: Callable[[], object]


def fan_out(config: Experiment, pieces: Sequence[Work], description: str, unit: str) -> None:
    """Do all pieces, as many at a time as the grid's jobs say.

    Args:
        config: Says how many at a time, and whether progress is shown.
        pieces: In the order in which they begin; long ones first leave no core idle at the end.
        description: Beside the bar.
        unit: What a piece is called there.

    Raises:
        PipelineError: Some failed; all others are done.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    failures = []
    parallel = Parallel(n_jobs=config.grid.jobs or -1, return_as="generator_unordered")
    outcomes: Iterator[str | None] = parallel(delayed(_attempt)(piece) for piece in pieces) if pieces else iter(())
    bar = tqdm(outcomes, total=len(pieces), desc=description, unit=unit, disable=not config.runtime.progress or None)
    for done, failure in enumerate(bar, start=1):
        if failure is not None:
            failures.append(failure)
        if bar.disable and config.runtime.progress and (done % 10 == 0 or done == len(pieces)):
            print(f"{description}: {done}/{len(pieces)} {unit}s", flush=True)
    if failures:
        listed = "\n  ".join(failures)
        raise PipelineError(
            f"{len(failures)} of {len(pieces)} {unit}s failed; the others are kept, and the same command tries these "
            f"again:\n  {listed}"
        )


def _attempt(piece: Work) -> str | None:
    """Do one piece in a worker; what went wrong, in a line, if anything."""
    try:
        piece.run()
    except Exception as error:  # one failure must not lose the others
        return f"{piece.name}: {type(error).__name__}: {error}"
    return None
