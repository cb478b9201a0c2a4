"""Estimates with confidence intervals, for events that may be weighted and may depend on each other.

One idea serves all of them. The variance of a weighted estimate is taken from the sample itself, with the events of one
group added up before they are squared, so that what is shared is not counted as independent. It is turned into the
number of independent, equally weighted events that would have the same variance, the *effective count*, and the
textbook interval for that count is used. Without weights and groups the effective count is the count.

What such an interval cannot know: a kind of event that never passes in the sample adds nothing to the variance, however
heavy it is.

Sources
-------
Clopper, Pearson, Biometrika 26 (1934) 404: the binomial interval.
Garwood, Biometrika 28 (1936) 437: the Poisson interval.
Kish, Survey Sampling (1965): effective size of a weighted sample, (sum w)^2 / sum w^2.
Korn, Graubard, Survey Methodology 24 (1998) 193: the Clopper-Pearson interval on the effective size of weighted,
clustered samples. Bohm, Zech, Nucl. Instrum. Meth. A 748 (2014) 1: a sum of weights as a scaled Poisson count. Bonett,
Price, J. Educ. Behav. Stat. 37 (2012) 479: the difference of two proportions on the same events.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.errors import DataError

LEVEL = 0.6827
"""Default confidence level: one standard deviation, central."""


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval. NaN stands for what the sample cannot bound."""

    value: float
    low: float
    high: float

    def leaves_out(self, value: float) -> bool:
        """Whether ``value`` is outside the interval."""
        return not self.low <= value <= self.high

    def to_json(self) -> dict[str, float | None]:
        """The three numbers; null for NaN, which JSON does not have."""
        return {name: None if math.isnan(number) else number for name, number in asdict(self).items()}


def clopper_pearson(
    passed: ArrayLike, total: ArrayLike, *, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central interval of a binomial probability, with at least the coverage ``level``.

    Parameters
    ----------
    passed, total : array_like
        Counts, 0 <= passed <= total, total > 0; effective counts need not be whole.
    level : float
        Between 0 and 1. Each side is exceeded with probability (1 - level) / 2, also where the other side is the end of
        the range: the limit that is left then holds one-sided with (1 + level) / 2.

    Returns
    -------
    low, high : float64 arrays of the common shape
    """
    from scipy import stats

    tail = _tail(level)
    passed, total = np.broadcast_arrays(np.asarray(passed, np.float64), np.asarray(total, np.float64))
    some, lost = passed > 0, total - passed
    low = np.where(some, stats.beta.ppf(tail, np.where(some, passed, 1.0), lost + 1.0), 0.0)
    high = np.where(lost > 0, stats.beta.ppf(1.0 - tail, passed + 1.0, np.where(lost > 0, lost, 1.0)), 1.0)
    return low, high


def garwood(count: ArrayLike, *, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central interval of a Poisson mean, with coverage of at least ``level``; see ``clopper_pearson`` for the rest."""
    from scipy import stats

    tail = _tail(level)
    count = np.asarray(count, np.float64)
    some = count > 0
    low = np.where(some, stats.chi2.ppf(tail, 2.0 * np.where(some, count, 1.0)) / 2.0, 0.0)
    return low, stats.chi2.ppf(1.0 - tail, 2.0 * count + 2.0) / 2.0


def efficiency(
    passed: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate:
    """The (weighted) fraction of events that pass.

    Parameters
    ----------
    passed : bool, shape (n_events,)
    weights : shape (n_events,), optional
        Not negative. None: every event counts once.
    groups : whole numbers, shape (n_events,), optional
        Events with the same number share something and are not independent.
    level : float
        See ``clopper_pearson``.

    Returns
    -------
    Estimate
        With the Clopper-Pearson interval, on the effective count where there are weights or groups (Korn, Graubard).
        Where nothing or everything passes, the effective count is Kish's, of the groups' weights.

    Raises
    ------
    DataError
        No events, shapes that do not match, or weights that are negative, not finite or all zero.
    """
    mask, weight, group = _checked(passed, weights, groups)
    value = _mean(mask, weight)
    total = _effective_count(mask, weight, group, spread=value * (1.0 - value))
    low, high = clopper_pearson(value * total, total, level=level)
    return _estimate(value, low, high)


def rate(passed: ArrayLike, *, weights: ArrayLike, groups: ArrayLike | None = None, level: float = LEVEL) -> Estimate:
    """The trigger rate: the sum of the weights, in kHz, of the events that pass.

    The interval is Garwood's on the effective count (sum w)^2 / sum w^2 of what passes, scaled back to kHz (Bohm, Zech;
    weights of a group are added first). Where nothing passes, ``low`` is 0 and ``high`` the limit for no event of the
    mean effective weight of the whole sample.

    Parameters and errors are as in ``efficiency``; ``weights`` are in kHz.
    """
    mask, weight, group = _checked(passed, weights, groups)
    value = float(weight[mask].sum())
    seen = np.bincount(group, weight * mask) if value > 0 else np.bincount(group, weight)
    per_count = float((seen**2).sum() / seen.sum())
    low, high = garwood(value / per_count, level=level)
    return _estimate(value, low * per_count, high * per_count)


def background_rejection(
    passed: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate:
    """1 / background efficiency, with the inverted interval of ``efficiency``, whose arguments it takes.

    Where no background passes there is no value and no upper end: both are NaN, never infinity, and ``low`` is a
    one-sided lower limit at confidence (1 + level) / 2.
    """
    accepted = efficiency(passed, weights=weights, groups=groups, level=level)
    if accepted.value == 0.0:
        return Estimate(math.nan, 1.0 / accepted.high, math.nan)
    return Estimate(1.0 / accepted.value, 1.0 / accepted.high, 1.0 / accepted.low)


def paired_difference(
    passed_a: ArrayLike,
    passed_b: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate:
    """efficiency(a) - efficiency(b) of two selections of the same events.

    Only events that one selection takes and the other does not say anything about the difference, so what the two share
    cancels. The interval is Bonett and Price's (one event added to either kind of disagreement), on the effective
    count. It does not shrink to a point where the two selections agree on every event: the next sample might hold one
    on which they do not.

    Arguments and errors as in ``efficiency``.
    """
    from scipy import stats

    mask_a, weight, group = _checked(passed_a, weights, groups)
    mask_b, _, _ = _checked(passed_b, weights, groups)
    if len(mask_a) != len(mask_b):
        raise DataError(f"paired difference: {len(mask_a)} events in one selection, {len(mask_b)} in the other")
    only_a, only_b = _mean(mask_a & ~mask_b, weight), _mean(mask_b & ~mask_a, weight)
    value = only_a - only_b
    step = mask_a.astype(np.float64) - mask_b
    total = _effective_count(step, weight, group, spread=only_a + only_b - value**2)
    share_a, share_b = (only_a * total + 1.0) / (total + 2.0), (only_b * total + 1.0) / (total + 2.0)
    centre = share_a - share_b
    half = stats.norm.isf(_tail(level)) * math.sqrt((share_a + share_b - centre**2) / (total + 2.0))
    return Estimate(value, max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half)))


def _tail(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    return (1.0 - level) / 2.0


def _estimate(value: float, low: Any, high: Any) -> Estimate:
    """Rounding must not push an end past the value."""
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def _checked(
    passed: ArrayLike, weights: ArrayLike | None, groups: ArrayLike | None
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Mask, weights and group numbers 0..n_groups-1, each of shape (n_events,)."""
    mask = np.asarray(passed)
    if mask.ndim != 1 or mask.dtype != np.bool_:
        raise DataError(f"passed must be a bool array of shape (n_events,), not {mask.dtype} of shape {mask.shape}")
    if not len(mask):
        raise DataError("an efficiency or rate of no events is not defined")
    weight = np.ones(len(mask)) if weights is None else np.asarray(weights, np.float64)
    group = np.arange(len(mask)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    for name, column in (("weights", weight), ("groups", group)):
        if column.shape != mask.shape:
            raise DataError(f"{name} have shape {column.shape}, the events {mask.shape}")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise DataError("weights must be finite, not negative, and not all zero")
    return mask, weight, group


def _mean(values: NDArray[Any], weight: NDArray[np.float64]) -> float:
    return float((values * weight).sum() / weight.sum())


def _effective_count(
    values: NDArray[Any], weight: NDArray[np.float64], group: NDArray[np.int64], *, spread: float
) -> float:
    """Number of independent, equal events whose mean of ``values`` would vary as the weighted one does.

    ``spread`` is the variance of ``values`` for one event. Groups can lower the count, never raise it: a negative
    correlation within them is as likely to be a fluctuation.
    """
    residual = weight * (values - _mean(values, weight))
    sums, weights = np.bincount(group, residual), np.bincount(group, weight)
    variance = float((residual**2).sum())
    if 1 < len(sums) < len(residual):
        variance = max(variance, float((sums**2).sum()) * len(sums) / (len(sums) - 1))
    if len(sums) == 1 or spread <= 0.0 or variance <= 0.0:
        return float(weights.sum() ** 2 / (weights**2).sum())
    return spread * float(weight.sum()) ** 2 / variance
