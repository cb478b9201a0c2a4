"""Workers: processes that train side by side, on this machine or on a Dask cluster.

A worker that dies is replaced and its task begun again, here and nowhere else; whoever submits tasks hears of it only
when a task has killed ``ATTEMPTS`` workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fpgaml.child_process import ChildDied
from fpgaml.dask_workers import DaskWorkers
from fpgaml.dataset import Dataset
from fpgaml.study import Study
from fpgaml.temporary_paths import path_beside, unwritable
from fpgaml.worker import Worker, WorkerDied, run_task, share
from fpgaml.worker_process import WorkerProcess

__all__ = ["DaskWorkers", "LocalWorkers", "Worker", "WorkerDied", "Workers", "default_workers", "open_workers"]

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

ATTEMPTS = 3
"""How often a task is begun whose worker dies."""

TASKS_PER_PROCESS = 50
"""After so many tasks a process is replaced: TensorFlow keeps some megabytes of each."""

WORKER_GIB = 3.0
"""Memory that a worker is allowed for beside its data."""


class Workers(Protocol):
    """Processes that run tasks."""

    @property
    def n(self) -> int:
        """How many tasks can run at once; on a cluster this changes as workers come and go."""

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Run ``function(worker, *arguments)``, where ``worker`` is a ``Worker``, in one of the processes.

        ``function`` stands at the top of a module, and is called again where a worker dies. The future raises what the
        function raises, or ``WorkerDied``.
        """


@contextlib.contextmanager
def open_workers(
    study: Study, dataset: Dataset, output: Path, *, n: int | None = None, scheduler: str | None = None
) -> Iterator[Workers]:
    """Workers, until the block ends; what runs then is stopped, and on a cluster left to itself.

    Study and data are written to a directory in ``output`` with the first task, and read by each worker once. On a
    cluster ``output`` is therefore on a file system that all machines share, under the same path.

    Parameters
    ----------
    study : Study
        What tasks find in ``worker.study``.
    dataset : Dataset
        Its train and validation splits are in ``worker.dataset``; test data never are.
    output : Path
        Where to share them.
    n : int, optional
        Tasks to run at once. If not given: on this machine what cores and memory allow, on a cluster as many as it has
        workers.
    scheduler : str, optional
        The address of a Dask scheduler, such as ``tcp://host:8786``; processes on this machine if not given.

    Raises
    ------
    OutputError
        ``output`` cannot be written.
    ToolError
        There is no scheduler at the address, or Dask is not installed, or workers of it do not fit; see
        ``DaskWorkers``.
    """
    shared = SharedData(study, dataset, output)
    workers: LocalWorkers | DaskWorkers
    if scheduler is None:
        workers = LocalWorkers(shared, n or default_workers(dataset))
    else:
        workers = DaskWorkers(scheduler, shared, n)
    try:
        yield workers
    finally:
        workers.close()
        shared.remove()


def default_workers(dataset: Dataset) -> int:
    """As many as there are cores, and as memory allows."""
    import psutil

    needed = WORKER_GIB * 2**30 + 2 * dataset.x.nbytes
    return max(1, min(len(os.sched_getaffinity(0)), int(psutil.virtual_memory().available // needed)))


class SharedData:
    """Study and data in a directory that workers read, which is written when it is first asked for."""

    def __init__(self, study: Study, dataset: Dataset, output: Path) -> None:
        self._content = study, dataset
        self._output = Path(output).resolve()
        self._held = contextlib.ExitStack()
        self._written: Path | None = None
        self._lock = threading.Lock()

    @property
    def directory(self) -> str:
        """Where they are; errors are those of ``share``."""
        with self._lock:
            if self._written is None:
                try:
                    fresh = self._held.enter_context(path_beside(self._output / "search-data"))
                except OSError as error:
                    raise unwritable(self._output, error) from error
                share(*self._content, fresh)
                self._written = fresh
            return str(self._written)

    def remove(self) -> None:
        """Remove the directory; a worker that has mapped its files into memory is not disturbed."""
        self._held.close()


class LocalWorkers:
    """Processes on this machine, each with one thread.

    Parameters
    ----------
    shared : SharedData
        Study and data.
    n : int
        How many.
    """

    def __init__(self, shared: SharedData, n: int) -> None:
        self.n = n
        self._shared = shared
        self._threads = ThreadPoolExecutor(n, "fpgaml-worker")  # each waits for a process
        self._processes = [_Process() for _ in range(n)]
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Run ``function(worker, *arguments)`` in the next process that is idle; see ``Workers``."""
        return self._threads.submit(self._run, self._shared.directory, function, *arguments)

    def _run(self, directory: str, function: Callable[..., Result], *arguments: Any) -> Result:
        process = self._idle.get()
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    found: Result = process.run(run_task, directory, function, *arguments)
                except ChildDied:
                    if process.closed:
                        break
                    told = "its task is begun again" if attempt < ATTEMPTS else "its task is given up"
                    _log.warning("a worker process died, for lack of memory perhaps; %s", told)
                else:
                    return found
            raise WorkerDied(f"its worker died {ATTEMPTS} times, for lack of memory perhaps: try fewer workers")
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """End all processes at once; what they have not saved is lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.close()
        self._threads.shutdown(wait=True)
        for process in self._processes:
            process.stop()


class _Process:
    """One worker process at a time: started when it is needed, replaced when it has died or has done its share."""

    def __init__(self) -> None:
        self.closed = False
        self._process: WorkerProcess | None = None
        self._tasks = 0
        self._lock = threading.Lock()  # so that none is started after the last was killed

    def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """``function(*arguments)``, called in the process; ``ChildDied`` if that dies, or is closed."""
        if self._tasks >= TASKS_PER_PROCESS:
            self.stop()
        with self._lock:
            if self.closed:
                raise ChildDied("closed")
            if self._process is None:
                self._process, self._tasks = WorkerProcess(), 0
            self._tasks += 1
            process = self._process
        try:
            return process.call(function, *arguments)
        except ChildDied:
            self.stop()
            raise

    def close(self) -> None:
        """Kill the process, and start none any more; whoever waits in ``run`` gets ``ChildDied``."""
        with self._lock:
            self.closed = True
            if self._process is not None:
                self._process.kill()

    def stop(self) -> None:
        """End the process; nobody may be in ``run`` but the caller."""
        if self._process is not None:
            self._process.end()
            self._process = None
