"""Which points are trained next, and for how long: Keras-Tuner's oracles, asked one point at a time.

A failed trial of Hyperband costs Keras-Tuner a promotion of another; here, it is the worst of its round, and not
promoted itself. Everything else that is mended stands in ``fpgaml.oracles``.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fpgaml.errors import StudyError
from fpgaml.oracles import make_oracle, quiet
from fpgaml.search_options import SearchOptions
from fpgaml.search_plan import TRIALS, Schedule, plan, schedule

__all__ = ["WAIT", "Proposal", "Proposer", "Schedule", "Wait", "plan", "schedule"]


class Wait(enum.Enum):
    """The type of ``WAIT``."""

    WAIT = "wait"


WAIT: Final = Wait.WAIT
"""There is nothing to propose before the result of an open proposal is known."""


@dataclass(frozen=True)
class Proposal:
    """A point to train.

    Parameters
    ----------
    number : int
        Counts the proposals from 0.
    choices : mapping
        The value of every choice.
    epochs : int
        It is to be trained until it has been trained for so many.
    from_epochs : int
        It has been trained for so many already, in the round before; 0 for a new point.
    bracket, round : int
        Hyperband's; 0 for the others. The trials of a bracket compete; those of the last, 0, are all trained in full.
    """

    number: int
    choices: Mapping[str, Any]
    epochs: int
    from_epochs: int
    bracket: int
    round: int


class Proposer:
    """Proposes points and is told their scores; the same calls with the same scores give the same proposals.

    Parameters
    ----------
    options : SearchOptions
        How to search.
    choices : mapping of name to list
        The values to choose from.
    trials : sequence of mappings
        Hand-picked points, which are proposed instead: in their order, once each, for ``options.max_epochs``.

    Raises
    ------
    StudyError
        There is nothing to choose.
    ToolError
        A package that the algorithm needs is missing.
    """

    def __init__(
        self,
        options: SearchOptions,
        choices: Mapping[str, Sequence[Any]],
        trials: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if not choices and not trials:
            raise StudyError("search: there is nothing to search: the study has no choices")
        self.schedule = schedule(options, math.prod(len(values) for values in choices.values()), len(trials))
        self._picked = bool(trials)
        if trials:  # a grid with one choice: the trial
            choices, options = {TRIALS: trials}, options.model_copy(update={"algorithm": "grid", "trials": None})
        self._options = options
        self._choices = {name: tuple(values) for name, values in choices.items()}
        rounds = {
            (bracket.number, number): part.trials
            for bracket in self.schedule.brackets
            for number, part in enumerate(bracket.rounds)
        }
        with quiet():
            self._oracle = make_oracle(options, {name: len(values) for name, values in self._choices.items()}, rounds)
        self._number = 0
        self._open: dict[int, Any] = {}  # Keras-Tuner's trials, by the number of their proposals
        self._brackets: dict[str, int] = {}  # of all trials, by Keras-Tuner's id
        self._failed: set[str] = set()
        self._ended = False

    def propose(self) -> Proposal | Wait | None:
        """The next point to train.

        Returns
        -------
        Proposal, WAIT or None
            ``WAIT`` if it depends on the result of an open one; None if there are no more, though some may be open.
        """
        while not self._ended:
            with quiet():
                trial = self._oracle.create_trial(f"proposal {self._number}")
            if trial.status == "IDLE":
                return WAIT
            self._ended = trial.status == "STOPPED"
            if self._ended:
                break
            values = trial.hyperparameters.values
            before = values.get("tuner/trial_id")
            # A promoted trial is labelled with the bracket that was started last, which need not be its own.
            self._brackets[trial.trial_id] = self._brackets[before] if before else values.get("tuner/bracket", 0)
            if before in self._failed:  # fewer have a score than may go on
                self._fail(trial)
                continue
            chosen = {name: offered[values[name]] for name, offered in self._choices.items()}
            proposal = Proposal(
                number=self._number,
                choices=chosen[TRIALS] if self._picked else chosen,
                epochs=values.get("tuner/epochs", self._options.max_epochs),
                from_epochs=values.get("tuner/initial_epoch", 0),
                bracket=self._brackets[trial.trial_id],
                round=values.get("tuner/round", 0),
            )
            self._open[self._number] = trial
            self._number += 1
            return proposal
        return None

    def tell(self, proposal: Proposal, score: float, cost: float, *, merit: float | None = None) -> None:
        """Say what came of an open proposal.

        Parameters
        ----------
        proposal : Proposal
            Of which it is told.
        score, cost : float
            What a front is made of: finite, higher is better; positive, lower is better.
        merit : float, optional
            What trials are ranked by, see ``fpgaml.ranking.merit``: finite, higher is better; the score if not given.
        """
        ranked = score if merit is None else merit
        for name, value in (("score", score), ("merit", ranked)):
            if not math.isfinite(value):
                raise ValueError(f"proposal {proposal.number}: the {name} {value} is not finite: use fail")
        self._complete(self._close(proposal), score, cost, ranked)

    def fail(self, proposal: Proposal) -> None:
        """Say that an open proposal has no score."""
        self._fail(self._close(proposal))

    def _close(self, proposal: Proposal) -> Any:
        if proposal.number not in self._open:
            raise ValueError(f"proposal {proposal.number} is not open; open are {sorted(self._open)}")
        return self._open.pop(proposal.number)

    def _fail(self, trial: Any) -> None:
        self._failed.add(trial.trial_id)
        if self._options.algorithm == "hyperband":
            # Among trials without a score it finds too few to choose from, and promotes fewer of the others.
            self._complete(trial, -math.inf, math.inf, -math.inf)
        else:
            trial.status = "FAILED"
            with quiet():
                self._oracle.end_trial(trial)

    def _complete(self, trial: Any, score: float, cost: float, merit: float) -> None:
        with quiet():
            self._oracle.update_trial(trial.trial_id, {"merit": merit, "score": score, "cost": cost})
            trial.status = "COMPLETED"
            self._oracle.end_trial(trial)
