"""The numbers that judge a classifier: working points, efficiencies, rates and curves, each with its interval.

Scores are logits or sums; an event passes when ``score >= threshold``, everywhere. Signal has label 1, background 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.dependence import numbered
from fpgaml.errors import DataError
from fpgaml.intervals import (
    LEVEL,
    Estimate,
    background_efficiency,
    background_rejection,
    efficiency,
    paired_difference,
    rate,
)
from fpgaml.passing import Ranked

__all__ = [
    "LEVEL",
    "Estimate",
    "RateCurve",
    "RocCurve",
    "Target",
    "TurnOnCurve",
    "WorkingPoint",
    "accuracy",
    "auc",
    "background_efficiency",
    "background_rejection",
    "choose_working_point",
    "efficiency",
    "paired_difference",
    "rate",
    "rate_curve",
    "roc_curve",
    "spaced_thresholds",
    "turn_on_curve",
]

Kind = Literal["rate_khz", "background_efficiency"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """What a working point aims at: a trigger rate in kHz, or a background efficiency."""

    kind: Kind
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("rate_khz", "background_efficiency"):
            raise ValueError(f"a target is a rate_khz or a background_efficiency, not {self.kind!r}")
        if not (self.value > 0 and math.isfinite(self.value)) or (self.kind != "rate_khz" and self.value > 1):
            raise ValueError(
                f"{self.kind} of a target must be positive, and an efficiency at most 1; found {self.value}"
            )


@dataclass(frozen=True)
class WorkingPoint:
    """A threshold, what it was chosen for, and what it achieves on the sample on which it was chosen."""

    kind: Kind
    target: float
    threshold: float
    achieved: float


def choose_working_point(
    scores: ArrayLike,
    *,
    kind: Kind,
    target: float,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> WorkingPoint:
    """The lowest threshold whose background does not exceed the target, and is the target on average over samples.

    Where events near the threshold weigh differently, or depend on each other, the last sum of weights below the target
    is followed by a heavy event more often than not, and its threshold lets more pass than the target. So much as
    ``Ranked.reserve`` finds is then left free below the target; where events weigh alike, it is nothing.

    Parameters
    ----------
    scores : shape (n_events,)
        Of background events.
    kind, target
        See ``Target``.
    weights : shape (n_events,), optional
        In kHz where ``kind`` is "rate_khz", which needs them.
    groups : whole numbers, shape (n_events,) or (n_events, n_levels), optional
        As in ``efficiency``.

    Returns
    -------
    WorkingPoint
        Events with equal scores pass or fail together, so ``achieved`` may be well below ``target``. Where even the
        highest score is too much, the threshold is the next number of the scores' own type above it, and ``achieved``
        is 0.

    Raises
    ------
    DataError
        No events, scores that are not finite, shapes that do not match, or a rate without weights.
    """
    Target(kind, target)
    found, weight = _scores(scores, weights)
    if kind == "rate_khz" and weights is None:
        raise DataError("a working point at a rate needs the rate weights of the background, in kHz")
    group = None if groups is None else np.asarray(groups)
    if group is not None and group.shape[:1] != found.shape:
        raise DataError(f"groups have shape {group.shape}, the scores {found.shape}")
    ranked = Ranked(found, weights=weight, groups=group)
    # of equal scores the last one in order stands for all, because they pass together
    ends = np.flatnonzero(np.diff(ranked.scores, append=-np.inf))
    accepted = ranked.accepted[ends]
    wanted = target * (1.0 if kind == "rate_khz" else accepted[-1])
    reserve = ranked.reserve(_last(accepted, wanted, ends))
    n_allowed = _last(accepted, wanted - reserve, ends)
    if not n_allowed:
        return WorkingPoint(kind, target, _above(scores), 0.0)
    achieved = ranked.accepted[n_allowed - 1] / (1.0 if kind == "rate_khz" else accepted[-1])
    return WorkingPoint(kind, target, float(ranked.scores[n_allowed - 1]), float(achieved))


def _last(accepted: Floats, wanted: float, ends: NDArray[np.int64]) -> int:
    """Number of events that pass where no more than ``wanted`` does."""
    # sums of weights carry rounding errors: a target met to 12 digits is met
    n_levels = int(np.searchsorted(accepted, wanted * (1.0 + 1e-12), side="right"))
    return int(ends[n_levels - 1]) + 1 if n_levels else 0


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Efficiencies at falling thresholds, float64, shape (n_points,).

    The first point is (0, 0), just above the highest score; the last is (1, 1), at the lowest.
    """

    thresholds: Floats
    signal_efficiency: Floats
    background_efficiency: Floats


def roc_curve(scores: ArrayLike, y: ArrayLike, *, weights: ArrayLike | None = None) -> RocCurve:
    """Signal against background efficiency at every distinct score.

    Raises
    ------
    DataError
        As ``choose_working_point``, or a class has no events.
    """
    found, weight = _scores(scores, weights)
    signal = _signal(y, found)
    levels, position = np.unique(-found, return_inverse=True)
    curves = []
    for chosen in (signal, ~signal):
        accepted = np.cumsum(np.bincount(position[chosen], weight[chosen], minlength=len(levels)))
        if not accepted[-1] > 0:
            raise DataError("a curve needs signal and background events with weights above zero")
        curves.append(np.concatenate([[0.0], accepted / accepted[-1]]))
    return RocCurve(np.concatenate([[_above(scores)], -levels]), *curves)


def auc(scores: ArrayLike, y: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve: how often a signal event scores above a background event, ties counting half."""
    curve = roc_curve(scores, y, weights=weights)
    return float(np.trapezoid(curve.signal_efficiency, curve.background_efficiency))


def accuracy(scores: ArrayLike, y: ArrayLike, *, threshold: float = 0.0) -> float:
    """Fraction of events on the right side of the threshold, unweighted.

    For comparison with other tools: it does not rank triggers.
    """
    found, _ = _scores(scores, None)
    return float(((found >= threshold) == _signal(y, found)).mean())


def spaced_thresholds(
    scores: ArrayLike, y: ArrayLike, *, weights: ArrayLike | None = None, n_points: int = 100
) -> Floats:
    """Up to ``n_points`` falling thresholds, evenly spaced in the logarithm of the background efficiency.

    Raises
    ------
    DataError
        As ``roc_curve``.
    """
    curve = roc_curve(scores, y, weights=weights)
    reached = np.flatnonzero(curve.background_efficiency > 0)
    share = curve.background_efficiency[reached]
    spaced = np.searchsorted(share, np.geomspace(share[0], 1.0, n_points) * (1.0 + 1e-12), side="right") - 1
    return np.asarray(curve.thresholds[reached[np.unique(spaced)]])


@dataclass(frozen=True, eq=False)
class RateCurve:
    """Signal efficiency against trigger rate, with intervals, at falling thresholds; float64, shape (n_points,)."""

    thresholds: Floats
    rate_khz: Floats
    rate_low: Floats
    rate_high: Floats
    signal_efficiency: Floats
    signal_low: Floats
    signal_high: Floats


def rate_curve(
    scores: ArrayLike,
    y: ArrayLike,
    *,
    weights: ArrayLike,
    groups: ArrayLike | None = None,
    n_points: int = 100,
    level: float = LEVEL,
) -> RateCurve:
    """Signal efficiency against rate, at up to ``n_points`` thresholds evenly spaced in the logarithm of the rate.

    Parameters
    ----------
    scores, y, weights, groups : shape (n_events,)
        ``weights`` are in kHz for background and relative for signal. ``groups`` as in ``efficiency``.

    Raises
    ------
    DataError
        As ``roc_curve``.
    """
    found, weight = _scores(scores, weights)
    thresholds = spaced_thresholds(scores, y, weights=weights, n_points=n_points)
    signal = _signal(y, found)
    group = np.stack(numbered(groups, len(found)), axis=1)
    columns: list[list[Estimate]] = []
    for chosen, estimate in ((~signal, rate), (signal, efficiency)):
        part, part_weight, part_group = found[chosen], weight[chosen], group[chosen]
        columns.append([estimate(part >= at, weights=part_weight, groups=part_group, level=level) for at in thresholds])
    return RateCurve(thresholds, *_columns(columns[0]), *_columns(columns[1]))


@dataclass(frozen=True, eq=False)
class TurnOnCurve:
    """Efficiency in bins of a quantity; float64, shape (n_bins,), ``edges`` (n_bins + 1,). An empty bin is NaN."""

    edges: Floats
    value: Floats
    low: Floats
    high: Floats
    events: NDArray[np.int64]


def turn_on_curve(
    passed: ArrayLike,
    quantity: ArrayLike,
    *,
    edges: ArrayLike,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> TurnOnCurve:
    """Efficiency against ``quantity``, such as the generated HT, in the bins between ``edges`` (the last one closed).

    Events outside the bins, and those whose quantity is NaN because it does not apply to them, are left out.

    Raises
    ------
    DataError
        Edges that do not rise, or shapes that do not match.
    """
    mask, values, borders = np.asarray(passed), np.asarray(quantity, np.float64), np.asarray(edges, np.float64)
    if borders.ndim != 1 or len(borders) < 2 or not (np.diff(borders) > 0).all():
        raise DataError(f"turn-on curve: edges must be at least two rising numbers, found {borders.tolist()}")
    if mask.shape != values.shape:
        raise DataError(f"turn-on curve: {mask.shape} events passed or not, {values.shape} quantities")
    position = np.searchsorted(borders, values, side="right") - 1
    position[values == borders[-1]] = len(borders) - 2
    estimates, events = [], []
    for number in range(len(borders) - 1):
        here = position == number
        events.append(int(here.sum()))
        weight = None if weights is None else np.asarray(weights, np.float64)[here]
        group = None if groups is None else np.asarray(groups)[here]
        empty = not here.any() or (weight is not None and not weight.any())
        estimates.append(
            Estimate(math.nan, math.nan, math.nan)
            if empty
            else efficiency(mask[here], weights=weight, groups=group, level=level)
        )
    return TurnOnCurve(borders, *_columns(estimates), np.array(events))


def _columns(estimates: list[Estimate]) -> tuple[Floats, Floats, Floats]:
    table = np.array([(item.value, item.low, item.high) for item in estimates], np.float64)
    return table[:, 0], table[:, 1], table[:, 2]


def _above(scores: ArrayLike) -> float:
    """The next number above every score, in the scores' own type: float64's next would round back onto a float32."""
    top = np.asarray(scores).max()
    kind = top.dtype if top.dtype.kind == "f" else np.dtype(np.float64)
    return float(np.nextafter(top.astype(kind), np.array(np.inf, kind)))


def _scores(scores: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    found = np.asarray(scores, np.float64)
    weight = np.ones(len(found)) if weights is None else np.asarray(weights, np.float64)
    if found.ndim != 1 or not len(found) or weight.shape != found.shape:
        raise DataError(
            f"scores must have shape (n_events,) and one weight each; found {found.shape} and {weight.shape}"
        )
    if not np.isfinite(found).all():
        first = int(np.flatnonzero(~np.isfinite(found))[0])
        raise DataError(f"scores must be finite; {found[first]} in event {first}. Has the training diverged?")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise DataError("weights must be finite, not negative, and not all zero")
    return found, weight


def _signal(y: ArrayLike, scores: Floats) -> NDArray[np.bool_]:
    labels = np.asarray(y)
    if labels.shape != scores.shape or not np.isin(labels, (0, 1)).all():
        raise DataError(f"labels must be 0 or 1 for each of {len(scores)} scores; found shape {labels.shape}")
    return np.asarray(labels == 1)
