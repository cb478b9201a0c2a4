"""The front and its hypervolume, against the definition spelled out point by point and cell by cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpgaml.errors import DataError
from fpgaml.pareto import front_order, hypervolume, pareto_front

points = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12)


def split(found):
    return [value for value, _ in found], [cost for _, cost in found]


def dominated(point, others):
    value, cost = point
    return any(v >= value and c <= cost and (v, c) != point for v, c in others)


def cells(found, reference):
    """Unit squares of the grid of values and costs that some point covers."""
    lowest, highest = reference
    return sum(
        any(value >= v + 1 and cost <= c for value, cost in found)
        for v, c in itertools.product(range(lowest, 10), range(highest))
    )


@given(points)
def test_the_front_is_what_nothing_dominates(found):
    front = pareto_front(*split(found)).tolist()
    assert sorted(front) == [number for number, point in enumerate(found) if not dominated(point, found)]


@given(points)
def test_the_front_goes_from_cheap_to_dear(found):
    front = pareto_front(*split(found))
    values, costs = (np.array(numbers)[front] for numbers in split(found))
    assert (np.diff(costs) >= 0).all()
    assert (np.diff(values) >= 0).all()


@given(points, st.tuples(st.integers(0, 8), st.integers(0, 8)))
def test_the_hypervolume_is_the_number_of_cells_covered(found, reference):
    assert hypervolume(*split(found), reference) == cells(found, reference)


@given(points, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(found, random):
    shuffled = random.sample(found, len(found))
    assert hypervolume(*split(shuffled), (0, 9)) == hypervolume(*split(found), (0, 9))
    fronts = [[each[number] for number in pareto_front(*split(each))] for each in (found, shuffled)]
    assert fronts[0] == fronts[1]


def test_an_example_by_hand():
    values, costs = [0.9, 0.5, 0.8, 0.4], [30.0, 10.0, 20.0, 12.0]
    assert pareto_front(values, costs).tolist() == [1, 2, 0]
    assert hypervolume(values, costs, (0.0, 40.0)) == pytest.approx(0.5 * 30 + 0.3 * 20 + 0.1 * 10)
    assert hypervolume(values, costs, (0.6, 25.0)) == pytest.approx(0.2 * 5)


def test_the_order_of_promotion_by_hand():
    # The front is 0, 1, 2: 2 has the best value, 0 is farther from it than 1. Only the front beats 3, and 3 beats 4.
    values, costs = [0.1, 0.5, 0.9, 0.4, 0.3], [10.0, 300.0, 1000.0, 400.0, 400.0]
    assert front_order(values, costs).tolist() == [2, 0, 1, 3, 4]
    assert front_order([], []).tolist() == []
    assert front_order([1, 1, 1], [2, 2, 2]).tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="negative"):
        front_order([1], [-1])


@given(points)
def test_the_order_of_promotion_takes_front_after_front(found):
    values, costs = split(found)
    order = front_order(values, costs).tolist()
    assert sorted(order) == list(range(len(found)))
    front = pareto_front(values, costs)
    assert set(order[: len(front)]) == set(front.tolist())


def test_equal_points_stay_together():
    assert pareto_front([1, 2, 1, 2], [1, 3, 1, 3]).tolist() == [0, 2, 1, 3]


def test_no_points():
    assert pareto_front([], []).tolist() == []
    assert hypervolume([], [], (0, 1)) == 0


@pytest.mark.parametrize(
    ("values", "costs", "message"),
    [
        ([1, 2], [1], r"shapes \(2,\) and \(1,\)"),
        ([[1]], [[1]], r"shapes \(1, 1\)"),
        ([np.nan], [1], "not been measured"),
        ([1], [np.inf], "not been measured"),
    ],
)
def test_points_that_are_none(values, costs, message):
    for use in (pareto_front, lambda v, c: hypervolume(v, c, (0, 1))):
        with pytest.raises(DataError, match=message):
            use(values, costs)


def test_a_reference_that_is_none():
    with pytest.raises(DataError, match=r"finite \(value, cost\), found \(0, inf\)"):
        hypervolume([1], [1], (0, np.inf))
