"""Signal efficiency against what is let through, with the uncertainty of both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpgaml import metrics
from fpgaml.errors import DataError
from fpgaml.events import Floats, at
from fpgaml.intervals import Estimate, rejection
from fpgaml.passing import Passing, Ranked

_LEAST = 5
"""Effective background events from which on a curve has a band."""


class Background:
    """Background of one model and split: what of it passes a threshold, with one interval wherever that is shown.

    Parameters
    ----------
    scores : float64, shape (n_events,)
    kind : str
        Whether it is a rate or a background efficiency that is counted.
    weights, groups : shape (n_events,), optional
        As in ``metrics.rate``; a rate needs weights.
    level : float
        Confidence level.
    """

    def __init__(
        self,
        scores: Floats,
        *,
        kind: metrics.Kind,
        weights: Floats | None,
        groups: NDArray[np.int64] | None,
        level: float,
    ) -> None:
        self._scores, self._level = scores, level
        self._weights = np.ones(len(scores)) if weights is None else weights
        self._groups = None if groups is None else np.unique(groups, return_inverse=True)[1]
        self._ranked = Ranked(scores, weights=weights, groups=self._groups)
        rated = kind == "rate_khz"
        self._estimate = metrics.rate if rated else metrics.background_efficiency
        self._total = float(self._weights.sum()) if rated else 1.0

    def passing(self, threshold: float) -> Passing:
        """How many events the estimates at a threshold rest on."""
        return self._ranked.passing(threshold)

    def accepted(self, threshold: float) -> Estimate:
        """Rate in kHz, or background efficiency."""
        return self._estimate(
            self._scores >= threshold,
            weights=self._weights,
            groups=self._groups,
            level=self._level,
            heaviest=self._ranked.heaviest(self._ranked.above(threshold)),
        )

    def rejection(self, accepted: Estimate) -> Estimate:
        """1 / background efficiency of what ``accepted`` gives: the same number and interval, turned round."""
        return rejection(accepted, total=self._total)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Signal efficiency against what is let through, on test events at falling thresholds; float64, shape (n_points,).

    ``signal_low`` and ``signal_high`` bound the signal efficiency at the given rate or background efficiency: the
    interval of the test signal and that of the test background, carried over along the curve (Woodruff, J. Am. Stat.
    Assoc. 47 (1952) 635), added in quadrature. ``rejection_low`` and ``rejection_high`` hold the test background alone.
    All four are NaN at the first points, where so few effective events pass that the curve is not bounded: fewer than
    five, or so few that the true rate may be below that of the first point.
    """

    kind: metrics.Kind
    thresholds: Floats
    background: Floats
    signal_efficiency: Floats
    signal_low: Floats
    signal_high: Floats
    background_rejection: Floats
    rejection_low: Floats
    rejection_high: Floats
    level: float


def performance_curve(
    scores: Floats,
    y: NDArray[np.int64],
    *,
    kind: metrics.Kind,
    weights: Floats | None = None,
    groups: NDArray[np.int64] | None = None,
    n_points: int = 100,
    level: float = metrics.LEVEL,
) -> Curve:
    """The curve of one model over events of one split.

    Parameters
    ----------
    scores, y, weights, groups : shape (n_events,)
        As in ``metrics.rate_curve``; weights of background in kHz where ``kind`` is "rate_khz".
    kind : str
        What the signal efficiency is drawn against: "rate_khz" or "background_efficiency".
    n_points : int
        Largest number of points, evenly spaced in the logarithm of what is let through.

    Raises
    ------
    DataError
        As ``metrics.rate_curve``, or a rate without weights.
    """
    if kind == "rate_khz" and weights is None:
        raise DataError("a curve against the rate needs the rate weights of the background, in kHz")
    signal = y == 1
    of_background, of_signal = (
        {"weights": at(weights, chosen), "groups": at(groups, chosen)} for chosen in (~signal, signal)
    )
    background = Background(scores[~signal], kind=kind, level=level, **of_background)
    thresholds = metrics.spaced_thresholds(scores, y, weights=weights, n_points=n_points)
    accepted = [background.accepted(threshold) for threshold in thresholds]
    let_through, least, most = _columns(accepted)
    rejected, rejection_low, rejection_high = _columns([background.rejection(found) for found in accepted])
    efficiencies = [metrics.efficiency(scores[signal] >= cut, level=level, **of_signal) for cut in thresholds]
    value, low, high = _columns(efficiencies)
    # where the true rate is higher than measured, the curve belongs further right, and is lower at the rate shown
    lower = value - np.interp(let_through, np.maximum.accumulate(most), value, left=math.nan)
    higher = np.interp(let_through, np.maximum.accumulate(least), value) - value
    few = np.array([background.passing(threshold).fewest_effective < _LEAST for threshold in thresholds])
    begins = np.flatnonzero(np.isnan(lower) | few)
    bounded = np.where(np.arange(len(value)) > (begins[-1] if len(begins) else -1), 1.0, math.nan)
    return Curve(
        kind=kind,
        thresholds=thresholds,
        background=let_through,
        signal_efficiency=value,
        signal_low=bounded * np.maximum(0.0, value - np.hypot(value - low, np.maximum(0.0, lower))),
        signal_high=bounded * np.minimum(1.0, value + np.hypot(high - value, np.maximum(0.0, higher))),
        background_rejection=rejected,
        rejection_low=bounded * rejection_low,
        rejection_high=bounded * rejection_high,
        level=level,
    )


def _columns(estimates: list[Estimate]) -> tuple[Floats, Floats, Floats]:
    table = np.array([(found.value, found.low, found.high) for found in estimates], np.float64)
    return table[:, 0], table[:, 1], table[:, 2]
