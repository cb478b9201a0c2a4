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

COSTS = ("activation_bits", "bops", "ebops", "multiply_accumulates", "parameters", "weight_bits")
"""What is counted of every trial: the fields of ``cost.Cost``."""

ESTIMATES = ("bram_18k", "dsp", "ff", "interval_cycles", "latency_cycles", "latency_ns", "lut")
"""What the study's backend may predict of every trial: fields of ``synthesis.Resources``; see docs/costs.md."""

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
    """What a trial may cost.

    Parameters
    ----------
    name : str
        One of ``COSTS`` or ``ESTIMATES``.
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
                f"{text!r} is no limit: write a cost, one of {' '.join(OPERATORS)}, and a number, as in ebops <= 20000"
            )
        if found["name"] not in COSTS + ESTIMATES:
            raise StudyError(
                f"{text!r}: unknown cost {found['name']!r}; {did_you_mean(found['name'], COSTS + ESTIMATES)}"
            )
        try:
            bound = float(found["bound"])
        except ValueError:
            bound = math.nan
        if not math.isfinite(bound):
            raise StudyError(f"{text!r}: {found['bound']!r} is no finite number")
        return cls(found["name"], found["operator"], bound)

    def holds(self, cost: Mapping[str, float]) -> bool:
        """Whether a trial of this cost keeps the limit, with the margin of a prediction where it is an upper one."""
        value = cost[self.name]
        if self.operator in ("<=", "<"):
            value = cost.get(self.name + AT_MOST, value)
        return OPERATORS[self.operator](value, self.bound)


def meets(limits: Iterable[str], cost: Mapping[str, float]) -> bool:
    """Whether a trial keeps all limits.

    Parameters
    ----------
    limits : iterable of str
        Such as ``ebops <= 20000``.
    cost : mapping of name to number
        The trial's cost; it has all names that the limits have.

    Raises
    ------
    StudyError
        A text states no limit.

    >>> meets(["ebops <= 20000", "parameters < 100"], {"ebops": 20000, "parameters": 100})
    False
    """
    return all(Limit.parse(text).holds(cost) for text in limits)


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


Seed = Annotated[int, pydantic.Field(ge=0)]


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
    objective : {"signal_efficiency", "accuracy", "auc", "val_loss"}
        What trials are ranked by, on validation data.
    limits : tuple of str
        What the winner may cost, such as ``ebops <= 20000`` or, as the backend predicts it, ``lut <= 20000``.
    cost : str
        The cost that the Pareto front is made of, beside the objective; any that a limit may be about.
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
    max_epochs: Annotated[int, pydantic.Field(ge=1)] = 27
    factor: Annotated[int, pydantic.Field(ge=2)] = 3
    promote: Literal["objective", "front"] = "objective"
    trials: Annotated[int, pydantic.Field(ge=1)] | None = None
    objective: Literal["signal_efficiency", "accuracy", "auc", "val_loss"] = "signal_efficiency"
    limits: Annotated[
        tuple[Annotated[str, pydantic.AfterValidator(_checked_limit)], ...], pydantic.BeforeValidator(_one_or_more)
    ] = ()
    cost: Annotated[str, pydantic.AfterValidator(_known_cost)] = "ebops"
    winners: Annotated[int, pydantic.Field(ge=1)] = 3
    winner_seeds: Annotated[
        tuple[Seed, ...],
        pydantic.Field(min_length=1),
        pydantic.BeforeValidator(_listed),
        pydantic.AfterValidator(_different),
    ] = (1, 2, 3)
    training_fraction: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0
    seed: Seed = 1

    @property
    def predicted(self) -> tuple[str, ...]:
        """What the backend has to predict of every trial: the ``ESTIMATES`` in limits and on the front, sorted."""
        return tuple(sorted({*(Limit.parse(text).name for text in self.limits), self.cost} & set(ESTIMATES)))

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
