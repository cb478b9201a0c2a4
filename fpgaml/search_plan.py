"""What a search will do: how many trials, for how many epochs, and roughly for how long."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from fpgaml.architecture import Architecture
from fpgaml.errors import FpgamlError, StudyError
from fpgaml.layers import ArithmeticLayer
from fpgaml.search_options import SearchOptions
from fpgaml.study import Point, Study

EVENT_S, IMAGE_LAYER_S, PRODUCTS_PER_S, TRACE_S = 0.5e-6, 6e-6, 15e9, 1.0
"""Training on one core: seconds for an event, and for every convolution on it; multiply-accumulates in a second beside
them; seconds for tracing a shape. Fitted by eye to five networks of the studies that come with fpgaml, with batches of
512 and 1024 events on one core of a server: 6.6 to 14.6 microseconds for an event. With few filters, a convolution's
number of filters hardly matters."""

SAMPLE = 20
"""Points of which the mean speed is taken."""

TRIALS = "trials"
"""What the schedule of hand-picked trials has for an algorithm."""


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
class Estimate:
    """How long a search may take, guessed before anything was measured: right within a factor of two or three.

    Parameters
    ----------
    search_s : float
        Seconds for the trials.
    winners_s : float
        Seconds for training the winners afterwards, if no training stops early.
    workers : int
        Processes that share the work.
    """

    search_s: float
    winners_s: float
    workers: int

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'' if self.workers == 1 else 's'}"
        return (
            f"roughly {_duration(self.search_s)} for the trials and {_duration(self.winners_s)} for the winners with "
            f"{workers}: guessed from the sizes of the networks, without the making of the data"
        )


@dataclass(frozen=True)
class Schedule:
    """What a search will do, if no trial fails; the brackets are in the order in which they start."""

    algorithm: str
    brackets: tuple[Bracket, ...]
    estimate: Estimate | None = None

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
        if self.algorithm == TRIALS:
            (bracket,) = self.brackets
            lines = [f"{TRIALS}: {self.trials} trials to epoch {bracket.rounds[0].epochs}"]
        else:
            lines = self._lines()
        return "\n".join([*lines, f"  {self.estimate}"] if self.estimate else lines)

    def _lines(self) -> list[str]:
        lines = [f"{self.algorithm}: {self.points} points in {self.trials} trials, {self.epochs} epochs"]
        for bracket in self.brackets:
            rounds = ", then ".join(f"{part.trials} to epoch {part.epochs}" for part in bracket.rounds)
            lines.append(f"  bracket {bracket.number}: {rounds}" if self.algorithm == "hyperband" else f"  {rounds}")
        return lines


def schedule(options: SearchOptions, n_points: int, trials: int = 0) -> Schedule:
    """What a search will do, without loading Keras-Tuner.

    Parameters
    ----------
    options : SearchOptions
        How to search.
    n_points : int
        How many different points there are.
    trials : int
        How many of them are picked by hand; 0 where the algorithm picks.

    Raises
    ------
    StudyError
        There is no point.
    """
    if trials:
        return Schedule(TRIALS, (Bracket(0, (Round(trials, options.max_epochs, 0),)),))
    if n_points < 1:
        raise StudyError(f"search: there is nothing to search: the space has {n_points} points")
    if options.algorithm == "hyperband":
        return Schedule(options.algorithm, tuple(_hyperband_brackets(options, n_points)))
    n_trials = n_points if options.trials is None else min(options.trials, n_points)
    return Schedule(options.algorithm, (Bracket(0, (Round(n_trials, options.max_epochs, 0),)),))


def plan(study: Study, *, workers: int | None = None) -> Schedule:
    """The schedule of a study's search, with an estimate of the time where the number of events is known before.

    Parameters
    ----------
    study : Study
        With choices or trials.
    workers : int, optional
        Processes that train side by side; one for each core if not given.

    Raises
    ------
    StudyError
        There is no point.
    """
    planned = schedule(study.search, study.n_points, len(study.trials))
    n_events = study.task.n_training(study.data)
    if n_events is None or not study.names:
        return planned
    workers = workers or len(os.sched_getaffinity(0))
    points = _some_points(study)
    epoch_s = n_events * sum(_event_s(point.architecture) for point in points) / len(points)
    search, options = study.search, points[0].train
    shapes = min(planned.points, _count_shapes(study))
    epochs = planned.epochs + shapes * options.float_epochs
    trained = (min(search.winners, planned.points) + 1) * len(search.winner_seeds)  # one float twin for each seed
    estimate = Estimate(
        search_s=shapes * TRACE_S + epochs * epoch_s * search.training_fraction / workers,
        winners_s=trained * (TRACE_S + (options.epochs + options.float_epochs) * epoch_s) / workers,
        workers=workers,
    )
    return replace(planned, estimate=estimate)


def _some_points(study: Study) -> list[Point]:
    """Points that stand for all: the trials, or some drawn at random."""
    generator = random.Random(0)
    drawn = study.trials or [
        {name: generator.choice(values) for name, values in study.choices.items()} for _ in range(SAMPLE)
    ]
    found = []
    for values in drawn:
        with suppress(FpgamlError):  # that combination cannot be built, and its trial will fail
            found.append(study.point(values))
    return found or [study.point(next(iter(study.grid())))]


def _count_shapes(study: Study) -> int:
    """Networks that differ in more than widths, if choices decide independently of each other."""
    if study.trials:
        return len({study.architecture(values).shape_hash for values in study.trials})
    first = {name: values[0] for name, values in study.choices.items()}
    return math.prod(
        len({study.architecture({**first, name: value}).shape_hash for value in values})
        for name, values in study.choices.items()
    )


def _event_s(architecture: Architecture) -> float:
    """Seconds that one training event takes on one core."""
    products = [step for step in architecture.steps if isinstance(step.layer, ArithmeticLayer)]
    on_images = sum(len(step.input_shape) > 1 for step in products)
    count = sum(step.layer.multiply_accumulates(step.input_shape) for step in products)
    return EVENT_S + on_images * IMAGE_LAYER_S + count / PRODUCTS_PER_S


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


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
