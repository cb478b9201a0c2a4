"""Workers of a Dask cluster, for batch systems such as SLURM and HTCondor by way of dask-jobqueue.

The cluster is the user's: its workers are started with ``dask worker ADDRESS --nthreads 1``, or with ``cores=1`` and
``processes=1`` in dask-jobqueue, because a process trains one network at a time. Scheduler and workers have the same
fpgaml installed as the command. It sends names of files and values of choices, no data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol, TypeVar

from fpgaml.errors import ToolError
from fpgaml.worker import WorkerDied, run_task

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

CONNECT_S = 5
"""Seconds to wait for the scheduler's answer."""


class Shared(Protocol):
    """What workers share: files in a directory."""

    @property
    def directory(self) -> str:
        """An absolute path."""


class DaskWorkers:
    """The workers of a Dask cluster; see ``fpgaml.workers.Workers``.

    A task whose worker dies is given to another by the scheduler, and goes on from the last state that was saved; when
    it has lost more than ``distributed.scheduler.allowed-failures`` workers (3, unless the cluster sets another
    number), it raises ``WorkerDied``. Workers may come and go; without any, tasks wait.

    Parameters
    ----------
    scheduler : str
        Its address, such as ``tcp://host:8786``.
    shared : Shared
        Study and data, on a file system that all workers see.
    n : int, optional
        Tasks to run at once; as many as there are workers if not given.

    Raises
    ------
    ToolError
        Dask is not installed, nobody answers at the address, or a worker has several threads.
    """

    def __init__(self, scheduler: str, shared: Shared, n: int | None) -> None:
        self._address, self._shared, self._limit = scheduler, shared, n
        self._client = _connect(scheduler)
        self._closed = False
        try:
            threads = self._threads()
            self._check(threads)
            # pure: a task is run again when it is submitted again, whatever it returned before
            self._executor = self._client.get_executor(pure=False)
        except BaseException:
            self._client.close()
            raise
        _log.info("Dask cluster %s: %d workers", scheduler, len(threads))
        if not threads:
            _log.warning(
                "Dask cluster %s has no workers yet; `dask worker %s --nthreads 1` starts one. Waiting",
                scheduler,
                scheduler,
            )

    @property
    def n(self) -> int:
        """How many tasks can run at once: at least one, which waits where there is no worker."""
        found = max(1, len(self._threads()))
        return found if self._limit is None else min(found, self._limit)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Run ``function(worker, *arguments)`` in one of the processes."""
        told: Future[Result] = Future()
        asked = self._executor.submit(run_in_dask, self._shared.directory, function, *arguments)
        asked.add_done_callback(lambda ended: self._tell(ended, told))
        return told

    def close(self) -> None:
        """Take back what has not begun, and leave the cluster; tasks that run end by themselves."""
        self._closed = True
        self._executor.shutdown(wait=False)
        self._client.close()

    def _tell(self, ended: Future[Result], told: Future[Result]) -> None:
        """Hand the outcome of Dask's future on, in this package's terms."""
        from distributed.scheduler import KilledWorker

        try:
            told.set_result(ended.result())
        except KilledWorker as error:
            died = WorkerDied(
                f"its worker died {error.allowed_failures + 1} times, for lack of memory perhaps: see the workers' "
                "logs, and give them more with --memory-limit"
            )
            told.set_exception(died)
        except CancelledError:
            lost = ToolError(
                f"Dask cluster {self._address}: the scheduler has gone, or has dropped a task. Start it again, and "
                "this command with it: what is finished is kept"
            )
            told.set_exception(lost)
        except BaseException as error:  # noqa: BLE001  whatever it is, it is for the one who waits
            told.set_exception(error)

    def _threads(self) -> dict[str, int]:
        """Threads of every worker, by its address."""
        try:
            found = self._client.scheduler_info(n_workers=-1)["workers"]
        except OSError as error:
            raise ToolError(f"Dask cluster {self._address}: the scheduler has gone: {error}") from error
        return {address: facts["nthreads"] for address, facts in found.items()}

    def _check(self, threads: dict[str, int]) -> None:
        several = [f"{address} ({number} threads)" for address, number in threads.items() if number > 1]
        if several:
            raise ToolError(
                f"Dask cluster {self._address}: workers with several threads, where each process trains one network at "
                f"a time: {', '.join(several[:3])}{', …' if len(several) > 3 else ''}. Start them with `dask worker "
                f"{self._address} --nthreads 1`, one for each core (--nworkers)"
            )


def run_in_dask(directory: str, function: Callable[..., Result], *arguments: Any) -> Result:
    """``run_task`` in a worker of Dask; one that has come later is checked here."""
    import distributed

    threads = distributed.get_worker().state.nthreads
    if threads > 1:
        raise ToolError(f"a Dask worker has {threads} threads, where each trains one network: give it --nthreads 1")
    return run_task(directory, function, *arguments)


def _connect(scheduler: str) -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ToolError(f"--scheduler needs Dask: pip install 'fpgaml[dask]' ({error})") from error
    for name in ("distributed", "distributed.client", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what they tell, tracebacks and all, is told here
    client: Any = distributed.Client  # untyped
    try:
        return client(scheduler, timeout=CONNECT_S, set_as_default=False, name="fpgaml")
    except (OSError, ValueError) as error:
        raise ToolError(
            f"--scheduler {scheduler}: no Dask scheduler answers there ({error}). "
            "`dask scheduler` starts one and prints its address, such as tcp://host:8786"
        ) from error
