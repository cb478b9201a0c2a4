"""The search: points that Keras-Tuner proposes, trained by worker processes, kept in a journal.

A trial after so many epochs has one well-defined score, whoever trains it and however often it is interrupted. The
journal is a memo of these scores: an interrupted search is the same search again, in which what is known costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpgaml.dataset import SPLITS, Dataset
from fpgaml.environment import load_tensorflow
from fpgaml.errors import FpgamlError, StudyError, ToolError
from fpgaml.journal import Journal
from fpgaml.pareto import hypervolume, pareto_front
from fpgaml.proposals import WAIT, Proposal, Proposer
from fpgaml.search_options import SearchOptions, meets
from fpgaml.study import Study
from fpgaml.trial import score, train_trial, trial_id

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

JOURNAL = "journal.jsonl"

ATTEMPTS = 3
"""How often a trial is begun whose worker dies, before it counts as failed."""

TRIALS_PER_PROCESS = 50
"""After so many trials a worker is replaced: TensorFlow keeps some megabytes of each."""

WORKER_GIB = 3.0
"""Memory that a worker is allowed for beside its data."""


@dataclass(frozen=True)
class Evaluated:
    """A trial after the most epochs that it was trained for.

    Parameters
    ----------
    trial : str
        Its id.
    choices : mapping
        The value of every choice.
    epochs : int
        How long it was trained.
    score : float
        The search's estimate of the objective on validation data; higher is better.
    curves : mapping of name to list
        One value per epoch.
    cost : mapping of name to int
        What the network costs.
    feasible : bool
        Whether it keeps the limits.
    """

    trial: str
    choices: Mapping[str, Any]
    epochs: int
    score: float
    curves: Mapping[str, list[float]]
    cost: Mapping[str, int]
    feasible: bool


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    Parameters
    ----------
    trials : tuple of Evaluated
        The best first; those that were trained longer come before those that were not, since scores after different
        numbers of epochs do not compare.
    failed : mapping of trial to reason
        Trials that have no score.
    epochs : int
        Epochs that were trained, over all trials and interruptions.
    wall_s : float
        Seconds that this call took.
    """

    trials: tuple[Evaluated, ...]
    failed: Mapping[str, str]
    epochs: int
    wall_s: float

    @property
    def front(self) -> tuple[Evaluated, ...]:
        """The longest trained trials that no other of them beats in both score and EBOPs; the cheapest first."""
        longest, scores, costs = self._longest()
        return tuple(longest[position] for position in pareto_front(scores, costs))

    @property
    def hypervolume(self) -> float:
        """Of the front, against the lowest score and the highest EBOPs of the longest trained trials."""
        _, scores, costs = self._longest()
        return hypervolume(scores, costs, (min(scores), max(costs)))

    def _longest(self) -> tuple[list[Evaluated], list[float], list[int]]:
        """The trials whose scores compare, because they were trained for as many epochs; scores and EBOPs of each."""
        longest = [trial for trial in self.trials if trial.epochs == self.trials[0].epochs]
        return longest, [trial.score for trial in longest], [trial.cost["ebops"] for trial in longest]

    def __str__(self) -> str:
        best = self.trials[0]
        chosen = ", ".join(f"{name}: {value}" for name, value in best.choices.items())
        return (
            f"{len(self.trials)} trials, {len(self.failed)} failed, {self.epochs} epochs; best: {best.trial} with "
            f"score {best.score:.4f} after {best.epochs} epochs ({chosen})"
        )

    def to_json(self) -> dict[str, Any]:
        """Everything but the curves."""
        return {
            "trials": [
                {
                    "trial": found.trial,
                    "choices": dict(found.choices),
                    "epochs": found.epochs,
                    "score": found.score,
                    "cost": dict(found.cost),
                    "feasible": found.feasible,
                }
                for found in self.trials
            ],
            "pareto_front": [found.trial for found in self.front],
            "hypervolume": self.hypervolume,
            "failed": dict(self.failed),
            "epochs": self.epochs,
            "wall_s": self.wall_s,
        }

    def winners(self, number: int) -> tuple[Evaluated, ...]:
        """The best trials that keep the limits.

        Raises
        ------
        StudyError
            None does.
        """
        feasible = tuple(trial for trial in self.trials if trial.feasible)
        if not feasible:
            raise StudyError("search: no trial keeps the limits. Loosen search.limits, or offer cheaper choices")
        return feasible[:number]


def search(
    study: Study,
    options: SearchOptions,
    dataset: Dataset,
    output: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Search, or go on with a search that was interrupted in ``output``.

    Parameters
    ----------
    study : Study
        With choices.
    options : SearchOptions
        How to search.
    dataset : Dataset
        Its train and validation splits are used; test data never.
    output : Path
        Holds the journal and the state of every trial.
    workers : int, optional
        Processes that train side by side, each with one thread; what cores and memory allow if not given.
    progress : rich.progress.Progress, optional
        Where to show finished trials and epochs.

    Raises
    ------
    OutputError
        ``output`` holds the search of another space.
    StudyError
        The study has nothing to choose.
    """
    if not study.choices:
        raise StudyError(f"{study.source.path}: there is nothing to search: it has no choices")
    started = time.perf_counter()
    journal = Journal(output / JOURNAL, space=_space(study, options, dataset))
    load_tensorflow()  # Keras-Tuner does, and not quietly
    with tempfile.TemporaryDirectory(prefix=".search-data.", dir=output) as directory:
        shared = Path(directory) / "search-data"
        share_dataset(dataset, shared)
        run = _Run(study, options, journal, output, shared, workers or default_workers(dataset), progress)
        run.work()
    return _result(run.events, options, time.perf_counter() - started)


def default_workers(dataset: Dataset) -> int:
    """As many as there are cores, and as memory allows."""
    import psutil

    needed = WORKER_GIB * 2**30 + 2 * dataset.x.nbytes
    return max(1, min(len(os.sched_getaffinity(0)), int(psutil.virtual_memory().available // needed)))


def _space(study: Study, options: SearchOptions, dataset: Dataset) -> str:
    """Names what is searched: another study, other options or other data are another space."""
    content = [study.dump(), options.model_dump(mode="json"), dataset.sha256]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class _Job:
    proposal: Proposal
    trial: str
    attempts: int = 1


@dataclass
class _Run:
    """One call of ``search``: what is known, and what is under way."""

    study: Study
    options: SearchOptions
    journal: Journal
    output: Path
    shared: Path
    workers: int
    progress: Progress | None
    events: list[Mapping[str, Any]] = field(default_factory=list)

    def work(self) -> None:
        self.events = list(self.journal.read())
        self.known = {(e["trial"], e["epochs"]): e for e in self.events if e["event"] in ("finished", "failed")}
        self.proposer = Proposer(self.options, self.study.choices)
        self.pool: ProcessPoolExecutor | None = None
        self.running: dict[Future[dict[str, Any]], _Job] = {}
        self.waiting: list[_Job] = []  # their trial is being trained to another epoch
        self.shown = self.progress.add_task("search: trials", total=None) if self.progress else None
        try:
            while self._fill():
                self._collect()
        finally:
            self._stop()

    def _fill(self) -> bool:
        """Give every worker something to do; False when the search is over."""
        while len(self.running) < self.workers:
            job = self._next_waiting()
            if job is None:
                proposal = self.proposer.propose()
                if proposal is None or proposal is WAIT:
                    break
                job = _Job(proposal, trial_id(self.study.point(proposal.choices)))
            known = self.known.get((job.trial, job.proposal.epochs))
            if known is not None:
                self._tell(job.proposal, known)
            elif any(other.trial == job.trial for other in self.running.values()):
                self.waiting.append(job)
            else:
                self._submit(job)
        return bool(self.running)

    def _next_waiting(self) -> _Job | None:
        busy = {job.trial for job in self.running.values()}
        for job in self.waiting:
            if job.trial not in busy:
                self.waiting.remove(job)
                return job
        return None

    def _submit(self, job: _Job) -> None:
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            arguments = (str(self.study.source.path), str(self.shared))
            self.pool = ProcessPoolExecutor(
                self.workers, context, _start_worker, arguments, max_tasks_per_child=TRIALS_PER_PROCESS
            )
        self._append("started", job)
        directory = self.output / "states" / job.trial
        future = self.pool.submit(_train, dict(job.proposal.choices), job.proposal.epochs, str(directory))
        self.running[future] = job

    def _collect(self) -> None:
        """Wait until a trial has ended, and keep what came of it."""
        done, _ = wait(self.running, return_when=FIRST_COMPLETED)
        for future in done:
            job = self.running.pop(future)
            try:
                found = future.result()
            except BrokenProcessPool:
                self.running[future] = job
                self._restart()
                return
            except FpgamlError as error:
                self._append("failed", job, reason=str(error))
            except MemoryError:
                self._append("failed", job, reason="not enough memory")
            else:
                self._append("finished", job, score=score(found["curves"], self.options.objective), **found)
            self._tell(job.proposal, self.events[-1])
            if self.progress and self.shown is not None:
                self.progress.advance(self.shown)

    def _restart(self) -> None:
        """A worker has died and taken the pool with it: begin what was running again."""
        jobs = list(self.running.values())
        self._stop()
        for job in jobs:
            if job.attempts < ATTEMPTS:
                _log.warning("a worker died; trial %s is begun again", job.trial)
                self.waiting.append(_Job(job.proposal, job.trial, job.attempts + 1))
            else:
                reason = f"its worker died {ATTEMPTS} times, for lack of memory perhaps: try fewer workers"
                self._append("failed", job, reason=reason)
                self._tell(job.proposal, self.events[-1])

    def _stop(self) -> None:
        """End all workers at once; what they have not saved is trained again later."""
        if self.pool is not None:
            for process in list((self.pool._processes or {}).values()):  # noqa: SLF001  there is no other way to them
                process.kill()
            self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool, self.running = None, {}

    def _tell(self, proposal: Proposal, event: Mapping[str, Any]) -> None:
        if event["event"] == "failed":
            self.proposer.fail(proposal)
        else:
            self.proposer.tell(proposal, event["score"])

    def _append(self, kind: str, job: _Job, **content: Any) -> None:
        event = {
            "event": kind,
            "trial": job.trial,
            "choices": dict(job.proposal.choices),
            "epochs": job.proposal.epochs,
            "from_epochs": job.proposal.from_epochs,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            **content,
        }
        self.journal.append(event)
        self.events.append(event)
        if kind != "started":
            self.known[job.trial, job.proposal.epochs] = event


def share_dataset(dataset: Dataset, directory: Path) -> None:
    """Write the train and validation events as arrays that all workers map into memory."""
    kept = dataset.select(dataset.split != SPLITS.index("test"))
    columns: dict[str, Any] = {
        "x": kept.x,
        "y": kept.y,
        "split": kept.split,
        "weights": kept.weights,
        "groups": kept.groups,
    }
    columns["training_weights"] = kept.training_weights
    directory.mkdir()
    for name, column in columns.items():
        if column is not None:
            np.save(directory / f"{name}.npy", column)
    (directory / "rate_khz.json").write_text(json.dumps(kept.rate_khz), encoding="utf-8")


def shared_dataset(directory: Path) -> Dataset:
    """What ``share_dataset`` wrote, mapped into memory."""
    columns = {path.stem: np.load(path, mmap_mode="r") for path in sorted(directory.glob("*.npy"))}
    rate_khz = json.loads((directory / "rate_khz.json").read_text(encoding="utf-8"))
    return Dataset(rate_khz=rate_khz, **columns)


_worker: dict[str, Any] = {}
"""What a worker process keeps between trials: the study and its data."""


def _start_worker(study: str, shared: str) -> None:
    """Prepare a worker: one thread, so that workers side by side do not get into each other's way."""
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    load_tensorflow()
    _worker["study"] = Study.load(Path(study))
    _worker["dataset"] = shared_dataset(Path(shared))


def _train(choices: dict[str, Any], epochs: int, directory: str) -> dict[str, Any]:
    """Train a trial in a worker process."""
    study: Study = _worker["study"]
    started = time.perf_counter()
    result = train_trial(
        study.point(choices), _worker["dataset"], epochs=epochs, directory=Path(directory), targets=study.targets
    )
    return {
        "curves": {name: list(curve) for name, curve in result.curves.items()},
        "cost": dict(result.cost),
        "wall_s": time.perf_counter() - started,
    }


def _result(events: list[Mapping[str, Any]], options: SearchOptions, wall_s: float) -> SearchResult:
    longest: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, str] = {}
    trained: dict[str, int] = {}
    for event in events:
        trial = event.get("trial", "")
        if event["event"] == "failed":
            failed[trial] = event["reason"]
        elif event["event"] == "finished":
            trained[trial] = max(trained.get(trial, 0), event["epochs"])
            if trial not in longest or event["epochs"] > longest[trial]["epochs"]:
                longest[trial] = event
    found = [
        Evaluated(
            trial,
            event["choices"],
            event["epochs"],
            event["score"],
            event["curves"],
            event["cost"],
            meets(options.limits, event["cost"]),
        )
        for trial, event in longest.items()
    ]
    if not found:
        reasons = "; ".join(sorted(set(failed.values()))) or "the oracle proposed none"
        raise ToolError(f"search: no trial has a score: {reasons}")
    found.sort(key=lambda trial: (-trial.epochs, -trial.score, trial.trial))
    return SearchResult(tuple(found), failed, sum(trained.values()), wall_s)
