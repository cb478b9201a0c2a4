"""The search: points that Keras-Tuner proposes, trained by worker processes, kept in a journal.

A trial after so many epochs has one well-defined score, whoever trains it and however often it is interrupted. The
journal is a memo of these scores: an interrupted search is the same search again, in which what is known costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpgaml.dataset import SPLITS, Dataset
from fpgaml.environment import load_tensorflow
from fpgaml.errors import DivergedError, StudyError, ToolError
from fpgaml.estimates import check_predicted
from fpgaml.journal import JOURNAL, Journal
from fpgaml.proposals import WAIT, Proposal, Proposer
from fpgaml.ranking import known_of, merit, trial_score
from fpgaml.search_progress import SearchProgress
from fpgaml.search_result import SearchResult
from fpgaml.study import Study
from fpgaml.trial import trial_id
from fpgaml.workers import Worker, WorkerDied, Workers, open_workers

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)


def search(
    study: Study,
    dataset: Dataset,
    output: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Search, or go on with a search that was interrupted in ``output``.

    Parameters
    ----------
    study : Study
        With choices, or trials; its search options say how to search.
    dataset : Dataset
        Its train and validation splits are used; test data never.
    output : Path
        Holds the journal and the state of every trial; on a cluster, on a file system that all workers share.
    workers : int, optional
        Trials to train side by side, each in a process with one thread; what cores and memory allow if not given, or
        as many as the cluster has workers.
    scheduler : str, optional
        The address of a Dask scheduler, such as ``tcp://host:8786``; processes on this machine if not given.
    progress : rich.progress.Progress, optional
        Where to show finished, running and stopped trials, the best score and the time left.

    Raises
    ------
    OutputError
        ``output`` holds the search of another space, or cannot be written; what is finished is kept.
    StudyError
        The study has nothing to choose, or limits what its backend cannot predict.
    ToolError
        No trial has a score; or there is no cluster at ``scheduler``, see ``fpgaml.workers.open_workers``.
    """
    if not study.choices and not study.trials:
        raise StudyError(f"{study.source.path}: there is nothing to search: it has no choices")
    check_predicted(study)
    started = time.perf_counter()
    journal = Journal(output / JOURNAL, space=_space(study, dataset))
    events = list(journal.read())
    load_tensorflow()  # Keras-Tuner does, and not quietly
    proposer = Proposer(study.search, study.choices, study.trials)
    seen = training_part(dataset, study.search.training_fraction, seed=study.search.seed)
    with open_workers(study, seen, output, n=workers, scheduler=scheduler) as opened:
        shown = SearchProgress(proposer.schedule, progress, options=study.search)
        _Search(study, output, journal, proposer, opened, shown, events, _known(events)).work()
    return SearchResult.of(events, study.search, wall_s=time.perf_counter() - started)


def training_part(dataset: Dataset, fraction: float, *, seed: int) -> Dataset:
    """A part of the training events, the same part of signal and background, drawn at random; and all others.

    Parameters
    ----------
    dataset : Dataset
        Of which to take a part.
    fraction : float
        Of the training events of each class that is kept, above 0 and at most 1; at least one event of each.
    seed : int
        For the draw.
    """
    if fraction >= 1:
        return dataset
    kept = dataset.split != SPLITS.index("train")
    generator = np.random.default_rng(seed)
    for label in (0, 1):
        events = np.flatnonzero((dataset.split == SPLITS.index("train")) & (dataset.y == label))
        kept[generator.permutation(events)[: max(1, round(fraction * len(events)))]] = True
    return dataset.select(kept)


def _space(study: Study, dataset: Dataset) -> str:
    """Names what is searched: another study, other options or other data are another space."""
    content = [study.dump(), study.search.model_dump(mode="json"), dataset.sha256]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _known(events: list[dict[str, Any]]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """What need not be trained again, by trial and epochs: scores, and failures that would only happen again."""
    return {
        (event["trial"], event["epochs"]): event
        for event in events
        if event["event"] == "finished" or (event["event"] == "failed" and event.get("final"))
    }


@dataclass(frozen=True)
class _Job:
    """A proposal, and the trial that it is."""

    proposal: Proposal
    trial: str


@dataclass
class _Search:
    """One call of ``search``: what is known, and what is under way.

    ``known`` holds, by trial and epochs, what needs no training: scores of earlier calls, and all that ended in this.
    """

    study: Study
    output: Path
    journal: Journal
    proposer: Proposer
    workers: Workers
    shown: SearchProgress
    events: list[dict[str, Any]]
    known: dict[tuple[str, int], Mapping[str, Any]]
    running: dict[Future[dict[str, Any]], _Job] = field(default_factory=dict)
    waiting: list[_Job] = field(default_factory=list)  # their trial is being trained to another epoch

    def work(self) -> None:
        """Train until there is nothing more to train."""
        while self._fill():
            self.shown.show(len(self.running))
            done, _ = wait(self.running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda ended: self.running[ended].proposal.number):
                self._keep(future)
        self.shown.show(0)

    def _fill(self) -> bool:
        """Give every worker something to do; False when the search is over."""
        while len(self.running) < self.workers.n:
            job = self._next_waiting()
            if job is None:
                proposal = self.proposer.propose()
                if proposal is None or proposal is WAIT:
                    break
                job = _Job(proposal, trial_id(self.study.point(proposal.choices)))
            event = self.known.get((job.trial, job.proposal.epochs))
            if event is not None:
                self._tell(job, event, known=True)
            elif any(other.trial == job.trial for other in self.running.values()):
                self.waiting.append(job)
            else:
                self._append("started", job)
                directory = self.output.resolve() / "states" / job.trial
                arguments = dict(job.proposal.choices), job.proposal.epochs, str(directory)
                self.running[self.workers.submit(train_in_worker, *arguments)] = job
        return bool(self.running)

    def _next_waiting(self) -> _Job | None:
        busy = {job.trial for job in self.running.values()}
        for job in self.waiting:
            if job.trial not in busy:
                self.waiting.remove(job)
                return job
        return None

    def _keep(self, future: Future[dict[str, Any]]) -> None:
        """Keep what came of a trial that has ended; errors that would meet every trial end the search."""
        job = self.running.pop(future)
        try:
            found = future.result()
        except WorkerDied as error:
            found = {"reason": f"trial {job.trial}: {error}", "final": False}
        if "reason" in found:
            event = self._append("failed", job, **found)
            _log.warning("%s. The search goes on without it", found["reason"])
        else:
            event = self._append("finished", job, **self._judged(found), **found)
        self.known[job.trial, job.proposal.epochs] = event
        self._tell(job, event, known=False)

    def _judged(self, found: Mapping[str, Any]) -> dict[str, float]:
        """The score of a trial; and its merit, where that is another number."""
        options = self.study.search
        judged = {"score": trial_score(found["curves"], options)}
        if options.feasible_first:
            judged["merit"] = merit(judged["score"], known_of(found["curves"], found["cost"], options), options)
        return judged

    def _tell(self, job: _Job, event: Mapping[str, Any], *, known: bool) -> None:
        if event["event"] == "failed":
            self.proposer.fail(job.proposal)
        else:
            cost = event["cost"][self.study.search.cost]
            self.proposer.tell(job.proposal, event["score"], cost, merit=event.get("merit"))
        self.shown.ended(job.proposal, event, known=known)

    def _append(self, kind: str, job: _Job, **content: Any) -> Mapping[str, Any]:
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
        return event


def train_in_worker(worker: Worker, choices: dict[str, Any], epochs: int, directory: str) -> dict[str, Any]:
    """Train a trial in a worker process.

    Returns
    -------
    dict
        What the journal tells of it: ``curves``, ``cost``, ``signal_efficiency``, ``float_epochs``, ``wall_s`` and
        ``spent_s``. Or the ``reason`` why it failed, and whether that is ``final``: a loss that is not finite will be
        so again, while memory may be there the next time.

    Raises
    ------
    OutputError, DataError
        As ``TrialTrainer.train`` does: no other trial would fare better.
    """
    import tensorflow as tf

    started = time.perf_counter()
    point = worker.study.point(choices)
    try:
        result = worker.trainer.train(point, epochs=epochs, directory=Path(directory))
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return {"reason": f"trial {trial_id(point)} needs more memory than there is. Use fewer workers", "final": False}
    except ToolError as error:
        return {"reason": str(error), "final": isinstance(error, DivergedError)}
    return {
        "curves": {name: list(curve) for name, curve in result.curves.items()},
        "cost": dict(result.cost),
        "signal_efficiency": dict(result.signal_efficiency),
        "float_epochs": result.float_epochs,
        "spent_s": dict(result.spent_s),
        "wall_s": time.perf_counter() - started,
    }
