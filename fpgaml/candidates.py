"""Candidates for firmware, as values: the best trials of a search with their trainings, and which of them has won."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fpgaml.comparison import Comparison
from fpgaml.metrics import Target
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
    """

    seed: int
    directory: Path
    validation: float
    cost: Mapping[str, float]
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
