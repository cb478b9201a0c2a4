"""How the choices of a study are searched."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic

from fpgaml.errors import StudyError, did_you_mean
from fpgaml.field_types import Epochs, Seed

COSTS = ("activation_bits", "bops", "ebops", "multiply_accumulates", "parameters", "weight_bits")
"""What is counted of every trial: the fields of ``cost.Cost``."""

ESTIMATES = ("bram_18k", "dsp", "ff", "interval_cycles", "latency_cycles", "latency_ns", "lut")
"""What the study's backend may predict of every trial: fields of ``synthesis.Resources``; see docs/costs.md."""

METRICS = ("signal_efficiency", "accuracy", "auc", "val_loss")
"""What is measured of every trial on validation events: to rank by, or to limit from one side."""

AT_MOST = "_at_most"
"""Ends the name of a prediction with the margin that its fit needs, which is what an upper limit is compared with."""

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}

LIMIT = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*(?P<operator><=|>=|==|<|>)\s*(?P<bound>\S+)\s*")


@dataclass(frozen=True)
class Limit:
    """What a trial may cost, or how good it has to be.

    Parameters
    ----------
    name : str
        One of ``COSTS``, ``ESTIMATES`` or ``METRICS``.
    operator : str
        One of ``OPERATORS``.
    bound : float
        The number on its right.
    """

    name: str
    operator: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """The limit that a text such as ``ebops <= 20000`` states.

        Raises
        ------
        StudyError
            The text states none.
        """
        found = LIMIT.fullmatch(text)
        if not found:
            raise StudyError(
                f"{text!r} is no limit: write a cost or a metric, one of {' '.join(OPERATORS)}, and a number, as in "
                "ebops <= 20000"
            )
        known = COSTS + ESTIMATES + METRICS
        if found["name"] not in known:
            raise StudyError(
                f"{text!r}: unknown cost or metric {found['name']!r}; {did_you_mean(found['name'], known)}"
            )
        try:
            bound = float(found["bound"])
        except ValueError:
            bound = math.nan
        if not math.isfinite(bound):
            raise StudyError(f"{text!r}: {found['bound']!r} is no finite number")
        limit = cls(found["name"], found["operator"], bound)
        if limit.about_metric:
            limit._check_metric(text)
        return limit

    @property
    def about_metric(self) -> bool:
        """Whether it says how good a trial has to be."""
        return self.name in METRICS

    def holds(self, known: Mapping[str, float]) -> bool:
        """Whether a trial of which this is known keeps the limit, see ``value``."""
        return OPERATORS[self.operator](self.value(known), self.bound)

    def value(self, known: Mapping[str, float]) -> float:
        """What is compared with the bound: a prediction has its margin where the limit is an upper one."""
        value = known[self.name]
        return known.get(self.name + AT_MOST, value) if self.operator in ("<=", "<") else value

    def missed_by(self, known: Mapping[str, float]) -> float:
        """How far a trial is from keeping the limit, over the bound (over 1 where that is 0); 0 if it keeps it."""
        if self.holds(known):
            return 0.0
        return abs(self.value(known) - self.bound) / (abs(self.bound) or 1.0)

    def _check_metric(self, text: str) -> None:
        """Refuse what would ask for a bad network, or for one that there cannot be."""
        allowed = ("<=", "<") if self.name == "val_loss" else (">=", ">")
        if self.operator not in allowed:
            raise StudyError(
                f"{text!r}: {self.name} is better where it is {'lower' if self.name == 'val_loss' else 'higher'}, so "
                f"a limit on it has {' or '.join(allowed)}"
            )
        if self.name != "val_loss" and not 0 <= self.bound <= 1:
            raise StudyError(f"{text!r}: {self.name} is between 0 and 1, and {self.bound:g} is not")


def meets(limits: Iterable[str], known: Mapping[str, float]) -> bool:
    """Whether a trial keeps all limits.

    Parameters
    ----------
    limits : iterable of str
        Such as ``ebops <= 20000``.
    known : mapping of name to number
        The trial's cost, and its metrics where a limit is about one; it has all names that the limits have.

    Raises
    ------
    StudyError
        A text states no limit.

    >>> meets(["ebops <= 20000", "parameters < 100"], {"ebops": 20000, "parameters": 100})
    False
    """
    return all(Limit.parse(text).holds(known) for text in limits)


def _checked_limit(text: str) -> str:
    try:
        Limit.parse(text)
    except StudyError as error:  # pydantic collects ValueErrors, with the place of each
        raise ValueError(str(error)) from error
    return text


def _one_or_more(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise ValueError(
            f"the same seed gives the same network: {', '.join(map(str, twice))} stands there more than once"
        )
    return seeds


def _known_cost(name: str) -> str:
    if name not in COSTS + ESTIMATES:
        raise ValueError(f"unknown cost {name!r}; {did_you_mean(name, COSTS + ESTIMATES)}")
    return name


def _known_objective(name: str) -> str:
    known = (*METRICS, *COSTS, *ESTIMATES)
    if name not in known:
        raise ValueError(f"unknown objective {name!r}; {did_you_mean(name, known)}")
    return name


class SearchOptions(pydantic.BaseModel):
    """The ``search:`` section of a study.

    Parameters
    ----------
    algorithm : {"hyperband", "random", "bayesian", "grid"}
        Who proposes the points: one of Keras-Tuner's oracles. Hyperband (Li et al., JMLR 18 (2018) 1-52) trains many
        points for a few epochs and the better ones for longer; the others train every point for ``max_epochs``.
    max_epochs : int
        The longest that a trial is trained.
    factor : int
        Hyperband trains about one trial in ``factor`` on, for ``factor`` times as many epochs.
    promote : {"objective", "front"}
        Whom Hyperband trains on: the best by the objective, or those that serve the front of objective and
        ``cost``, the best by the objective among them.
    trials : int, optional
        How many points random and Bayesian search train; both need it. Hyperband's number follows from ``max_epochs``
        and ``factor``, and a grid has all points.
    objective : str
        What trials are ranked by: "signal_efficiency", "accuracy", "auc" or "val_loss" on validation data; or any cost
        that a limit may be about, which is then minimised and needs a limit on one of these.
    limits : tuple of str
        What the winner may cost, such as ``ebops <= 20000`` or, as the backend predicts it, ``lut <= 20000``; and how
        good it has to be on validation data, such as ``signal_efficiency >= 0.4``. With one of the latter, or a cost as
        the objective, trials that keep all limits rank before those that do not.
    cost : str
        The cost that the Pareto front is made of, beside the score; any that a limit may be about. If not given, the
        objective where that is a cost, else EBOPs.
    winners : int
        How many of the best trials are trained afresh when the search is over, on all training events.
    winner_seeds : tuple of int
        The seeds that each of them is trained with.
    training_fraction : float
        The part of the training events that trials see while searching, above 0 and at most 1; winners see all.
    seed : int
        For the oracle's draws, and for which events are in the part.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)

    algorithm: Literal["hyperband", "random", "bayesian", "grid"] = "hyperband"
    max_epochs: Epochs = 27
    factor: Annotated[int, pydantic.Field(ge=2, le=1000)] = 3
    promote: Literal["objective", "front"] = "objective"
    trials: Annotated[int, pydantic.Field(ge=1, le=100_000)] | None = None
    objective: Annotated[str, pydantic.AfterValidator(_known_objective)] = "signal_efficiency"
    limits: Annotated[
        tuple[Annotated[str, pydantic.AfterValidator(_checked_limit)], ...],
        pydantic.Field(max_length=100),
        pydantic.BeforeValidator(_one_or_more),
    ] = ()
    cost: Annotated[str, pydantic.AfterValidator(_known_cost)] = "ebops"
    winners: Annotated[int, pydantic.Field(ge=1, le=100)] = 3
    winner_seeds: Annotated[
        tuple[Seed, ...],
        pydantic.Field(min_length=1, max_length=100),
        pydantic.BeforeValidator(_listed),
        pydantic.AfterValidator(_different),
    ] = (1, 2, 3)
    training_fraction: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0
    seed: Seed = 1

    @property
    def predicted(self) -> tuple[str, ...]:
        """What the backend has to predict of every trial: ``ESTIMATES`` in limits, objective and front, sorted."""
        return tuple(sorted({*(limit.name for limit in self.parsed), self.cost, self.objective} & set(ESTIMATES)))

    @property
    def parsed(self) -> tuple[Limit, ...]:
        """The limits."""
        return tuple(map(Limit.parse, self.limits))

    @property
    def metric_limits(self) -> tuple[Limit, ...]:
        """Those that say how good a trial has to be."""
        return tuple(limit for limit in self.parsed if limit.about_metric)

    def missed_by(self, known: Mapping[str, float]) -> float:
        """The sum over limits of what a trial misses each by, see ``Limit.missed_by``; 0 if it keeps them all."""
        return sum(limit.missed_by(known) for limit in self.parsed)

    @property
    def minimises_cost(self) -> bool:
        """Whether the objective is a cost."""
        return self.objective not in METRICS

    @property
    def metric(self) -> str:
        """What scores are about: the objective, or, where that is a cost, the metric of the first limit on one."""
        if not self.minimises_cost:
            return self.objective
        return self.metric_limits[0].name

    @property
    def feasible_first(self) -> bool:
        """Whether trials that keep all limits rank before those that do not."""
        return self.minimises_cost or bool(self.metric_limits)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _front_of_the_objective(cls, given: Any) -> Any:
        if isinstance(given, dict) and "cost" not in given and given.get("objective") in (*COSTS, *ESTIMATES):
            return {**given, "cost": given["objective"]}
        return given

    @pydantic.model_validator(mode="after")
    def _cost_needs_a_metric(self) -> SearchOptions:
        if self.minimises_cost and not self.metric_limits:
            raise ValueError(
                f"the objective {self.objective} alone would choose the smallest network, whatever it does: say in "
                'limits how good it has to be, as in limits: ["signal_efficiency >= 0.4"], or with '
                f"{', '.join(METRICS[1:])}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _trials_fit(self) -> SearchOptions:
        if self.algorithm in ("random", "bayesian") and self.trials is None:
            raise ValueError(f"{self.algorithm} search needs to know how many points to train: give trials")
        if self.algorithm == "hyperband" and self.trials is not None:
            raise ValueError("hyperband's number of trials follows from max_epochs and factor: leave out trials")
        if self.algorithm != "hyperband" and self.promote != "objective":
            raise ValueError(f"{self.algorithm} search trains all its points in full: promote is for hyperband")
        if self.algorithm == "grid" and self.trials is not None:
            raise ValueError("a grid has all points: leave out trials, or use the algorithm random")
        return self
