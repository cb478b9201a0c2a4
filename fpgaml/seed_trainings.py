"""Trainings of one network that differ by their seeds, done by workers and kept with their scores."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np

from fpgaml.dataset import Dataset
from fpgaml.errors import ToolError
from fpgaml.events import Scores
from fpgaml.storage import atomic_path, read_arrays
from fpgaml.temporary_paths import path_beside, unwritable
from fpgaml.train import FloatTwin, TrainedModel, train, train_float_twin
from fpgaml.workers import Worker, WorkerDied, Workers

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

Model = Literal["qkeras", "float"]
QKERAS: Final = "qkeras"
FLOAT: Final = "float"


@dataclass(frozen=True, eq=False)
class SeedTraining:
    """A training with a certain seed, to do or done.

    Parameters
    ----------
    choices : mapping
        The value of every choice.
    seed : int
        For initial weights, dropout and the order of events.
    place : Path
        The directory of the trial.
    model : {"qkeras", "float"}
        The quantized network, or its float twin.
    """

    choices: Mapping[str, Any]
    seed: int
    place: Path
    model: Model

    @property
    def directory(self) -> Path:
        """Where it is kept."""
        return self.place / f"{'float_' if self.model == FLOAT else ''}seed_{self.seed}"

    @property
    def is_kept(self) -> bool:
        """Whether it has been done, and nothing of it is missing."""
        saved = (TrainedModel if self.model == QKERAS else FloatTwin).is_saved(self.directory)
        return saved and (self.directory / "scores.npz").exists()


class SeedTrainings:
    """Has trainings done by workers, who find the test inputs in a file while the block lasts.

    Parameters
    ----------
    dataset : Dataset
        Whose test events are scored.
    output : Path
        The run's directory.
    workers : Workers
        Who train.
    progress : rich.progress.Progress, optional
        Where to show how many trainings are done.
    """

    def __init__(self, dataset: Dataset, output: Path, workers: Workers, progress: Progress | None) -> None:
        self._dataset, self._workers, self._progress = dataset, workers, progress
        self._place, self._held = output.resolve() / "winner-test.npy", contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._test = self._held.enter_context(path_beside(self._place))
        except OSError as error:
            raise unwritable(self._place, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def complete(self, jobs: Sequence[SeedTraining]) -> dict[SeedTraining, str]:
        """Have all trainings done that are not; gives the reasons of those that failed."""
        missing = [job for job in jobs if not job.is_kept]
        if not missing:
            return {}
        if not self._test.exists():
            self._write_test()
        name = "winners" if jobs[0].model == QKERAS else "float twins"
        _log.info("%s: %d trainings, of which %d are kept", name, len(jobs), len(jobs) - len(missing))
        shown = self._progress.add_task(name, total=len(jobs)) if self._progress else None
        if self._progress and shown is not None:
            self._progress.advance(shown, len(jobs) - len(missing))
        running = {self._submit(job): job for job in missing}
        failed = {}
        for future in as_completed(running):
            job = running[future]
            try:
                reason = future.result()
            except WorkerDied as error:
                reason = str(error)
            if reason:
                failed[job] = reason
                _log.warning("%s: seed %d of trial %s failed: %s", name, job.seed, job.place.name, reason)
            if self._progress and shown is not None:
                self._progress.advance(shown)
        return failed

    def _write_test(self) -> None:
        """Write the test inputs: what workers share has no test events, and a search needs none."""
        try:
            np.save(self._test, self._dataset.part("test").x)
        except OSError as error:
            raise unwritable(self._place, error) from error

    def _submit(self, job: SeedTraining) -> Future[str]:
        arguments = dict(job.choices), job.seed, job.model, str(self._test), str(job.directory.resolve())
        return self._workers.submit(train_seed, *arguments)


def train_seed(worker: Worker, choices: Mapping[str, Any], seed: int, model: Model, test: str, directory: str) -> str:
    """Train a network or its float twin in a worker process, and keep it with its scores, whole or not at all.

    Returns
    -------
    str
        Why there is no network: its loss is not finite, or memory is short; empty where there is one.

    Raises
    ------
    OutputError, DataError
        As ``train`` does: no other training would fare better.
    """
    import tensorflow as tf

    try:
        point = worker.study.point(choices)
        options = point.train.model_copy(update={"seed": seed})
        trained = (train if model == QKERAS else train_float_twin)(point.architecture, worker.dataset, options)
        inputs: dict[str, Any] = {"validation": worker.dataset.part("validation").x}
        inputs["test"] = np.load(test, mmap_mode="r")
        scores: dict[str, Any] = {split: trained.predict(x)[:, 0] for split, x in inputs.items()}
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return "it needs more memory than there is. Use fewer workers"
    except ToolError as error:
        return str(error)
    with atomic_path(Path(directory)) as fresh:
        trained.save(fresh)
        np.savez(fresh / "scores.npz", **scores)
    return ""


def read_scores(directory: Path) -> Scores:
    """What a training that is kept gives to validation and test events."""
    columns = read_arrays(directory / "scores.npz")
    return Scores(validation=columns["validation"], test=columns["test"])
