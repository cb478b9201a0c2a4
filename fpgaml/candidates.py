"""Candidates for firmware, as values: the best trials of a search with their trainings, and which of them has won."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fpgaml.comparison import Comparison
from fpgaml.metrics import Target
from fpgaml.search_options import SearchOptions
from fpgaml.seed_trainings import FLOAT


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
    cost : mapping of name to number
        What the network costs: counts, and what the backend predicts.
    feasible : bool
        Whether it keeps the limits of the search.
    metrics : mapping of name to number
        On validation events, those that limits are about.
    """

    seed: int
    directory: Path
    validation: float
    cost: Mapping[str, float]
    feasible: bool
    metrics: Mapping[str, float] = field(default_factory=dict)


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
    options : SearchOptions
        Objective and limits.
    """

    trial: str
    architecture: str
    choices: Mapping[str, Any]
    score: float
    trainings: tuple[Training, ...]
    failed: Mapping[int, str]
    options: SearchOptions = field(default_factory=SearchOptions)

    @property
    def validation(self) -> float:
        """Mean over seeds of the signal efficiency on validation events."""
        return float(np.mean([training.validation for training in self.trainings]))

    @property
    def best(self) -> Training:
        """Of the trainings that keep the limits, the best on validation events, or the cheapest if that is wanted."""
        return min((found for found in self.trainings if found.feasible), key=self._rank)

    @property
    def known(self) -> dict[str, float]:
        """Of ``trainings``, means of the metrics that limits are about."""
        names = self.trainings[0].metrics if self.trainings else ()
        return {name: float(np.mean([training.metrics[name] for training in self.trainings])) for name in names}

    @property
    def eligible(self) -> bool:
        """Whether it may win: a training keeps all limits, and so does the mean over seeds those on metrics.

        One lucky seed is not enough: a network that is good enough by chance on validation events is not on others.
        """
        kept = any(training.feasible for training in self.trainings)
        return not self.failed and kept and all(limit.holds(self.known) for limit in self.options.metric_limits)

    @property
    def order(self) -> tuple[float, ...]:
        """Sorts candidates that may win: by the cost of the best training if that is wanted, then by the mean."""
        cost = [self.best.cost[self.options.objective]] if self.options.minimises_cost else []
        return (*cost, -self.validation)

    @property
    def missed_by(self) -> float:
        """How far it is from keeping the limits: the nearest training, and the mean over seeds for those on metrics."""
        if not self.trainings:
            return math.inf
        nearest = min(self.options.missed_by({**training.cost, **training.metrics}) for training in self.trainings)
        return nearest + sum(limit.missed_by(self.known) for limit in self.options.metric_limits)

    def nearest(self) -> str:
        """How near it came, for a message."""
        metrics = [f"{name} {value:.4f} over seeds" for name, value in self.known.items()]
        limited = {limit.name for limit in self.options.parsed} - set(self.known)
        costs = [f"{name} {min(t.cost[name] for t in self.trainings):g} at least" for name in sorted(limited)]
        return f"trial {self.trial} came nearest: {', '.join([*metrics, *costs])}"

    def _rank(self, training: Training) -> tuple[float, ...]:
        cost = [training.cost[self.options.objective]] if self.options.minimises_cost else []
        return (*cost, -training.validation)


@dataclass(frozen=True)
class Winners:
    """The candidates, the best first, and how they compare on test events.

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
        """The first."""
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
            "objective": winner.options.objective,
            "limits": list(winner.options.limits),
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
                {
                    "seed": t.seed,
                    "validation": t.validation,
                    "ebops": t.cost["ebops"],
                    **{n: t.cost[n] for n in [candidate.options.objective] if n in t.cost},
                    **{name: value for name, value in t.metrics.items() if name != "signal_efficiency"},
                    "within_limits": t.feasible,
                }
                for t in candidate.trainings
            ],
            "test": None if found is None else found.to_json(),
            "difference_to_winner": None if difference is None else difference.to_json(),
        }
