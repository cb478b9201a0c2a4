"""Pools of collisions from the cache, and what is missing there from worker processes.

A pool is generated in chunks with seeds of their own, so that it does not matter which worker makes which chunk, or
when. Every chunk is kept as soon as it is done: an interrupted generation goes on where it stopped.
"""

from __future__ import annotations

import logging
import os
import queue
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fpgaml.errors import DataError
from fpgaml.storage import cache_directory
from fpgaml.trigger_data.event_pool import EventPool
from fpgaml.trigger_data.processes import Process, cache_key, chunk_sizes
from fpgaml.trigger_data.worker import Worker

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One chunk of a pool and the file that keeps it."""

    process: Process
    seed: int
    number: int
    n_events: int
    path: Path

    def read(self) -> EventPool | None:
        """The chunk's events; None where it has to be generated, first or anew."""
        try:
            return EventPool.load(self.path, n_events=self.n_events)
        except FileNotFoundError:
            return None
        except DataError as error:
            logger.warning("%s. It is generated anew.", error)
            return None


def pool_chunks(process: Process, n_events: int, *, seed: int) -> list[Chunk]:
    """The chunks that make up a pool of ``n_events``."""
    folder = cache_directory() / "trigger" / cache_key(process, seed=seed)
    return [
        Chunk(process=process, seed=seed, number=number, n_events=size, path=folder / f"chunk-{number:04d}-{size}.npz")
        for number, size in enumerate(chunk_sizes(process, n_events))
    ]


def load_pools(
    sizes: Sequence[tuple[Process, int]],
    *,
    seed: int,
    n_processes: int | None = None,
    progress: Progress | None = None,
) -> list[EventPool]:
    """A pool of the given number of events for every process, in the same order.

    Parameters
    ----------
    sizes : (process, number of events) pairs
    seed : int
        Fixes every event.
    n_processes : int, optional
        Worker processes; by default one per core. The events do not depend on it.
    progress : rich.progress.Progress, optional

    Raises
    ------
    ToolError
        pythia8mc is not installed, or fails.
    OutputError
        The cache directory cannot be written.
    """
    chunks = [pool_chunks(process, n_events, seed=seed) for process, n_events in sizes]
    found = {chunk: chunk.read() for pool in chunks for chunk in pool}
    missing = [chunk for chunk, events in found.items() if events is None]
    if missing:
        generate_chunks(missing, n_processes=n_processes, progress=progress)
    for chunk in missing:
        found[chunk] = EventPool.load(chunk.path, n_events=chunk.n_events)
    return [EventPool.join([events for chunk in pool if (events := found[chunk]) is not None]) for pool in chunks]


def generate_chunks(
    chunks: Sequence[Chunk], *, n_processes: int | None = None, progress: Progress | None = None
) -> None:
    """Generate chunks in worker processes, and write each to its file."""
    n_workers = min(n_processes or len(os.sched_getaffinity(0)), len(chunks))
    n_events = sum(chunk.n_events for chunk in chunks)
    logger.info("generating %d events with Pythia in %d chunks on %d processes", n_events, len(chunks), n_workers)
    task = None if progress is None else progress.add_task("generating collisions", total=n_events)
    pending: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
    for chunk in chunks:
        pending.put(chunk)

    def work(worker: Worker) -> None:
        while True:
            try:
                chunk = pending.get_nowait()
            except queue.Empty:
                return
            worker.generate(
                chunk.process, seed=chunk.seed, chunk=chunk.number, n_events=chunk.n_events, path=chunk.path
            )
            if progress is not None and task is not None:
                progress.advance(task, chunk.n_events)

    workers: list[Worker] = []
    with ThreadPoolExecutor(n_workers) as threads:
        try:
            workers.extend(Worker() for _ in range(n_workers))
            running = [threads.submit(work, worker) for worker in workers]
            wait(running, return_when=FIRST_EXCEPTION)
            failed = [error for future in running if future.done() and (error := future.exception()) is not None]
            if failed:
                raise failed[0]
        finally:
            # Also on Ctrl-C and on failure: the threads then find their workers gone, and end.
            while not pending.empty():
                pending.get()
            for worker in workers:
                worker.end()
    if progress is not None and task is not None:
        progress.remove_task(task)
