"""Which points are trained next, and for how long: Keras-Tuner's oracles, asked one point at a time.

The only module that knows Keras-Tuner. What is taken from it are the draws and the promotions; it trains nothing,
writes nothing and prints nothing. What its oracles do badly is mended here:

- in a small space they give up when their draws collide, Hyperband before anything was trained for longer than the
  first round; here, draws go on until every point is tried, and Hyperband's rounds are cut to the points there are;
- Bayesian search proposes points again that it knows; here, the best one that it does not know;
- a failed trial of Hyperband costs a promotion of another; here, it is the worst of its round, and not promoted itself;
- grid search waits for results that it does not need; here, any number of points can be open;
- the draws of seed 2 are those of seed 1, but for the first; here, seeds have nothing in common.
"""

from __future__ import annotations

import enum
import hashlib
import itertools
import math
import random
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from fpgaml.errors import StudyError, ToolError
from fpgaml.search_options import SearchOptions

CANDIDATES = 1000
"""Points among which Bayesian search looks for the best untried one."""


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


@dataclass(frozen=True)
class Round:
    """Trials that are trained for as long: ``trials`` of them, from ``from_epochs`` to ``epochs``."""

    trials: int
    epochs: int
    from_epochs: int


@dataclass(frozen=True)
class Bracket:
    """Rounds of which each takes the best trials of the one before."""

    number: int
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class Schedule:
    """What a search will do, if no trial fails; the brackets are in the order in which they start."""

    algorithm: str
    brackets: tuple[Bracket, ...]

    @property
    def points(self) -> int:
        """Different points."""
        return sum(bracket.rounds[0].trials for bracket in self.brackets)

    @property
    def trials(self) -> int:
        """Proposals: a point counts once for each round that it is in."""
        return sum(part.trials for bracket in self.brackets for part in bracket.rounds)

    @property
    def epochs(self) -> int:
        """Epochs to train, over all trials; a promoted trial goes on where it was."""
        return sum(
            part.trials * (part.epochs - part.from_epochs) for bracket in self.brackets for part in bracket.rounds
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, and the totals."""
        return {**asdict(self), "points": self.points, "trials": self.trials, "epochs": self.epochs}

    def __str__(self) -> str:
        lines = [f"{self.algorithm}: {self.points} points in {self.trials} trials, {self.epochs} epochs"]
        for bracket in self.brackets:
            rounds = ", then ".join(f"{part.trials} to epoch {part.epochs}" for part in bracket.rounds)
            lines.append(f"  bracket {bracket.number}: {rounds}" if self.algorithm == "hyperband" else f"  {rounds}")
        return "\n".join(lines)


def schedule(options: SearchOptions, n_points: int) -> Schedule:
    """What a search of ``n_points`` different points will do, without loading Keras-Tuner.

    Raises
    ------
    StudyError
        There is no point.
    """
    if n_points < 1:
        raise StudyError(f"search: there is nothing to search: the space has {n_points} points")
    if options.algorithm == "hyperband":
        return Schedule(options.algorithm, tuple(_hyperband_brackets(options, n_points)))
    trials = n_points if options.trials is None else min(options.trials, n_points)
    return Schedule(options.algorithm, (Bracket(0, (Round(trials, options.max_epochs, 0),)),))


def _hyperband_brackets(options: SearchOptions, n_points: int) -> Iterator[Bracket]:
    """Keras-Tuner's brackets (Li et al., JMLR 18 (2018) 1-52, algorithm 1); the last ones may go short of points."""
    max_epochs, factor = options.max_epochs, options.factor
    n_brackets, epochs = 0, float(max_epochs)
    while epochs >= 1:
        n_brackets, epochs = n_brackets + 1, epochs / factor
    in_full = math.ceil(1 + math.log(max_epochs, factor))  # trials of the last bracket
    left = n_points
    for number in reversed(range(n_brackets)):
        rounds: list[Round] = []
        for halvings in reversed(range(number + 1)):
            trials = min(math.ceil(in_full / (number + 1) * factor**halvings), left)
            reached = math.ceil(max_epochs / factor**halvings)
            rounds.append(Round(trials, reached, rounds[-1].epochs if rounds else 0))
        if left:
            yield Bracket(number, tuple(rounds))
        left -= rounds[0].trials


class Proposer:
    """Proposes points and is told their scores; the same calls with the same scores give the same proposals.

    Parameters
    ----------
    options : SearchOptions
        How to search.
    choices : mapping of name to list
        The values to choose from.

    Raises
    ------
    StudyError
        There is nothing to choose.
    ToolError
        A package that the algorithm needs is missing.
    """

    def __init__(self, options: SearchOptions, choices: Mapping[str, Sequence[Any]]) -> None:
        if not choices:
            raise StudyError("search: there is nothing to search: the study has no choices")
        self.schedule = schedule(options, math.prod(len(values) for values in choices.values()))
        self._options = options
        self._choices = {name: tuple(values) for name, values in choices.items()}
        with _quiet():
            self._oracle = _oracle(options, self._choices, self.schedule)
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
            with _quiet():
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
            proposal = Proposal(
                number=self._number,
                choices={name: offered[values[name]] for name, offered in self._choices.items()},
                epochs=values.get("tuner/epochs", self._options.max_epochs),
                from_epochs=values.get("tuner/initial_epoch", 0),
                bracket=self._brackets[trial.trial_id],
                round=values.get("tuner/round", 0),
            )
            self._open[self._number] = trial
            self._number += 1
            return proposal
        return None

    def tell(self, proposal: Proposal, score: float) -> None:
        """Say what came of an open proposal: a finite number, higher is better."""
        if not math.isfinite(score):
            raise ValueError(f"proposal {proposal.number}: the score {score} is not finite: use fail")
        self._complete(self._close(proposal), score)

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
            self._complete(trial, -math.inf)
        else:
            trial.status = "FAILED"
            with _quiet():
                self._oracle.end_trial(trial)

    def _complete(self, trial: Any, score: float) -> None:
        with _quiet():
            self._oracle.update_trial(trial.trial_id, {"score": score})
            trial.status = "COMPLETED"
            self._oracle.end_trial(trial)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings about how Keras-Tuner calls Python, and how its regression converges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", module=r"sklearn\.")
        yield


def _oracle(options: SearchOptions, choices: Mapping[str, Sequence[Any]], planned: Schedule) -> Any:
    """The oracle of an algorithm; it chooses among positions, because values may be of any type."""
    import keras_tuner

    parameters = keras_tuner.HyperParameters()
    for name, values in choices.items():
        parameters.Choice(name, list(range(len(values))))
    common = {
        "objective": keras_tuner.Objective("score", "max"),
        "hyperparameters": parameters,
        "allow_new_entries": False,
        "seed": _seed(options.seed),
        "max_consecutive_failed_trials": sys.maxsize,
    }
    sizes = tuple(len(values) for values in choices.values())
    oracles = keras_tuner.oracles
    oracle: Any
    if options.algorithm == "hyperband":
        oracle = _hyperband(oracles.HyperbandOracle, sizes, planned)(
            max_epochs=options.max_epochs, factor=options.factor, **common
        )
    elif options.algorithm == "grid":
        oracle = _grid(oracles.GridSearchOracle, sizes)(**common)
    elif options.algorithm == "random":
        oracle = _in_memory(oracles.RandomSearchOracle, sizes)(max_trials=options.trials, **common)
    else:
        try:
            oracle = _bayesian(oracles.BayesianOptimizationOracle, sizes)(max_trials=options.trials, **common)
        except ImportError as error:
            raise ToolError(
                f"search: bayesian search needs a package that is missing: {error}. Install scikit-learn and scipy, or "
                "use another algorithm"
            ) from error
    oracle.verbose = 0
    return oracle


def _seed(seed: int) -> int:
    """A seed for Keras-Tuner, which takes 0 for none and draws with seed, seed + 1, ...; in numpy's 32 bits."""
    return 1 + int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4]) % (2**32 - 1)


def _in_memory(base: Any, sizes: tuple[int, ...]) -> Any:
    """A subclass of a class of oracles that keeps no files, and draws until every point has been drawn.

    ``sizes`` says how many values each choice has.
    """

    class InMemory(base):  # type: ignore[misc]
        def save(self) -> None:
            pass

        def _save_trial(self, trial: Any) -> None:
            pass

        def _random_values(self) -> dict[str, int] | None:
            values: dict[str, int] | None = super()._random_values()
            return values or next(iter(self.untried(1)), None)

        def untried(self, number: int) -> list[dict[str, int]]:
            """At most so many points of which none has been proposed, drawn at random."""
            names = [parameter.name for parameter in self.hyperparameters.space]
            tried = {tuple(trial.hyperparameters.values[name] for name in names) for trial in self.trials.values()}
            generator = random.Random(self._seed_state)
            self._seed_state += 1
            if math.prod(sizes) <= 2 * (len(tried) + number):
                left = [point for point in itertools.product(*map(range, sizes)) if point not in tried]
                drawn = generator.sample(left, min(number, len(left)))
            else:
                drawn = []
                while len(drawn) < number:  # at least half of all draws are new
                    point = tuple(generator.randrange(size) for size in sizes)
                    if point not in tried:
                        tried.add(point)
                        drawn.append(point)
            return [dict(zip(names, point, strict=True)) for point in drawn]

    return InMemory


def _hyperband(base: Any, sizes: tuple[int, ...], planned: Schedule) -> Any:
    """Hyperband, whose rounds are of the planned sizes."""
    rounds = {
        (bracket.number, number): part.trials
        for bracket in planned.brackets
        for number, part in enumerate(bracket.rounds)
    }

    class Hyperband(_in_memory(base, sizes)):  # type: ignore[misc]
        def _get_size(self, bracket_num: int, round_num: int) -> int:
            return rounds.get((bracket_num, round_num), 0)

    return Hyperband


def _grid(base: Any, sizes: tuple[int, ...]) -> Any:
    """Grid search that goes on from a point before its result is known: the space does not depend on results."""

    class Grid(_in_memory(base, sizes)):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> Any:
            response = super().populate_space(trial_id)
            if response["values"] is not None and trial_id not in self._populate_next:
                self._populate_next.append(trial_id)
            return response

    return Grid


def _bayesian(base: Any, sizes: tuple[int, ...]) -> Any:
    """Bayesian search that, where it would propose a known point, proposes the most promising unknown one."""

    class Bayesian(_in_memory(base, sizes)):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> Any:
            response = super().populate_space(trial_id)
            if response["values"] is not None and self._duplicate(response["values"]):
                values = self._best(self.untried(CANDIDATES))
                return {"status": "RUNNING" if values else "STOPPED", "values": values}
            return response

        def _best(self, points: list[dict[str, int]]) -> dict[str, int] | None:
            """The point with the lowest bound on what is minimised, as in the original."""
            if not points:
                return None
            space = self.hyperparameters.space
            places = [[parameter.value_to_prob(point[parameter.name]) for parameter in space] for point in points]
            mean, deviation = self.gpr.predict(places, return_std=True)
            return points[int((mean - self.beta * deviation).argmin())]

    return Bayesian
