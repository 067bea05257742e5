"""Independent tasks in parallel, here or on a cluster: a bar, and failures that leave the others alone.

Dask and Ray are called by their own interfaces rather than through joblib's: there, one lost worker ends the whole
call, and Ray's results come all at once.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import extras
from pipeline.config import Experiment
from pipeline.errors import PipelineError

LISTED = 20  # failures that a message lists
PATIENCE = 10  # seconds that a scheduler is waited for
QUEUED = 2000  # tasks that a cluster holds at a time: enough for as many workers, and no burden on its scheduler

# seeds and the current folder belong to the process: in a worker with several threads, tasks take turns
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: The name of the task in the message if it fails.
        run: The function that does it. It is pickled for another process, and begun again where a worker died.
    """

    name: str
    run: Callable[[], object]


def fan_out(config: Experiment, tasks: Sequence[Task], description: str, unit: str) -> None:
    """Do all tasks, as many at a time as the grid's jobs say, or the cluster's workers.

    Tasks begin in their order; long ones first leave no core idle at the end. The progress bar begins with the
    description and counts in the unit, such as "cell".

    Raises:
        PipelineError: If the backend cannot be used, and nothing was begun; or if tasks failed, after all others are
            done.
    """
    from tqdm import tqdm

    if not tasks:
        return
    failures: list[str] = []
    total = len(tasks)
    outcomes = (_on_processes if config.runtime.backend == "processes" else _on_cluster)(config, tasks)
    with tqdm(total=total, desc=description, unit=unit, disable=not config.runtime.progress or None) as bar:
        for done, failure in enumerate(outcomes, 1):
            if failure is not None:
                failures.append(failure)
            bar.update()
            if bar.disable and config.runtime.progress and (done % 10 == 0 or done == total):
                print(f"{description}: {done}/{total} {unit}s", flush=True)
    if failures:
        shown = failures[:LISTED]
        if len(failures) > LISTED:
            shown.append(f"and {len(failures) - LISTED} more")
        listed = "\n  ".join(shown)
        raise PipelineError(
            f"{len(failures)} of {total} {unit}s failed; the others are kept, and the same command tries these "
            f"again:\n  {listed}"
        )


def check(config: Experiment) -> None:
    """Refuse a backend that cannot be used.

    Raises:
        PipelineError: If its package is missing, or its cluster cannot be reached or has workers that do not fit.
    """
    if config.runtime.backend == "processes":
        return
    _require_extra(config)
    if config.runtime.address:
        with _CLUSTERS[config.runtime.backend](config):
            pass


def _attempt(task: Task, home: Path, folder: Path) -> str | None:
    """Do one task in a worker, from where the command was given; return a line on what went wrong, if anything."""
    try:
        if not folder.is_dir():
            raise PipelineError(f"{platform.node()} does not see {folder}; all workers need the same file system")
        if str(home) not in sys.path:
            sys.path.append(str(home))  # where `python -m` finds the user's own data sets and encoders
        with _ONE_AT_A_TIME, contextlib.chdir(home):
            task.run()
    except Exception as error:  # one failure must not lose the others
        return f"{task.name}: {type(error).__name__}: {error}"
    return None


def _attempt_beside(parent: int, task: Task, home: Path, folder: Path) -> str | None:
    """Do one task in a process that the command with this process number has started, and that ends with it."""
    from tqdm import tqdm

    if os.getpid() != parent:  # joblib starts no process for a single worker
        _end_with(parent)
        # the lock that tqdm would make is a semaphore of all processes, which Python calls leaked when a signal ends us
        tqdm.set_lock(threading.RLock())
    return _attempt(task, home, folder)


@functools.cache
def _end_with(parent: int) -> None:
    """Let this process end, from now on, within a second of the process that has started it.

    Otherwise it would go on with what a killed command has begun, and hold the locks that the next command waits for.
    It may be ended at any moment, since what it makes is whole or absent.
    """

    def watch() -> None:
        while os.getppid() == parent:  # of an orphan, the parent is another; Windows keeps the number
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _folders(config: Experiment) -> tuple[Path, Path]:
    """Return the current folder and the experiment's, which an attempt in another process needs."""
    return Path.cwd(), config.folder.absolute()


# --- processes of this machine --------------------------------------------------------------------------------


def _on_processes(config: Experiment, tasks: Sequence[Task]) -> Iterator[str | None]:
    from joblib import Parallel, cpu_count, delayed

    # no more workers than tasks: the threads of a worker are its share of the cores
    workers = min(config.grid.jobs or cpu_count(), len(tasks))
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered")
    folders, parent = _folders(config), os.getpid()
    try:
        with warnings.catch_warnings():
            # between two tasks, joblib replaces a worker that has grown by 300 MB, as by importing torch, and says so;
            # where warnings are errors, that would end the thread that hands out the tasks
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            yield from parallel(delayed(_attempt_beside)(parent, task, *folders) for task in tasks)
    except BrokenProcessPool as error:
        raise PipelineError(
            "a worker was killed, most likely because memory ran short; what is finished is kept, and the same command "
            "goes on from there: with a smaller --grid.jobs, if so"
        ) from error


# --- clusters -------------------------------------------------------------------------------------------------


class Cluster(NamedTuple):
    """The functions by which a cluster is used. It begins a call whose worker died again, on another worker.

    Attributes:
        submit: Hands a call to the cluster and returns its future.
        wait: Returns those of some futures that are done, once there is one.
        result: Returns the result of a future that is done; raises the cluster's error where it gave the call up.
    """

    submit: Callable[..., Any]
    wait: Callable[[list[Any]], Iterable[Any]]
    result: Callable[[Any], str | None]


def _on_cluster(config: Experiment, tasks: Sequence[Task]) -> Iterator[str | None]:
    _require_extra(config)
    folders, queue = _folders(config), iter(tasks)
    with _CLUSTERS[config.runtime.backend](config) as cluster:
        running = {cluster.submit(_attempt, task, *folders): task for task in islice(queue, QUEUED)}
        while running:
            for future in cluster.wait(list(running)):
                task = running.pop(future)
                running |= {cluster.submit(_attempt, following, *folders): following for following in islice(queue, 1)}
                try:
                    failure = cluster.result(future)
                except Exception as error:  # workers died of this task, again and again
                    failure = f"{task.name}: {type(error).__name__}: {str(error).strip()}"
                yield failure


@contextlib.contextmanager
def _dask(config: Experiment) -> Iterator[Cluster]:
    """The Dask cluster at the address, or one on this machine that ends with the block."""
    import distributed

    address = config.runtime.address
    with contextlib.ExitStack() as stack:
        if address:
            try:
                client = stack.enter_context(distributed.Client(address, timeout=PATIENCE))
            except (OSError, ValueError) as error:
                raise _unreachable(config, error) from error
            _check_workers(address, client.scheduler_info(n_workers=-1)["workers"])
        else:
            count = config.grid.jobs or os.cpu_count()
            own = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, memory_limit=None, dashboard_address="127.0.0.1:0"
            )
            client = stack.enter_context(distributed.Client(stack.enter_context(own)))
        yield Cluster(
            functools.partial(client.submit, pure=False),
            lambda futures: distributed.wait(futures, return_when="FIRST_COMPLETED").done,
            lambda future: future.result(),
        )


def _check_workers(address: str, workers: dict[str, Any]) -> None:
    threaded = [name for name, worker in workers.items() if worker["nthreads"] > 1]
    if threaded:
        raise PipelineError(
            f"runtime.address: {len(threaded)} of {len(workers)} workers at {address} have several threads, but each "
            "task needs a process; start them with `dask worker --nthreads 1 --nworkers <cores>`"
        )
    if not workers:
        print(f"{address} has no worker yet; the work begins when one comes", flush=True)


@contextlib.contextmanager
def _ray(config: Experiment) -> Iterator[Cluster]:
    """The Ray cluster at the address, or one on this machine that ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    import ray

    address = config.runtime.address
    own = {} if address else {"num_cpus": config.grid.jobs or None, "include_dashboard": False}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreachable(config, error) from error
    signal.signal(signal.SIGTERM, on_sigterm)  # ray ends with another status than every other command
    try:
        yield Cluster(ray.remote(_call).remote, lambda futures: ray.wait(futures)[0], ray.get)
    finally:
        ray.shutdown()


def _call(function: Callable[..., str | None], *arguments: Any) -> str | None:
    return function(*arguments)


def _require_extra(config: Experiment) -> None:
    extras.require(config.runtime.backend, f"runtime.backend {config.runtime.backend}")


def _unreachable(config: Experiment, error: Exception) -> PipelineError:
    runtime = config.runtime
    return PipelineError(
        f"runtime.address: no {runtime.backend} cluster can be reached at {runtime.address!r} "
        f"({type(error).__name__}: {error}); start one there, or leave the address out for one on this machine"
    )


_CLUSTERS: dict[str, Callable[[Experiment], contextlib.AbstractContextManager[Cluster]]] = {"dask": _dask, "ray": _ray}
