"""Events that are not independent: what they share, and what that adds to a variance.

Events may share something at several levels. Crossings may have the same hard collision, of which there are many with a
few crossings each; and all that have one also draw the rest of their collisions from one part of the pools, of which
there are few with thousands of crossings each. ``groups`` then has a column for each level, and each group lies within
one of the next column. The first level is the one that bootstraps draw by; every further one adds what its groups' sums
vary more than those of the level before would if these were independent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]
"""Whole numbers, shape (n_events,) or (n_events, n_levels): events with the same number in a column are dependent."""


def numbered(groups: ArrayLike | None, n_events: int) -> list[Groups]:
    """Group numbers from 0 for each level, shape (n_events,) each; without groups, one level of events alone."""
    if groups is None:
        return [np.arange(n_events)]
    columns = np.asarray(groups)
    columns = columns[:, None] if columns.ndim == 1 else columns
    return [np.unique(column, return_inverse=True)[1] for column in columns.T]


def sums_of_groups(values: Floats, numbers: Groups) -> Floats:
    """Values of shape (n_events,) summed by group, minus their mean where there are several; shape (n_groups,).

    Scaled by sqrt(n / (n - 1)), so that the sum of their squares is an unbiased variance of the sum of all values.
    """
    sums = np.bincount(numbers, values)
    n = len(sums)
    return (sums - sums.mean()) * np.sqrt(n / (n - 1)) if n > 1 else np.zeros(1)


def shared_variance(values: Floats, numbers: Groups, finer: Groups) -> float:
    """What a level adds to the variance of the sum of ``values``; zero where it has but one group.

    Parameters
    ----------
    values : float64, shape (n_events,)
        Contribution of each event, with mean 0 over all of them.
    numbers, finer : shape (n_events,)
        Group numbers from 0 of the level, and of the level before.
    """
    if numbers.max() < 1:
        return 0.0
    return max(0.0, float((sums_of_groups(values, numbers) ** 2).sum() - (np.bincount(finer, values) ** 2).sum()))
