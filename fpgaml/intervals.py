"""Estimates with confidence intervals, for events that may be weighted and may depend on each other.

One idea serves all of them. The variance of a weighted estimate is taken from the sample itself, with the events of one
group added up before they are squared, so that what is shared is not counted as independent. It is turned into the
number of independent, equally weighted events that would have the same variance, the *effective count*, and the
textbook interval for that count is used. Without weights and groups the effective count is the count.

A kind of event that passes in no sample of this size, but would in another, adds nothing to that variance, however
heavy it is. Signal rarely has such events; background does, and its intervals know one unseen event: ``rate`` and
``background_efficiency``.

Sources
-------
Clopper, Pearson, Biometrika 26 (1934) 404: the binomial interval.
Garwood, Biometrika 28 (1936) 437: the Poisson interval.
Kish, Survey Sampling (1965): effective size of a weighted sample, (sum w)^2 / sum w^2.
Korn, Graubard, Survey Methodology 24 (1998) 193: the Clopper-Pearson interval on the effective size of weighted,
clustered samples. Bohm, Zech, Nucl. Instrum. Meth. A 748 (2014) 1: a sum of weights as a scaled Poisson count. Fay,
Feuer, Stat. Med. 16 (1997) 791: the same with an unseen event in the upper end; Fay, Kim, Biom. J. 59 (2017) 377: its
mid-P form. Lancaster, J. Am. Stat. Assoc. 56 (1961) 223: mid-P. Bonett, Price, J. Educ. Behav. Stat. 37 (2012) 479: the
difference of two proportions on the same events.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.dependence import Groups, numbered, shared_variance
from fpgaml.errors import DataError

LEVEL = 0.6827
"""Default confidence level: one standard deviation, central."""


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval. NaN stands for what the sample cannot bound."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

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
    from scipy import special

    tail = _tail(level)
    passed, total = np.broadcast_arrays(np.asarray(passed, np.float64), np.asarray(total, np.float64))
    some, lost = passed > 0, total - passed
    low = np.where(some, special.betaincinv(np.where(some, passed, 1.0), lost + 1.0, tail), 0.0)
    high = np.where(lost > 0, special.betaincinv(passed + 1.0, np.where(lost > 0, lost, 1.0), 1.0 - tail), 1.0)
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
    groups : whole numbers, shape (n_events,) or (n_events, n_levels), optional
        Events with the same number, in the same column, share something and are not independent.
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
    mask, weight, levels = _checked(passed, weights, groups)
    value = _mean(mask, weight)
    total = _effective_count(mask, weight, levels, spread=value * (1.0 - value))
    low, high = clopper_pearson(value * total, total, level=level)
    return _estimate(value, low, high)


def rate(
    passed: ArrayLike,
    *,
    weights: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
    heaviest: float | None = None,
) -> Estimate:
    """The trigger rate: the sum of the weights, in kHz, of the background events that pass.

    The mid-P gamma interval (Fay, Kim): of a scaled Poisson count with the effective count (sum w)^2 / sum w^2 of what
    passes (Bohm, Zech; weights of a group are added first) on the lower side, and with one more event, ``heaviest``, on
    the upper. With equal weights it is the mid-P interval of a Poisson mean, a little narrower than Garwood's, whose
    coverage with few events is well above its level. Where nothing passes, ``low`` is 0 and ``high`` is Garwood's limit
    for no event of the weight ``heaviest``.

    Parameters
    ----------
    passed, groups, level
        As in ``efficiency``.
    weights : shape (n_events,)
        In kHz.
    heaviest : float, optional
        Weight of the heaviest group that may pass in another sample, as ``fpgaml.passing`` finds it near a threshold;
        if not given, of the heaviest that passes, or of all where nothing does.

    Raises
    ------
    DataError
        As ``efficiency``.
    """
    mask, weight, levels = _checked(passed, weights, groups)
    value, one = float(weight[mask].sum()), _heaviest(mask, weight, levels[0]) if heaviest is None else heaviest
    if value == 0.0:
        return Estimate(0.0, 0.0, -math.log(_tail(level)) * one)
    residual = weight * (mask - _mean(mask, weight))
    shared = sum(shared_variance(residual, coarser, finer) for finer, coarser in pairwise(levels))
    scale = float(((np.bincount(levels[0], weight * mask) ** 2).sum() + shared) / value)  # weight of an effective event
    wider = (value * scale + one**2) / (value + one)
    low, high = _mid_p(_gamma(value / scale, scale), _gamma((value + one) / wider, wider), level)
    return _estimate(value, low, high)


def background_efficiency(
    passed: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
    heaviest: float | None = None,
) -> Estimate:
    """The (weighted) fraction of background that passes, where few do and others, heavier, might.

    The binomial twin of ``rate``, with arguments and errors as there: mid-P Clopper-Pearson on the effective count
    (Korn, Graubard), with one more event, ``heaviest``, that passes in its upper end. Where nothing or everything
    passes, the interval is one-sided, and the exact one.
    """
    mask, weight, levels = _checked(passed, weights, groups)
    value, total = _mean(mask, weight), float(weight.sum())
    accepted, one = float(weight[mask].sum()), _heaviest(mask, weight, levels[0]) if heaviest is None else heaviest
    if value == 0.0:
        return Estimate(0.0, 0.0, 1.0 - _tail(level) ** (one / total))
    count = _effective_count(mask, weight, levels, spread=value * (1.0 - value))
    if value == 1.0:
        return Estimate(1.0, _tail(level) ** (1.0 / count), 1.0)
    scale, lost = total / count, total - accepted
    wider = (accepted * scale + one**2) / (accepted + one)
    lower, upper = _beta(accepted / scale, lost / scale + 1.0), _beta((accepted + one) / wider, lost / wider)
    low, high = _mid_p(lower, upper, level)
    return _estimate(value, low, high)


def background_rejection(
    passed: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
    heaviest: float | None = None,
) -> Estimate:
    """1 / background efficiency: ``rejection`` of ``background_efficiency``, whose arguments it takes."""
    return rejection(
        background_efficiency(passed, weights=weights, groups=groups, level=level, heaviest=heaviest), total=1.0
    )


def rejection(accepted: Estimate, *, total: float) -> Estimate:
    """Background rejection, ``total`` over what is accepted, with the image of its interval: one number, one interval.

    Parameters
    ----------
    accepted : Estimate
        A rate, or a background efficiency.
    total : float
        The rate of all background, or 1.

    Returns
    -------
    Estimate
        Where no background passes there is no value and no upper end: both are NaN, never infinity, and ``low`` is a
        one-sided lower limit at confidence (1 + level) / 2.
    """
    value, high = (total / number if number > 0 else math.nan for number in (accepted.value, accepted.low))
    return Estimate(value, total / accepted.high, high)


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

    mask_a, weight, levels = _checked(passed_a, weights, groups)
    mask_b, _, _ = _checked(passed_b, weights, groups)
    if len(mask_a) != len(mask_b):
        raise DataError(f"paired difference: {len(mask_a)} events in one selection, {len(mask_b)} in the other")
    only_a, only_b = _mean(mask_a & ~mask_b, weight), _mean(mask_b & ~mask_a, weight)
    value = only_a - only_b
    step = mask_a.astype(np.float64) - mask_b
    total = _effective_count(step, weight, levels, spread=only_a + only_b - value**2)
    share_a, share_b = (only_a * total + 1.0) / (total + 2.0), (only_b * total + 1.0) / (total + 2.0)
    centre = share_a - share_b
    half = stats.norm.isf(_tail(level)) * math.sqrt((share_a + share_b - centre**2) / (total + 2.0))
    return Estimate(value, max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half)))


def _tail(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    return (1.0 - level) / 2.0


class _Law(NamedTuple):
    """A distribution: its distribution function and the inverse of it."""

    cdf: Callable[[float], float]
    ppf: Callable[[float], float]


def _gamma(shape: float, scale: float) -> _Law:
    from scipy import special

    return _Law(lambda x: special.gammainc(shape, x / scale), lambda chance: special.gammaincinv(shape, chance) * scale)


def _beta(passed: float, lost: float) -> _Law:
    from scipy import special

    return _Law(
        lambda x: special.betainc(passed, lost, min(x, 1.0)), lambda chance: special.betaincinv(passed, lost, chance)
    )


def _mid_p(lower: _Law, upper: _Law, level: float) -> tuple[float, float]:
    """Quantiles of the even mixture of two laws, whose own quantiles are the conservative ends (Fay, Kim)."""
    from scipy import optimize

    def quantile(chance: float) -> float:
        both = float(lower.ppf(chance)), float(upper.ppf(chance))
        # the mixture's lies between theirs, but for rounding
        ends = min(both) * (1.0 - 1e-9), max(both) * (1.0 + 1e-9)
        return float(optimize.brentq(lambda x: (lower.cdf(x) + upper.cdf(x)) / 2 - chance, *ends, rtol=1e-12))

    return quantile(_tail(level)), quantile(1.0 - _tail(level))


def _heaviest(mask: NDArray[np.bool_], weight: NDArray[np.float64], groups: Groups) -> float:
    """Weight of the heaviest group that passes, or of all where nothing does."""
    return float(np.bincount(groups, weight * mask if (weight * mask).any() else weight).max())


def _estimate(value: float, low: Any, high: Any) -> Estimate:
    """Rounding must not push an end past the value."""
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def _checked(
    passed: ArrayLike, weights: ArrayLike | None, groups: ArrayLike | None
) -> tuple[NDArray[np.bool_], NDArray[np.float64], list[Groups]]:
    """Mask, weights and, for each level, group numbers 0..n_groups-1, each of shape (n_events,)."""
    mask = np.asarray(passed)
    if mask.ndim != 1 or mask.dtype != np.bool_:
        raise DataError(f"passed must be a bool array of shape (n_events,), not {mask.dtype} of shape {mask.shape}")
    if not len(mask):
        raise DataError("an efficiency or rate of no events is not defined")
    weight = np.ones(len(mask)) if weights is None else np.asarray(weights, np.float64)
    levels = numbered(groups, len(mask))
    for name, column in (("weights", weight), *(("groups", numbers) for numbers in levels)):
        if column.shape != mask.shape:
            raise DataError(f"{name} have shape {column.shape}, the events {mask.shape}")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise DataError("weights must be finite, not negative, and not all zero")
    return mask, weight, levels


def _mean(values: NDArray[Any], weight: NDArray[np.float64]) -> float:
    return float((values * weight).sum() / weight.sum())


def _effective_count(
    values: NDArray[Any], weight: NDArray[np.float64], levels: Sequence[Groups], *, spread: float
) -> float:
    """Number of independent, equal events whose mean of ``values`` would vary as the weighted one does.

    ``spread`` is the variance of ``values`` for one event. Groups can lower the count, never raise it: a negative
    correlation within them is as likely to be a fluctuation.
    """
    residual = weight * (values - _mean(values, weight))
    sums, weights = np.bincount(levels[0], residual), np.bincount(levels[0], weight)
    variance = float((residual**2).sum())
    if 1 < len(sums) < len(residual):
        variance = max(variance, float((sums**2).sum()) * len(sums) / (len(sums) - 1))
    if len(sums) == 1 or spread <= 0.0 or variance <= 0.0:
        return float(weights.sum() ** 2 / (weights**2).sum())
    variance += sum(shared_variance(residual, coarser, finer) for finer, coarser in pairwise(levels))
    return spread * float(weight.sum()) ** 2 / variance
