"""Independent pieces of work in parallel, here or on a cluster: a bar, and failures that leave the others alone.

Dask is called by its own interface rather than through joblib's: there, one lost worker ends the whole call.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import extras
from pipeline.config import Experiment
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from distributed import Client

LISTED = 20  # failures that a message lists
PATIENCE = 10  # seconds that a scheduler is waited for
QUEUED = 2000  # pieces that a cluster holds at a time: enough for as many workers, and no burden on its scheduler

# seeds and the current folder belong to the process: in a worker with several threads, pieces take turns
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Work:
    """One piece.

    Attributes:
        name: What it is called if it fails.
        run: Does it; has to survive the way to another process, and being begun again where a worker died.
    """

    name: str
    run: Callable[[], object]


def fan_out(config: Experiment, pieces: Sequence[Work], description: str, unit: str) -> None:
    """Do all pieces, as many at a time as the grid's jobs say, or the cluster's workers.

    Args:
        config: Says where, how many at a time, and whether progress is shown.
        pieces: In the order in which they begin; long ones first leave no core idle at the end.
        description: Beside the bar.
        unit: What a piece is called there.

    Raises:
        PipelineError: The backend cannot be used, and nothing was begun; or pieces failed, and all others are done.
    """
    from tqdm import tqdm

    if not pieces:
        return
    failures = []
    outcomes = (_on_processes if config.runtime.backend == "processes" else _on_dask)(config, pieces)
    bar = tqdm(outcomes, total=len(pieces), desc=description, unit=unit, disable=not config.runtime.progress or None)
    for done, failure in enumerate(bar, start=1):
        if failure is not None:
            failures.append(failure)
        if bar.disable and config.runtime.progress and (done % 10 == 0 or done == len(pieces)):
            print(f"{description}: {done}/{len(pieces)} {unit}s", flush=True)
    if failures:
        more = [f"and {len(failures) - LISTED} more"] * (len(failures) > LISTED)
        listed = "\n  ".join([*failures[:LISTED], *more])
        raise PipelineError(
            f"{len(failures)} of {len(pieces)} {unit}s failed; the others are kept, and the same command tries these "
            f"again:\n  {listed}"
        )


def check(config: Experiment) -> None:
    """Refuse a backend that cannot be used.

    Raises:
        PipelineError: Its package is missing, its cluster cannot be reached, or has workers that do not fit.
    """
    if config.runtime.backend == "processes":
        return
    _require_extra(config)
    if config.runtime.address:
        with _dask_client(config):
            pass


def _attempt(piece: Work, home: Path, folder: Path) -> str | None:
    """Do one piece in a worker, from where the command was given; what went wrong, in a line, if anything."""
    try:
        if not folder.is_dir():
            raise PipelineError(f"{platform.node()} does not see {folder}; all workers need the same file system")
        if str(home) not in sys.path:
            sys.path.append(str(home))  # where `python -m` finds the user's own data sets and encoders
        with _ONE_AT_A_TIME, contextlib.chdir(home):
            piece.run()
    except Exception as error:  # one failure must not lose the others
        return f"{piece.name}: {type(error).__name__}: {error}"
    return None


def _folders(config: Experiment) -> tuple[Path, Path]:
    """What an attempt needs to know of this process: the current folder, and the experiment's."""
    return Path.cwd(), config.folder.absolute()


# --- processes of this machine --------------------------------------------------------------------------------


def _on_processes(config: Experiment, pieces: Sequence[Work]) -> Iterator[str | None]:
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=config.grid.jobs or -1, return_as="generator_unordered")
    folders = _folders(config)
    try:
        yield from parallel(delayed(_attempt)(piece, *folders) for piece in pieces)
    except BrokenProcessPool as error:
        raise PipelineError(
            "a worker was killed, most likely because memory ran short; what is finished is kept, and the same command "
            "goes on from there: with a smaller --grid.jobs, if so"
        ) from error


# --- workers of a Dask cluster --------------------------------------------------------------------------------


def _on_dask(config: Experiment, pieces: Sequence[Work]) -> Iterator[str | None]:
    """Dask begins a piece whose worker died on another worker."""
    _require_extra(config)
    import distributed

    folders, queue = _folders(config), iter(pieces)
    with _dask_client(config) as client:
        submit = functools.partial(client.submit, _attempt, pure=False)
        running = {submit(piece, *folders): piece for piece in islice(queue, QUEUED)}
        while running:
            for future in distributed.wait(list(running), return_when="FIRST_COMPLETED").done:
                piece = running.pop(future)
                running |= {submit(following, *folders): following for following in islice(queue, 1)}
                try:
                    outcome = future.result()
                except Exception as error:  # workers died of this piece, again and again
                    outcome = f"{piece.name}: {type(error).__name__}: {str(error).strip()}"
                yield outcome


@contextlib.contextmanager
def _dask_client(config: Experiment) -> Iterator[Client]:
    """A client of the cluster at the address, or of one on this machine that ends with the block."""
    from distributed import Client, LocalCluster

    address = config.runtime.address
    with contextlib.ExitStack() as stack:
        if address:
            try:
                client = stack.enter_context(Client(address, timeout=PATIENCE))
            except (OSError, ValueError) as error:
                raise PipelineError(
                    f"runtime.address: no Dask scheduler can be reached at {address!r} ({type(error).__name__}: "
                    f"{error}); start one there, or leave the address out for a cluster on this machine"
                ) from error
            _check_workers(address, client.scheduler_info(n_workers=-1)["workers"])
        else:
            count = config.grid.jobs or os.cpu_count()
            own = LocalCluster(
                n_workers=count, threads_per_worker=1, memory_limit=None, dashboard_address="127.0.0.1:0"
            )
            client = stack.enter_context(Client(stack.enter_context(own)))
        yield client


def _check_workers(address: str, workers: dict[str, Any]) -> None:
    threaded = [name for name, worker in workers.items() if worker["nthreads"] > 1]
    if threaded:
        raise PipelineError(
            f"runtime.address: {len(threaded)} of {len(workers)} workers at {address} have several threads, but each "
            "piece of work needs a process; start them with `dask worker --nthreads 1 --nworkers <cores>`"
        )
    if not workers:
        print(f"{address} has no worker yet; the work begins when one comes", flush=True)


def _require_extra(config: Experiment) -> None:
    extras.require("dask", f"runtime.backend {config.runtime.backend}")
