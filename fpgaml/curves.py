"""Signal efficiency against what is let through, with the uncertainty of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpgaml import metrics
from fpgaml.errors import DataError
from fpgaml.events import Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Signal efficiency against what is let through, on test events at falling thresholds; float64, shape (n_points,).

    ``signal_low`` and ``signal_high`` bound the signal efficiency at the given rate or background efficiency: the
    interval of the test signal and that of the test background, carried over along the curve, added in quadrature.
    ``rejection_low`` and ``rejection_high`` hold the test background alone.
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
    weight = np.ones(len(scores)) if weights is None else weights
    curve = metrics.rate_curve(scores, y, weights=weight, groups=groups, n_points=n_points, level=level)
    background = y == 0
    beaten, background_weight = scores[background], weight[background]
    background_groups = None if groups is None else groups[background]
    rejections = [
        metrics.background_rejection(beaten >= at, weights=background_weight, groups=background_groups, level=level)
        for at in curve.thresholds
    ]
    rejection, rejection_low, rejection_high = np.array([(r.value, r.low, r.high) for r in rejections]).T
    if kind == "rate_khz":
        let_through, least, most = curve.rate_khz, curve.rate_low, curve.rate_high
    else:
        let_through, least, most = 1.0 / rejection, 1.0 / rejection_high, 1.0 / rejection_low
    value = curve.signal_efficiency
    # where the true rate is higher than measured, the curve belongs further right, and is lower at the rate shown
    lower = value - np.interp(let_through, np.maximum.accumulate(most), value)
    higher = np.interp(let_through, np.maximum.accumulate(least), value) - value
    return Curve(
        kind=kind,
        thresholds=curve.thresholds,
        background=let_through,
        signal_efficiency=value,
        signal_low=np.maximum(0.0, value - np.hypot(value - curve.signal_low, np.maximum(0.0, lower))),
        signal_high=np.minimum(1.0, value + np.hypot(curve.signal_high - value, np.maximum(0.0, higher))),
        background_rejection=rejection,
        rejection_low=rejection_low,
        rejection_high=rejection_high,
        level=level,
    )
