"""What tests have worker processes do: functions that a new process can import."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from fpgaml.search import train_in_worker
from fpgaml.worker import Worker


def describe(worker: Worker) -> dict[str, Any]:
    """What a task finds around itself."""
    import tensorflow as tf

    return {
        "pid": os.getpid(),
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "worker": id(worker),
        "mapped": not worker.dataset.x.flags.owndata,
        "events": len(worker.dataset),
    }


def die(worker: Worker, begun: str, times: int) -> int:
    """Kill the process that does this, so many times; each beginning leaves a line in a file. Gives the last pid."""
    with Path(begun).open("a") as file:
        file.write(f"{os.getpid()}\n")
    if len(Path(begun).read_text().split()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def wait_for(worker: Worker, begun: str, ended: str) -> list[int]:
    """Leave a line in one file and wait until the other is there; gives the pids of all that have begun this."""
    with Path(begun).open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not Path(ended).exists():
        time.sleep(0.02)
    return [int(pid) for pid in Path(begun).read_text().split()]


def fail(worker: Worker) -> None:
    raise ZeroDivisionError("of the task's own")


def train_or_die(worker: Worker, choices: dict[str, Any], epochs: int, directory: str) -> dict[str, Any]:
    """What a search has its workers do, but the networks with six units kill them."""
    if choices["units"] == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_in_worker(worker, choices, epochs, directory)


def pid_and(value: Any) -> tuple[int, Any]:
    """The process that does this, and what it was given."""
    return os.getpid(), value


def print_and(value: Any) -> Any:
    """What it was given, which is printed first, by Python and below it."""
    print(value, flush=True)
    os.write(1, b"from below")
    return value


def fail_unpicklably() -> None:
    class Unpicklable(Exception):
        pass

    raise Unpicklable("told")


def leave_temporary_file() -> str:
    """A temporary file that is not removed."""
    return tempfile.mkstemp()[1]
