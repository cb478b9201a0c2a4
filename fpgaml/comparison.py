"""What networks are worth that were trained with several seeds each, and which of them differ.

A network's number is the mean of its signal efficiency over seeds, each training at its own threshold. Three things
move it, and its interval holds all three, added in quadrature:

* *test*: the finite test signal. The events of all seeds are pooled and the copies of one event count as one group, so
  that what the seeds agree on is not counted several times; then ``fpgaml.intervals`` as elsewhere;
* *threshold*: the finite validation background. All trainings of all networks are drawn together
  (``fpgaml.bootstrap``), so that a difference keeps their correlation;
* *seeds*: Student's interval of a mean, t times s / sqrt(n) with n - 1 degrees of freedom, s being the standard
  deviation over seeds. The difference of two networks is taken seed by seed.

The spread over seeds is seen on the same events, so it holds already what these events do to each training on its own.
Of the first two parts only what all seeds have in common is added to it: the share of the mean covariance of two seeds
in the variance of their mean. With few seeds the last part is wide, and rightly so; with one it is not there, and there
is no verdict.

Networks are chosen on the validation events that place their thresholds. A network that these events favour by chance
has a threshold that is too low by chance, and no interval holds that (docs/statistics.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpgaml import metrics
from fpgaml.bootstrap import arms, replicated_efficiencies, replicated_thresholds
from fpgaml.dependence import numbered, sums_of_groups
from fpgaml.errors import DataError
from fpgaml.events import Bools, Events, Floats, Scores, at
from fpgaml.metrics import LEVEL, Estimate, Target
from fpgaml.validation import Validated
from fpgaml.verdicts import LEVEL_APART, corrected, smallest_visible, told_apart, unbiased


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
    """Mean signal efficiency of one network minus that of another, on the same test events and seeds.

    Parameters
    ----------
    signal_efficiency : Estimate
        The difference, with its interval.
    told_apart : bool, optional
        Whether it is not zero, corrected for the number of differences of the comparison (``fpgaml.verdicts``); None
        with one seed, which allows no verdict.
    smallest_visible : float, optional
        Smallest difference that would have been told apart; None without a verdict.
    """

    signal_efficiency: Estimate
    told_apart: bool | None
    smallest_visible: float | None

    def to_json(self) -> dict[str, Any]:
        """The difference with its interval, and the verdict."""
        return {
            **self.signal_efficiency.to_json(),
            "told_apart": self.told_apart,
            "smallest_visible": self.smallest_visible,
        }


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
        Confidence levels; that of verdicts is ``level_apart`` for all together.
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
    y, weights, groups = events.y[validation], at(events.weights, validation), at(events.groups, validation)
    found = _validation(scores, np.ones(len(y), bool))
    return Validated(scores=found, y=y, target=target, weights=weights, groups=groups).signal_efficiency


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
        Confidence levels of means, and of differences and the verdicts on them.
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
        differences=_differences(sample, list(pairs), level_apart),
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
        of_background = events.chosen("validation", signal=False)
        columns = {"weights": at(events.weights, of_background), "groups": at(events.groups, of_background)}
        placing = {
            f"{name} {number}": _validation(found, background)
            for name, trainings in scores.items()
            for number, found in enumerate(trainings)
        }
        replicated = replicated_thresholds(placing, [target], **columns, replicas=replicas, seed=seed)
        chosen = events.chosen("test", signal=True)
        weights, groups = at(events.weights, chosen), at(events.groups, chosen)
        self.weights = np.ones(int(signal.sum())) if weights is None else weights
        self.levels = numbered(groups, len(self.weights))
        self.passed: dict[str, Bools] = {}  # shape (n_seeds, n_signal)
        self.replicas: dict[str, Floats] = {}  # shape (n_seeds, replicas)
        for name, trainings in scores.items():
            passed, moved = [], []
            for number, found in enumerate(trainings):
                test = np.asarray(found.test, np.float64)[signal]
                key = f"{name} {number}"
                point = metrics.choose_working_point(placing[key], kind=target.kind, target=target.value, **columns)
                passed.append(test >= point.threshold)
                moved.append(replicated_efficiencies(test, replicated[key][0], weights=weights))
            self.passed[name] = np.array(passed)
            self.replicas[name] = np.array(moved)

    def pooled(self, columns: Bools) -> dict[str, Any]:
        """Arguments of ``fpgaml.intervals`` for all seeds together: an event's copies depend on each other."""
        n_seeds = len(columns)
        return {
            "weights": np.tile(self.weights, n_seeds),
            "groups": np.tile(np.stack(self.levels, axis=1), (n_seeds, 1)),
        }

    def covariance(self, values: Floats) -> Floats:
        """Of weighted sums of ``values``, shape (n_seeds, n_signal), between seeds: shape (n_seeds, n_seeds)."""
        residuals = self.weights * (values - np.average(values, weights=self.weights, axis=1)[:, None])
        finest = np.array([np.bincount(self.levels[0], row) for row in residuals])
        coarser = (np.array([sums_of_groups(row, numbers) for row in residuals]) for numbers in self.levels[1:])
        # what is shared at one level is seen in the sums of the next, too
        return max((np.asarray(sums @ sums.T) for sums in (finest, *coarser)), key=np.sum)


def _mean(sample: _Sample, name: str, level: float) -> SeedMean:
    passed = sample.passed[name]
    mean = _OverSeeds(sample, passed.astype(np.float64), sample.replicas[name])
    plain = metrics.efficiency(passed.ravel(), **sample.pooled(passed), level=level)
    return SeedMean(
        per_seed=tuple(float(value) for value in mean.values),
        signal_efficiency=mean.estimate(plain, lowest=0.0, level=level),
        spread=mean.spread,
    )


def _differences(
    sample: _Sample, pairs: Sequence[tuple[str, str]], level: float
) -> dict[tuple[str, str], SeedDifference]:
    found = {pair: _Compared(sample, *pair) for pair in pairs}
    if not found or next(iter(found.values())).n_seeds == 1:
        return {
            pair: SeedDifference(signal_efficiency=one.interval(level), told_apart=None, smallest_visible=None)
            for pair, one in found.items()
        }
    apart = told_apart({pair: one.interval for pair, one in found.items()}, level=level)
    return {
        pair: SeedDifference(
            signal_efficiency=one.interval(level),
            told_apart=pair in apart,
            smallest_visible=one.smallest_visible(corrected(level, len(found))),
        )
        for pair, one in found.items()
    }


class _Compared:
    """The difference of two networks, seed by seed."""

    def __init__(self, sample: _Sample, first: str, second: str) -> None:
        self._passed = sample.passed[first], sample.passed[second]
        self._pooled = sample.pooled(self._passed[0])
        steps = self._passed[0].astype(np.float64) - self._passed[1]
        self._difference = _OverSeeds(sample, steps, sample.replicas[first] - sample.replicas[second])
        self.n_seeds = len(steps)

    def _plain(self, level: float) -> Estimate:
        return metrics.paired_difference(*(passed.ravel() for passed in self._passed), **self._pooled, level=level)

    def interval(self, level: float) -> Estimate:
        """At any confidence level."""
        return self._difference.estimate(self._plain(level), lowest=-1.0, level=level)

    def smallest_visible(self, level: float) -> float:
        """Smallest difference that would have been told apart."""
        plain = self._plain(level)
        arm = max(sum(self._difference.event_arms(plain, level=level)) / 2, plain.half_width / self.n_seeds)
        seeds = unbiased(self._difference.spread, self.n_seeds) / math.sqrt(self.n_seeds)
        return smallest_visible(arm, level=level, seeds=seeds, n_seeds=self.n_seeds)


class _OverSeeds:
    """A quantity of every training: its values, and what of their uncertainty all seeds have in common.

    Parameters
    ----------
    sample : _Sample
    values : float64, shape (n_seeds, n_signal)
        Of every event, whose weighted mean is the quantity.
    replicas : float64, shape (n_seeds, replicas)
        The quantity at the thresholds of the replicas.
    """

    def __init__(self, sample: _Sample, values: Floats, replicas: Floats) -> None:
        self.values = np.average(values, weights=sample.weights, axis=1)
        self._of_test = _common(sample.covariance(values))
        self._of_threshold = _common(np.atleast_2d(np.cov(replicas))) if replicas.shape[1] > 1 else 1.0
        self._replicas = replicas.mean(axis=0)

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; NaN for one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else math.nan

    def event_arms(self, plain: Estimate, *, level: float) -> tuple[float, float]:
        """What test events, the interval of ``plain``, and threshold add below and above, as far as seeds share it."""
        moved = arms(plain.value, self._replicas, level=level)
        of_test = plain.value - plain.low, plain.high - plain.value
        below, above = (
            math.hypot(self._of_test * test, self._of_threshold * threshold)
            for test, threshold in zip(of_test, moved, strict=True)
        )
        return below, above

    def estimate(self, plain: Estimate, *, lowest: float, level: float) -> Estimate:
        """``plain``, whose interval is that of test events, with all parts added in quadrature on each side."""
        from scipy import stats

        seeds, n_seeds = 0.0, len(self.values)
        if n_seeds > 1:
            seeds = float(stats.t.ppf((1 + level) / 2, n_seeds - 1)) * self.spread / math.sqrt(n_seeds)
        below, above = self.event_arms(plain, level=level)
        low, high = plain.value - math.hypot(below, seeds), plain.value + math.hypot(above, seeds)
        # two seeds may agree by chance: what test events alone leave open stays open
        return Estimate(plain.value, max(lowest, min(low, plain.low)), min(1.0, max(high, plain.high)))


def _common(covariance: Floats) -> float:
    """Part of the standard deviation of a mean over seeds that they have in common: 1 for one seed."""
    n_seeds = len(covariance)
    whole = float(covariance.sum())
    if n_seeds == 1 or whole <= 0.0:
        return 1.0
    between = (whole - float(np.trace(covariance))) / (n_seeds * (n_seeds - 1))
    return math.sqrt(min(1.0, max(0.0, between) * n_seeds**2 / whole))


def _validation(found: Scores, chosen: Bools) -> Floats:
    if found.validation is None or len(found.validation) != len(chosen):
        raise DataError(f"a comparison needs {len(chosen)} scores of validation events from every training")
    return np.asarray(found.validation, np.float64)[chosen]
