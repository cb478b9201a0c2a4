"""Whether differences are there: at one level, corrected for their number, and how small a one would have been seen.

A difference is there where its interval leaves out zero. Among many true zeros that happens to one or another by
chance, so the level of each interval is raised as Holm's method wants it (Scand. J. Stat. 6 (1979) 65): however many
differences are looked at together, the chance of any false verdict among them is at most 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

from fpgaml.intervals import Estimate

LEVEL_APART = 0.95
"""Confidence level of all verdicts."""

POWER = 0.8
"""Chance with which the smallest visible difference would have been seen."""

Key = TypeVar("Key", bound=Hashable)


def corrected(level: float, n: int) -> float:
    """Level for each of ``n`` verdicts, at which the chance of any false one is that of one at ``level`` (Bonferroni).

    >>> round(corrected(0.95, 5), 6)
    0.99
    """
    return 1.0 - (1.0 - level) / n


def told_apart(intervals: Mapping[Key, Callable[[float], Estimate]], *, level: float = LEVEL_APART) -> frozenset[Key]:
    """Those differences that are not zero, by Holm's method.

    Parameters
    ----------
    intervals : mapping of anything to function
        Gives the interval of a difference at any confidence level.
    level : float
        Of the verdicts together.
    """
    left, found = dict(intervals), set[Key]()
    while left:
        each = corrected(level, len(left))
        seen = {key for key, interval in left.items() if interval(each).leaves_out(0.0)}
        if not seen:
            break
        found |= seen
        left = {key: interval for key, interval in left.items() if key not in seen}
    return frozenset(found)


def unbiased(deviation: float, n: int) -> float:
    """A standard deviation of ``n`` normal values (with n - 1) over c4, without which few make it too small on average.

    >>> round(unbiased(1.0, 2), 4), round(unbiased(1.0, 3), 4)
    (1.2533, 1.1284)
    """
    return deviation * math.sqrt((n - 1) / 2) * math.gamma((n - 1) / 2) / math.gamma(n / 2)


def smallest_visible(arm: float, *, level: float, seeds: float = 0.0, n_seeds: int = 1) -> float:
    """True difference that would be told apart in 80 % of samples as large as this one.

    Parameters
    ----------
    arm : float
        Half the width at ``level`` of what events contribute to the interval, taken as normal.
    level : float
        Confidence level of the verdict.
    seeds : float
        Standard error of the mean over seeds, s / sqrt(n), which Student's t multiplies.
    n_seeds : int
        What it is known from.

    Returns
    -------
    float
        What events and seeds would each need alone, added in quadrature.
    """
    from scipy import stats

    chance = (1.0 + level) / 2
    of_events = arm * (1.0 + stats.norm.ppf(POWER) / stats.norm.ppf(chance))
    return float(math.hypot(of_events, seeds * _visible_by_t_test(chance, n_seeds - 1) if n_seeds > 1 else 0.0))


def _visible_by_t_test(chance: float, freedom: int) -> float:
    """True mean over its true standard error that exceeds Student's one-sided limit with the wanted power."""
    from scipy import optimize, stats

    limit = float(stats.t.ppf(chance, freedom))
    # the estimated over the true standard error, as evenly likely values
    estimated = np.sqrt(stats.chi2.ppf((np.arange(2_000) + 0.5) / 2_000, freedom) / freedom)

    def excess(mean: float) -> float:
        return float(stats.norm.cdf(mean - limit * estimated).mean()) - POWER

    return float(optimize.brentq(excess, 0.0, limit * estimated[-1] + 10.0))
