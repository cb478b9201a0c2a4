"""Events that are not independent: in which ways they share something, and what that adds to a variance.

Events may share something in more than one way. Crossings may have the same hard collision, of which there are many
with a few crossings each; and soft collisions from the same part of a pool, of which there are few with thousands of
crossings each. ``groups`` then has a column for each way. The first is the one that bootstraps draw by; every further
one adds what its groups' sums vary more than those of independent events would (the variance of two-way clusters:
Cameron, Gelbach, Miller, J. Bus. Econ. Stat. 29 (2011) 238, with no negative part).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]
"""Whole numbers, shape (n_events,) or (n_events, n_ways): events with the same number in a column are dependent."""


def numbered(groups: ArrayLike | None, n_events: int) -> list[Groups]:
    """Group numbers from 0 for each way, shape (n_events,) each; without groups, one way in which events are alone."""
    if groups is None:
        return [np.arange(n_events)]
    columns = np.asarray(groups)
    columns = columns[:, None] if columns.ndim == 1 else columns
    return [np.unique(column, return_inverse=True)[1] for column in columns.T]


def first_way(groups: Groups | None) -> Groups | None:
    """The groups by which bootstraps draw, shape (n_events,)."""
    return groups if groups is None or groups.ndim == 1 else groups[:, 0]


def sums_of_groups(values: Floats, numbers: Groups) -> Floats:
    """Values of shape (n_events,) summed by group, minus their mean where there are several; shape (n_groups,).

    Scaled by sqrt(n / (n - 1)), so that the sum of their squares is an unbiased variance of the sum of all values.
    """
    sums = np.bincount(numbers, values)
    n = len(sums)
    return (sums - sums.mean()) * np.sqrt(n / (n - 1)) if n > 1 else np.zeros(1)


def shared_variance(values: Floats, numbers: Groups) -> float:
    """What sharing adds to the variance of the sum of ``values``; zero where groups hold one event each, or one all.

    Parameters
    ----------
    values : float64, shape (n_events,)
        Contribution of each event, with mean 0 over all of them.
    numbers : shape (n_events,)
        Group numbers from 0.
    """
    sums = sums_of_groups(values, numbers)
    if not 1 < len(sums) < len(values):
        return 0.0
    return max(0.0, float((sums**2).sum() - (values**2).sum()))
