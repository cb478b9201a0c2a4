"""The best trials of a search, trained afresh on all events with several seeds: which one wins, and by how much.

One training says little: another seed may change the order. The winner is the network whose mean over seeds is best on
validation events, and of its trainings the one that is best there goes on to firmware. Test events are looked at only
when that is decided, and only to report.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpgaml.comparison import Comparison, compare, validation_efficiency
from fpgaml.dataset import Dataset
from fpgaml.environment import load_tensorflow
from fpgaml.errors import StudyError, ToolError
from fpgaml.events import Events
from fpgaml.metrics import Target
from fpgaml.search import Evaluated
from fpgaml.search_options import meets
from fpgaml.seed_trainings import FLOAT, QKERAS, SeedTraining, SeedTrainings, read_scores
from fpgaml.storage import atomic_path, read_json
from fpgaml.study import Study
from fpgaml.train import FloatTwin, TrainedModel
from fpgaml.workers import open_workers

if TYPE_CHECKING:
    from rich.progress import Progress

_log = logging.getLogger(__name__)

WINNERS = "winners.json"
"""What came of them."""


@dataclass(frozen=True)
class Training:
    """One training of a candidate.

    Parameters
    ----------
    seed : int
        For initial weights, dropout and the order of events.
    directory : Path
        Where it is kept.
    validation : float
        Signal efficiency on validation events, at the headline target.
    cost : mapping of name to int
        What the network costs.
    feasible : bool
        Whether it keeps the limits of the search.
    """

    seed: int
    directory: Path
    validation: float
    cost: Mapping[str, int]
    feasible: bool


@dataclass(frozen=True)
class Candidate:
    """A trial of the search and its trainings.

    Parameters
    ----------
    trial : str
        Its id in the search.
    architecture : str
        The hash of its network.
    choices : mapping
        The value of every choice.
    score : float
        The search's.
    trainings : tuple of Training
        One per seed that could be trained.
    failed : mapping of seed to reason
        The others. A candidate that fails with any seed cannot win: its mean would leave out what went wrong.
    """

    trial: str
    architecture: str
    choices: Mapping[str, Any]
    score: float
    trainings: tuple[Training, ...]
    failed: Mapping[int, str]

    @property
    def validation(self) -> float:
        """Mean over seeds of the signal efficiency on validation events."""
        return float(np.mean([training.validation for training in self.trainings]))

    @property
    def best(self) -> Training:
        """The training that is best on validation events, of those that keep the limits."""
        return max((found for found in self.trainings if found.feasible), key=lambda found: found.validation)

    @property
    def eligible(self) -> bool:
        """Whether it may win."""
        return not self.failed and any(training.feasible for training in self.trainings)


@dataclass(frozen=True)
class Winners:
    """The candidates, the best on validation events first, and how they compare on test events.

    Parameters
    ----------
    target : Target
        The working point.
    seeds : tuple of int
        What every candidate was trained with.
    candidates : tuple of Candidate
        The first is the winner; those that cannot win come last.
    comparison : Comparison
        Of all that were trained with every seed, by trial, and of the winner's float twin, by the name "float".
        Differences are a candidate's minus the winner's, and the winner's minus the float twin's.
    twin_failed : mapping of seed to reason
        Float twins that could not be trained; then there is none in the comparison.
    """

    target: Target
    seeds: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    comparison: Comparison
    twin_failed: Mapping[int, str] = field(default_factory=dict)

    @property
    def winner(self) -> Candidate:
        """The best on validation events."""
        return self.candidates[0]

    def to_json(self) -> dict[str, Any]:
        """What ``winners.json`` holds."""
        winner, comparison = self.winner, self.comparison
        twin: dict[str, Any] = {"failed": {str(seed): reason for seed, reason in self.twin_failed.items()}}
        if FLOAT in comparison.means:
            twin |= comparison.means[FLOAT].to_json()
            twin["qkeras_minus_float"] = comparison.differences[winner.trial, FLOAT].to_json()
        return {
            "winner": {"trial": winner.architecture, "search_trial": winner.trial, "seed": winner.best.seed},
            "choices": dict(winner.choices),
            "target": {"kind": self.target.kind, "value": self.target.value},
            "seeds": list(self.seeds),
            "level": comparison.level,
            "level_apart": comparison.level_apart,
            "replicas": comparison.replicas,
            "winners": [self._candidate(candidate) for candidate in self.candidates],
            "float_twin": twin,
        }

    def _candidate(self, candidate: Candidate) -> dict[str, Any]:
        found = self.comparison.means.get(candidate.trial)
        difference = self.comparison.differences.get((candidate.trial, self.winner.trial))
        return {
            "trial": candidate.trial,
            "choices": dict(candidate.choices),
            "score": candidate.score,
            "cost": dict((candidate.best if candidate.eligible else candidate.trainings[0]).cost)
            if candidate.trainings
            else {},
            "eligible": candidate.eligible,
            "failed": {str(seed): reason for seed, reason in candidate.failed.items()},
            "validation": candidate.validation if candidate.trainings else None,
            "trainings": [
                {"seed": t.seed, "validation": t.validation, "ebops": t.cost["ebops"], "within_limits": t.feasible}
                for t in candidate.trainings
            ],
            "test": None if found is None else found.to_json(),
            "difference_to_winner": None if difference is None else difference.to_json(),
        }


def train_winners(
    study: Study,
    trials: Sequence[Evaluated],
    dataset: Dataset,
    output: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Winners:
    """Train trials with every seed of ``search.winner_seeds``, choose among them, and compare them.

    Each training is kept in ``<output>/winners/<trial>/seed_<n>``, the winner's float twins beside it in
    ``float_seed_<n>``; what is there is not trained again.

    Parameters
    ----------
    study : Study
        That was searched.
    trials : sequence of Evaluated
        The best of the search.
    dataset : Dataset
        All splits; all training events are used.
    output : Path
        The run's.
    workers, scheduler, progress
        As for ``search``.

    Raises
    ------
    ToolError
        None could be trained with all seeds.
    StudyError
        None keeps the limits when trained afresh.
    """
    events, target, seeds = Events.of(dataset), study.targets[0], study.search.winner_seeds
    places = {trial.trial: output / "winners" / trial.trial for trial in trials}
    with (
        open_workers(study, dataset, output, n=workers, scheduler=scheduler) as opened,
        SeedTrainings(dataset, output, opened, progress) as trainings,
    ):
        jobs = [SeedTraining(trial.choices, seed, places[trial.trial], QKERAS) for trial in trials for seed in seeds]
        failed = trainings.complete(jobs)
        candidates = _ranked([_candidate(study, trial, places[trial.trial], events, failed) for trial in trials])
        winner = candidates[0]
        twins = [SeedTraining(winner.choices, seed, places[winner.trial], FLOAT) for seed in seeds]
        twin_failed = {job.seed: reason for job, reason in trainings.complete(twins).items()}
    scores = {
        candidate.trial: [read_scores(training.directory) for training in candidate.trainings]
        for candidate in candidates
        if not candidate.failed
    }
    pairs = [(name, winner.trial) for name in scores if name != winner.trial]
    if twin_failed:
        _log.warning("no float twin: %s", "; ".join(f"seed {seed}: {why}" for seed, why in twin_failed.items()))
    else:
        scores[FLOAT] = [read_scores(job.directory) for job in twins]
        pairs.append((winner.trial, FLOAT))
    return Winners(target, seeds, candidates, compare(events, scores, target, pairs=pairs), twin_failed)


def place_winner(winners: Mapping[str, Any], output: Path) -> None:
    """Put the training that won, and its float twin, where what is converted and reported stands.

    Parameters
    ----------
    winners : mapping
        What ``winners.json`` holds.
    output : Path
        The run's.
    """
    winner = winners["winner"]
    trained = output / "winners" / winner["search_trial"] / f"seed_{winner['seed']}"
    place = output / "trials" / winner["trial"]
    if (place / "scores.npz").exists():
        return
    load_tensorflow()
    kept = {"qkeras": read_scores(trained)}
    twin = FloatTwin.load(trained.with_name(f"float_{trained.name}"))
    if twin is not None:
        kept[FLOAT] = read_scores(trained.with_name(f"float_{trained.name}"))
        twin.save(place)
    TrainedModel.load(trained).save(place)
    columns = {
        f"{name}_{split}": getattr(found, split) for name, found in kept.items() for split in ("validation", "test")
    }
    with atomic_path(place / "scores.npz") as fresh:
        np.savez(fresh, **columns)


def _candidate(
    study: Study, trial: Evaluated, place: Path, events: Events, failed: Mapping[SeedTraining, str]
) -> Candidate:
    trainings = []
    reasons = {job.seed: reason for job, reason in failed.items() if job.place == place}
    for seed in study.search.winner_seeds:
        if seed in reasons:
            continue
        directory = place / f"seed_{seed}"
        cost = read_json(directory / "trained.json")["cost"]
        efficiency = validation_efficiency(events, read_scores(directory), study.targets[0])
        trainings.append(Training(seed, directory, efficiency, cost, meets(study.search.limits, cost)))
    architecture = study.architecture(trial.choices).hash
    return Candidate(trial.trial, architecture, trial.choices, trial.score, tuple(trainings), reasons)


def _ranked(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The best on validation events first, then those that cannot win; of equals, the one that the search preferred."""
    if all(candidate.failed for candidate in candidates):
        reasons = sorted({reason for candidate in candidates for reason in candidate.failed.values()})
        raise ToolError(f"winners: none of {len(candidates)} could be trained with all seeds: {'; '.join(reasons)}")
    eligible = [candidate for candidate in candidates if candidate.eligible]
    if not eligible:
        raise StudyError(
            "winners: trained afresh, none keeps the limits, though in the search they did. Loosen search.limits, or "
            "let more trials be trained with search.winners"
        )
    others = [candidate for candidate in candidates if not candidate.eligible]
    return (*sorted(eligible, key=lambda candidate: -candidate.validation), *others)
