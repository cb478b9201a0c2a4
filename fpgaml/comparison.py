"""What networks are worth that were trained with several seeds each, and whether two of them can be told apart.

A network's number is the mean of its signal efficiency over seeds, each training at its own threshold. Three things
move it, and its interval holds all three, added in quadrature:

* *test*: the finite test signal. The events of all seeds are pooled and the copies of one event count as one group, so
  that what the seeds agree on is not counted several times; then ``fpgaml.intervals`` as elsewhere;
* *threshold*: the finite validation background. All trainings of all networks are drawn together
  (``fpgaml.bootstrap``), so that a difference keeps their correlation;
* *seeds*: Student's interval of a mean, t times s / sqrt(n) with n - 1 degrees of freedom, s being the standard
  deviation over seeds. The difference of two networks is taken seed by seed.

With few seeds the last part is wide, and rightly so. The spread over seeds is seen on a finite sample, a part of which
the first two count again: the interval is rather too wide than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpgaml import metrics
from fpgaml.bootstrap import replicated_efficiencies, replicated_thresholds, widened
from fpgaml.errors import DataError
from fpgaml.events import Bools, Events, Floats, Scores, at
from fpgaml.metrics import LEVEL, Estimate, Target
from fpgaml.validation import Validated

LEVEL_APART = 0.9545
"""Level of the intervals of differences: two standard deviations, because one is passed by chance too often."""


@dataclass(frozen=True, kw_only=True)
class SeedMean:
    """Signal efficiency on test events over trainings that differ by their seeds.

    Parameters
    ----------
    per_seed : tuple of float
        Of each training, at its own threshold.
    signal_efficiency : Estimate
        The mean, with an interval that holds test signal, validation background and seeds.
    spread : float
        Standard deviation over seeds, with n - 1; NaN for one seed, whose interval then holds no spread.
    """

    per_seed: tuple[float, ...]
    signal_efficiency: Estimate
    spread: float

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; null for a spread that is not known."""
        return {
            "per_seed": list(self.per_seed),
            "signal_efficiency": self.signal_efficiency.to_json(),
            "spread": None if math.isnan(self.spread) else self.spread,
        }


@dataclass(frozen=True, kw_only=True)
class SeedDifference:
    """Mean signal efficiency of one network minus that of another, on the same test events and seeds."""

    signal_efficiency: Estimate

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.signal_efficiency.leaves_out(0.0)

    def to_json(self) -> dict[str, Any]:
        """The difference with its interval, and the verdict."""
        return {**self.signal_efficiency.to_json(), "told_apart": self.told_apart}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Networks side by side.

    Parameters
    ----------
    means : mapping of name to SeedMean
        At ``level``.
    differences : mapping of (name, name) to SeedDifference
        The first minus the second, at ``level_apart``.
    level, level_apart : float
        Confidence levels.
    replicas : int
        Of the bootstrap of the validation background.
    """

    means: Mapping[str, SeedMean]
    differences: Mapping[tuple[str, str], SeedDifference]
    level: float
    level_apart: float
    replicas: int


def validation_efficiency(events: Events, scores: Scores, target: Target) -> float:
    """Signal efficiency on validation events, at the threshold that their background sets.

    Parameters
    ----------
    events : Events
        Validation and test events; of the latter nothing is used.
    scores : Scores
        Of which those of validation events are used.
    target : Target
        The working point.

    Raises
    ------
    DataError
        There are no scores of validation events; or as ``metrics.choose_working_point``.
    """
    validation = events.chosen("validation")
    y, weights = events.y[validation], at(events.weights, validation)
    found = _validation(scores, np.ones(len(y), bool))
    return Validated(scores=found, y=y, target=target, weights=weights).signal_efficiency


def compare(
    events: Events,
    scores: Mapping[str, Sequence[Scores]],
    target: Target,
    *,
    pairs: Iterable[tuple[str, str]] = (),
    level: float = LEVEL,
    level_apart: float = LEVEL_APART,
    replicas: int = 500,
    seed: int = 1,
) -> Comparison:
    """Judge networks by their trainings, on test events.

    Parameters
    ----------
    events : Events
        Validation and test events.
    scores : mapping of name to Scores of each seed
        With validation scores; the same seeds in the same order for all names.
    target : Target
        The working point.
    pairs : iterable of (name, name)
        Whose differences to take: the first minus the second.
    level, level_apart : float
        Confidence levels of means and of differences.
    replicas, seed : int
        Of the bootstrap of the validation background.

    Raises
    ------
    DataError
        Names with different numbers of seeds, or without any; scores that do not fit the events.
    """
    numbers = {name: len(found) for name, found in scores.items()}
    if len(set(numbers.values())) != 1 or 0 in numbers.values():
        raise DataError(f"a comparison needs the same seeds, at least one, of every network; found {numbers}")
    sample = _Sample(events, scores, target, replicas, seed)
    return Comparison(
        means={name: _mean(sample, name, level) for name in scores},
        differences={pair: _difference(sample, pair, level_apart) for pair in pairs},
        level=level,
        level_apart=level_apart,
        replicas=replicas,
    )


class _Sample:
    """Test signal, and which of it passes: per network, arrays whose rows are seeds."""

    def __init__(
        self, events: Events, scores: Mapping[str, Sequence[Scores]], target: Target, replicas: int, seed: int
    ) -> None:
        signal = events.y[events.chosen("test")] == 1
        background = events.y[events.chosen("validation")] == 0
        rates = at(events.weights, events.chosen("validation", signal=False))
        placing = {
            f"{name} {number}": _validation(found, background)
            for name, trainings in scores.items()
            for number, found in enumerate(trainings)
        }
        replicated = replicated_thresholds(
            placing,
            [target],
            weights=rates,
            groups=at(events.groups, events.chosen("validation", signal=False)),
            replicas=replicas,
            seed=seed,
        )
        chosen = events.chosen("test", signal=True)
        weights, groups = at(events.weights, chosen), at(events.groups, chosen)
        n_seeds = len(next(iter(scores.values())))
        # An event stands there once for every seed, and its copies depend on each other.
        self.groups = np.tile(np.arange(int(signal.sum())) if groups is None else groups, n_seeds)
        self.weights = None if weights is None else np.tile(weights, n_seeds)
        self.passed: dict[str, Bools] = {}
        self.efficiencies: dict[str, Floats] = {}  # shape (n_seeds,)
        self.replicas: dict[str, Floats] = {}  # means over seeds, shape (replicas,)
        for name, trainings in scores.items():
            passed, moved = [], []
            for number, found in enumerate(trainings):
                test = np.asarray(found.test, np.float64)[signal]
                key = f"{name} {number}"
                point = metrics.choose_working_point(placing[key], kind=target.kind, target=target.value, weights=rates)
                passed.append(test >= point.threshold)
                moved.append(replicated_efficiencies(test, replicated[key][0], weights=weights))
            self.passed[name] = np.array(passed)
            self.efficiencies[name] = np.array([np.average(row, weights=weights) for row in passed])
            self.replicas[name] = np.mean(moved, axis=0)


def _mean(sample: _Sample, name: str, level: float) -> SeedMean:
    plain = metrics.efficiency(sample.passed[name].ravel(), weights=sample.weights, groups=sample.groups, level=level)
    values = sample.efficiencies[name]
    return SeedMean(
        per_seed=tuple(float(value) for value in values),
        signal_efficiency=_combined(plain, sample.replicas[name], values, lowest=0.0, level=level),
        spread=_spread(values),
    )


def _difference(sample: _Sample, pair: tuple[str, str], level: float) -> SeedDifference:
    first, second = pair
    plain = metrics.paired_difference(
        sample.passed[first].ravel(),
        sample.passed[second].ravel(),
        weights=sample.weights,
        groups=sample.groups,
        level=level,
    )
    moved = sample.replicas[first] - sample.replicas[second]
    values = sample.efficiencies[first] - sample.efficiencies[second]
    return SeedDifference(signal_efficiency=_combined(plain, moved, values, lowest=-1.0, level=level))


def _combined(plain: Estimate, replicas: Floats, values: Floats, *, lowest: float, level: float) -> Estimate:
    """``plain``, which holds test events, with the parts of threshold and seeds added in quadrature on each side."""
    from scipy import stats

    held = widened(plain, replicas, lowest=lowest, level=level)
    seeds = 0.0
    if len(values) > 1:
        seeds = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * _spread(values) / math.sqrt(len(values))
    low = plain.value - math.hypot(plain.value - held.low, seeds)
    high = plain.value + math.hypot(held.high - plain.value, seeds)
    return Estimate(plain.value, max(lowest, low), min(1.0, high))


def _spread(values: Floats) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _validation(found: Scores, chosen: Bools) -> Floats:
    if found.validation is None or len(found.validation) != len(chosen):
        raise DataError(f"a comparison needs {len(chosen)} scores of validation events from every training")
    return np.asarray(found.validation, np.float64)[chosen]
