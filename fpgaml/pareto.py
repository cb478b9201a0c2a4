"""What is worth its cost: the points that no other point beats, and how much they cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.errors import DataError

Floats = NDArray[np.float64]


def pareto_front(values: ArrayLike, costs: ArrayLike) -> NDArray[np.intp]:
    """Positions of the points for which no other is better in one respect and at least as good in the other.

    Parameters
    ----------
    values : shape (n_points,)
        Higher is better.
    costs : shape (n_points,)
        Lower is better.

    Returns
    -------
    shape (n_front,)
        From the cheapest to the dearest. Points that are equal in both are all on the front or all off it, in the order
        in which they came.

    Raises
    ------
    DataError
        Shapes that do not fit, or numbers that are not finite.
    """
    value, cost = _points(values, costs)
    # Sorted by cost, the best value first among equal costs: a point is on the front if it tops all before it.
    distinct, position = np.unique(np.stack([cost, -value], axis=1), axis=0, return_inverse=True)
    rising = -distinct[:, 1]
    before = np.maximum.accumulate(np.concatenate([[-np.inf], rising]))[:-1]
    front = np.flatnonzero((rising > before)[position.reshape(-1)])
    return front[np.argsort(cost[front], kind="stable")]


def front_order(values: ArrayLike, costs: ArrayLike) -> NDArray[np.intp]:
    """Positions of all points, those first that serve the front: front after front, spread out within each.

    The first is the best value; each next one of a front is the one farthest from those that were taken of it, in value
    and logarithm of cost + 1, both over their ranges (as MO-ASHA promotes: Schmucker et al., "Multi-objective
    Asynchronous Successive Halving", arXiv:2106.12639, by non-dominated sorting and an epsilon-net).

    Parameters
    ----------
    values, costs
        As for ``pareto_front``; costs are not negative.

    Returns
    -------
    shape (n_points,)

    Raises
    ------
    DataError
        As for ``pareto_front``, or a negative cost.

    >>> front_order([0.1, 0.5, 0.4, 0.2], [10, 1000, 200, 2000])
    array([1, 0, 2, 3])
    """
    value, cost = _points(values, costs)
    if (cost < 0).any():
        raise DataError(f"costs should not be negative, found {cost.min()}")
    place = np.stack([value, np.log1p(cost)], axis=1)  # a count of DSPs may be 0
    if len(place):
        ranges = np.ptp(place, axis=0)
        place = (place - place.min(axis=0)) / np.where(ranges > 0, ranges, 1.0)
    order: list[np.intp] = []
    left = np.arange(len(value))
    while len(left):
        front = left[pareto_front(value[left], cost[left])]
        left = np.setdiff1d(left, front)
        farthest = front[np.argmax(value[front])]
        distance = np.full(len(front), np.inf)
        for _ in front:
            order.append(farthest)
            distance = np.minimum(distance, np.linalg.norm(place[front] - place[farthest], axis=1))
            distance[front == farthest] = -np.inf
            farthest = front[np.argmax(distance)]
    return np.array(order, dtype=np.intp)


def hypervolume(values: ArrayLike, costs: ArrayLike, reference: tuple[float, float]) -> float:
    """Area of all (value, cost) that a point reaches or beats and that are no worse than the reference.

    In two dimensions it is a sum of rectangles, one per point of the front, without approximation (Zitzler, Thiele,
    IEEE Trans. Evol. Comput. 3 (1999) 257).

    Parameters
    ----------
    values, costs
        As for ``pareto_front``; need not be on the front.
    reference : (value, cost)
        The worst that still counts: points of less value or more cost add nothing. Areas compare only where their
        references are the same.

    Returns
    -------
    float
        In units of value times cost; 0 where no point beats the reference.

    Raises
    ------
    DataError
        As for ``pareto_front``, or a reference that is not finite.
    """
    value, cost = _points(values, costs)
    lowest, highest = (float(number) for number in reference)
    if not np.isfinite([lowest, highest]).all():
        raise DataError(f"the reference of a hypervolume should be a finite (value, cost), found {reference}")
    front = pareto_front(value, cost)
    counted = front[(value[front] > lowest) & (cost[front] < highest)]
    heights = np.diff(value[counted], prepend=lowest)  # what each point adds above all cheaper ones
    return float(np.sum(heights * (highest - cost[counted])))


def _points(values: ArrayLike, costs: ArrayLike) -> tuple[Floats, Floats]:
    value, cost = (np.asarray(numbers, dtype=np.float64) for numbers in (values, costs))
    if value.ndim != 1 or value.shape != cost.shape:
        raise DataError(f"values and costs should be as many numbers each, found shapes {value.shape} and {cost.shape}")
    if not (np.isfinite(value).all() and np.isfinite(cost).all()):
        raise DataError("values and costs should be finite: leave out the points that have not been measured")
    return value, cost
