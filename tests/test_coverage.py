"""A small, seeded share of ``benchmarks/coverage.py``: enough to see an interval that is too narrow by much."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from fpgaml.comparison import compare
from fpgaml.curves import Background
from fpgaml.evaluation import evaluate
from fpgaml.metrics import Target, choose_working_point

spec = importlib.util.spec_from_file_location(
    "coverage_benchmark", Path(__file__).parents[1] / "benchmarks" / "coverage.py"
)
toys = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = toys
spec.loader.exec_module(toys)

HEAVY = toys.Situation(name="heavy", orders=4.0, n_above=(10.0,))
FEW = toys.Situation(name="few", n_above=(3.0,))


def test_the_true_rate_is_the_requested_one_on_average():
    """Weights over four orders; without a reserve the true rate is 1.11 times the requested one."""
    generator, (target,) = np.random.default_rng(1), HEAVY.targets
    ratios = []
    for _ in range(700):
        events, scores = HEAVY.draw(generator)
        for split, column in ((1, scores["float"].validation), (2, scores["float"].test)):
            background = events.y[events.split == split] == 0
            point = choose_working_point(
                column[background], kind=target.kind, target=target.value, weights=HEAVY.weights
            )
            ratios.append(HEAVY.rate(point.threshold) / target.value)
    error = np.std(ratios) / math.sqrt(len(ratios))
    assert error < 0.025
    assert abs(np.mean(ratios) - 1.0) < 0.065


@pytest.fixture(scope="module")
def heavy():
    generator = np.random.default_rng(2)
    return [one for _ in range(150) for one in judge(HEAVY, generator)]


@pytest.fixture(scope="module")
def few():
    generator = np.random.default_rng(3)
    return [one for _ in range(120) for one in judge(FEW, generator)]


def judge(situation, generator):
    """What is true, and what 95 % intervals of the float twin say of it, in one toy: rows of quantity, truth, ends."""
    events, scores = situation.draw(generator)
    found = evaluate(events, {"float": scores["float"]}, situation.targets, level=0.95, replicas=150)
    (target,), (at,), point = situation.targets, situation.thresholds, found.performance("float")
    total, rate = situation.rate(-math.inf), situation.rate(point.threshold)
    band = toys._at_rate(found.curves["float"], target)
    yield from (
        ("efficiency", situation.efficiency(at, toys.SIGNAL_MEANS["float"]), point.signal_efficiency),
        ("rate", rate, point.achieved),
        ("rejection", total / rate, point.background_rejection),
        ("curve", situation.efficiency(at, toys.SIGNAL_MEANS["float"]), band),
    )


def covered(found, quantity):
    """Share of the printed intervals that hold the truth, and how many were printed."""
    rows = [(truth, one) for name, truth, one in found if name == quantity and not math.isnan(one.low)]
    inside = [one.low <= truth and not truth > one.high for truth, one in rows]
    return np.mean(inside) if rows else math.nan, len(rows)


def test_heavy_events_are_in_the_intervals(heavy):
    """At ten events above the threshold, 2.4 effective ones; scaled Poisson intervals cover in 83 %."""
    for quantity in ("rate", "rejection", "efficiency"):
        share, n = covered(heavy, quantity)
        assert n > 140
        assert 0.895 < share < 0.99, quantity


def test_heavy_events_below_the_threshold_are_in_the_interval_of_the_rate():
    """Heavy events score lower: with the next ten events alone as near ones, 95 % intervals cover in 84 %."""
    falling = toys.Situation(name="falling", orders=4.0, fall=0.5, n_above=(100.0,))
    generator, (target,), inside, ratios = np.random.default_rng(8), falling.targets, [], []
    for _ in range(300):
        events, scores = falling.draw(generator)
        validation, test = (
            column[events.y[events.split == split] == 0]
            for split, column in ((1, scores["float"].validation), (2, scores["float"].test))
        )
        point = choose_working_point(validation, kind=target.kind, target=target.value, weights=falling.weights)
        background = Background(test, kind=target.kind, weights=falling.weights, groups=None, level=0.95)
        found, truth = background.accepted(point.threshold), falling.rate(point.threshold)
        inside.append(found.low <= truth <= found.high)
        ratios.append(truth / target.value)
    assert 0.92 < np.mean(inside) < 0.99
    assert np.mean(ratios) < 1.12


def test_rate_and_rejection_cover_alike(heavy, few):
    for found in (heavy, few):
        assert covered(found, "rate")[0] == covered(found, "rejection")[0]


def test_curves_cover_where_they_have_a_band_and_have_none_where_few_events_pass(few):
    share, n = covered(few, "curve")
    assert n < 60  # three events pass there on average
    assert n == 0 or share > 0.9
    at_six = toys.Situation(name="six", n_above=(6.0,))
    generator = np.random.default_rng(4)
    share, n = covered([one for _ in range(60) for one in judge(at_six, generator)], "curve")
    assert n > 40
    assert share > 0.87
    assert covered(few, "efficiency")[0] > 0.9


def test_false_verdicts_are_rare_however_many_networks_are_compared():
    """Eight copies of one network, 28 pairs: without a correction, one or another differs in a quarter of samples."""
    situation = toys.Situation(name="copies", n_signal=400, n_background=400, n_above=(40.0,))
    generator, networks = np.random.default_rng(5), dict.fromkeys("abcdefgh", 2.0)
    false = 0
    for _ in range(40):
        events, scores = situation.draw_seeds(generator, networks, 3)
        found = compare(events, scores, situation.targets[0], pairs=itertools.combinations(networks, 2), replicas=100)
        false += any(difference.told_apart for difference in found.differences.values())
    assert false <= 5  # 2 are expected at most


def test_a_clear_difference_is_seen():
    situation = toys.Situation(name="two", n_signal=1_000, n_background=1_000, n_above=(100.0,))
    generator, networks = np.random.default_rng(6), {"a": 1.0, "b": 2.0}
    events, scores = situation.draw_seeds(generator, networks, 3)
    found = compare(events, scores, situation.targets[0], pairs=[("a", "b")], replicas=100).differences["a", "b"]
    assert found.told_apart is True
    assert found.smallest_visible < -found.signal_efficiency.value


def test_the_truth_of_toys_is_that_of_large_samples():
    for situation in (HEAVY, toys.Situation(name="falling", orders=3.0, fall=0.5, members=5, n_above=(50.0,))):
        large = toys.Situation(
            name="large",
            n_signal=50_000,
            n_background=300_000,
            n_above=(30_000.0,),
            orders=situation.orders,
            fall=situation.fall,
            members=situation.members,
        )
        events, scores = large.draw(np.random.default_rng(7))
        (at,), (target,) = large.thresholds, large.targets
        assert isinstance(target, Target)
        tested, passed = events.y[events.split == 2], scores["float"].test >= at
        weights = events.weights[events.split == 2]
        assert weights[passed & (tested == 0)].sum() == pytest.approx(target.value, rel=0.03)
        truth = large.efficiency(at, toys.SIGNAL_MEANS["float"])
        assert passed[tested == 1].mean() == pytest.approx(truth, abs=0.015)
