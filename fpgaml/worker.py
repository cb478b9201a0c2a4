"""A process that trains: what it keeps between tasks, and how it is prepared.

Tasks name a directory of shared data, not the data: a process loads them once, with the first task that needs them.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fpgaml.dataset import SPLITS, Dataset
from fpgaml.environment import load_tensorflow
from fpgaml.errors import FpgamlError, OutputError, ToolError
from fpgaml.study import Study
from fpgaml.temporary_paths import reason
from fpgaml.trial import TrialTrainer

Result = TypeVar("Result")

STUDY = "study.yaml"


class WorkerDied(FpgamlError):  # noqa: N818  what has happened, for those who do the task's part of the work without it
    """A task has killed its worker process, again and again: for lack of memory, or by a fault in native code."""


@dataclass(frozen=True)
class Worker:
    """What a task finds in the process that runs it.

    Parameters
    ----------
    study : Study
        What is trained.
    dataset : Dataset
        Its train and validation splits, mapped into memory.
    """

    study: Study
    dataset: Dataset

    @classmethod
    def load(cls, directory: Path) -> Worker:
        """Study and data that ``share`` wrote.

        Raises
        ------
        OutputError
            They cannot be read: on a cluster, the directory is perhaps not on a file system that all machines see.
        """
        if not (directory / STUDY).exists():
            raise OutputError(
                f"{directory}: the worker process on {platform.node()} does not find its study and data there. Choose "
                "an --output on a file system that all workers share"
            )
        columns = {path.stem: np.load(path, mmap_mode="r") for path in sorted(directory.glob("*.npy"))}
        rate_khz = json.loads((directory / "rate_khz.json").read_text(encoding="utf-8"))
        return cls(Study.load(directory / STUDY), Dataset(rate_khz=rate_khz, **columns))

    @cached_property
    def trainer(self) -> TrialTrainer:
        """Trains trials; what it has traced serves the next one of the same shape."""
        return TrialTrainer(self.dataset, self.study.targets)


def share(study: Study, dataset: Dataset, directory: Path) -> None:
    """Write what workers need to a new directory: the study, and the train and validation events as arrays.

    Raises
    ------
    OutputError
        The disk is full, or it cannot be written for another reason.
    """
    kept = dataset.select(dataset.split != SPLITS.index("test"))
    columns: dict[str, NDArray[Any] | None] = {
        "x": kept.x,
        "y": kept.y,
        "split": kept.split,
        "weights": kept.weights,
        "training_weights": kept.training_weights,
        "groups": kept.groups,
    }
    try:
        directory.mkdir(parents=True)
        (directory / STUDY).write_text(study.dump(), encoding="utf-8")
        (directory / "rate_khz.json").write_text(json.dumps(kept.rate_khz), encoding="utf-8")
        for name, column in columns.items():
            if column is not None:
                np.save(directory / f"{name}.npy", column)
    except OSError as error:
        size = sum(column.nbytes for column in columns.values() if column is not None)
        raise OutputError(
            f"{directory}: the workers' copy of the data cannot be written: {reason(error)}. It takes "
            f"{math.ceil(size / 2**20)} MiB: free some room there, and run the same again"
        ) from error


_kept: dict[str, Worker] = {}
"""The worker of this process, by the directory that it was loaded from: one at a time."""


def run_task(directory: str, function: Callable[..., Result], *arguments: Any) -> Result:
    """Call ``function(worker, *arguments)`` in a worker process, which is prepared with its first task.

    Errors are those of the function, of ``Worker.load`` and of ``use_one_thread``.
    """
    if directory not in _kept:
        use_one_thread()
        _kept.clear()
        _kept[directory] = Worker.load(Path(directory))
    return function(_kept[directory], *arguments)


def use_one_thread() -> None:
    """Let TensorFlow compute in one thread, so that processes side by side do not get into each other's way.

    The last digits of a result depend on the number of threads, so this is no mere matter of speed.

    Raises
    ------
    ToolError
        TensorFlow has computed something in this process already, with more threads.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    load_tensorflow()
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise ToolError(
            f"process {os.getpid()} on {platform.node()} has used TensorFlow with other settings before, and cannot be "
            "a worker of fpgaml. Restart it"
        ) from error
