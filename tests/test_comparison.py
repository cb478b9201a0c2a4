"""Networks compared over several seeds: against the evaluation of single trainings, and against known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fpgaml.comparison import compare, validation_efficiency
from fpgaml.errors import DataError
from fpgaml.evaluation import evaluate
from fpgaml.events import Events, Scores
from fpgaml.metrics import Estimate, Target
from fpgaml.verdicts import smallest_visible, told_apart

TARGET = Target("background_efficiency", 0.1)


def sample(generator, means, *, n=400, weighted=False):
    """Events in two normal clouds, and for each mean of the signal the scores of a training that sees it there."""
    y = np.tile(np.repeat([1, 0], n), 2)
    split = np.repeat(np.array([1, 2], np.int8), 2 * n)
    weights = np.where(y == 1, generator.uniform(0.5, 1.5, len(y)), generator.exponential(1.0, len(y)))
    groups = generator.integers(0, n, len(y)) + 10 * n * split.astype(np.int64) + 5 * n * y
    events = Events(y=y, split=split, **({"weights": weights, "groups": groups} if weighted else {}))
    shared = generator.normal(size=len(y))
    scores = []
    for mean in means:
        found = shared + y * mean + generator.normal(0, 0.05, len(y))
        scores.append(Scores(validation=found[split == 1], test=found[split == 2]))
    return events, scores


@pytest.mark.parametrize("weighted", [False, True])
def test_one_seed_is_judged_as_a_single_training_is(weighted):
    events, (first, second) = sample(np.random.default_rng(1), [1.5, 1.8], weighted=weighted)
    level = 0.6827
    compared = compare(
        events, {"a": [first], "b": [second]}, TARGET, pairs=[("a", "b")], level_apart=level, replicas=100, seed=4
    )
    judged = evaluate(events, {"qkeras": first, "float": second}, [TARGET], replicas=100, seed=4)
    for name, model in (("a", "qkeras"), ("b", "float")):
        assert math.isnan(compared.means[name].spread)
        assert compared.means[name].to_json()["spread"] is None
        expected = judged.performance(model).signal_efficiency
        assert vars(compared.means[name].signal_efficiency) == pytest.approx(vars(expected), rel=1e-12)
    (difference,) = judged.differences
    found = compared.differences["a", "b"].signal_efficiency
    assert vars(found) == pytest.approx(vars(difference.signal_efficiency), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_training_that_is_counted_three_times_is_known_no_better(weighted):
    events, (first, second) = sample(np.random.default_rng(2), [1.5, 1.8], weighted=weighted)
    once, thrice = (
        compare(events, {"a": [first] * n, "b": [second] * n}, TARGET, pairs=[("a", "b")], replicas=50) for n in (1, 3)
    )
    for name in "ab":
        one, three = (found.means[name].signal_efficiency for found in (once, thrice))
        assert thrice.means[name].spread == pytest.approx(0, abs=1e-15)
        assert vars(three) == pytest.approx(vars(one), abs=1e-3)
    one, three = (found.differences["a", "b"].signal_efficiency for found in (once, thrice))
    assert vars(three) == pytest.approx(vars(one), abs=2e-3)


def test_seeds_widen_the_interval_by_students_t():
    events, scores = sample(np.random.default_rng(3), [1.0, 1.5, 2.0], n=2_000)
    found = compare(events, {"a": scores}, TARGET, replicas=50).means["a"]
    values = np.array(found.per_seed)
    assert found.signal_efficiency.value == pytest.approx(values.mean())
    assert found.spread == pytest.approx(values.std(ddof=1))
    low, high = stats.t.interval(0.6827, 2, values.mean(), values.std(ddof=1) / math.sqrt(3))
    assert found.signal_efficiency.low < low < high < found.signal_efficiency.high
    assert found.signal_efficiency.high - high < 0.01  # with so many events, seeds are nearly everything


def test_intervals_cover_the_mean_over_all_seeds():
    generator = np.random.default_rng(5)
    threshold = stats.norm.isf(0.1, scale=math.hypot(1, 0.05))
    truth = np.mean(stats.norm.sf(threshold, loc=generator.normal(1.5, 0.1, 100_000), scale=math.hypot(1, 0.05)))
    covered = apart = 0
    for _ in range(200):
        events, scores = sample(generator, generator.normal(1.5, 0.1, 6))
        networks = {"a": scores[:3], "b": scores[3:]}
        found = compare(events, networks, TARGET, pairs=[("a", "b")], replicas=40)
        covered += found.means["a"].signal_efficiency.low <= truth <= found.means["a"].signal_efficiency.high
        apart += found.differences["a", "b"].told_apart  # though both are the same network
    assert 0.62 < covered / 200 < 0.80
    assert apart / 200 < 0.08


def test_networks_are_told_apart_where_zero_is_left_out():
    def interval(low, high):
        return lambda level: Estimate((low + high) / 2, low, high)

    intervals = {"above": (0.1, 0.2), "below": (-0.2, -0.1), "around": (-0.1, 0.1), "at the end": (0.0, 0.1)}
    assert told_apart({name: interval(*ends) for name, ends in intervals.items()}) == {"above", "below"}
    assert told_apart({}) == frozenset()


def test_verdicts_are_holms():
    """Against Holm's rule on p values: the smallest against 0.05 / n, the next against 0.05 / (n - 1), and so on."""

    def interval(z):
        return lambda level: Estimate(z, z - stats.norm.ppf((1 + level) / 2), z + stats.norm.ppf((1 + level) / 2))

    generator = np.random.default_rng(3)
    for _ in range(200):
        z = generator.normal(0, 2, 6)
        p = 2 * stats.norm.sf(np.abs(z))
        order, expected = np.argsort(p), set()
        for place, number in enumerate(order):
            if p[number] > 0.05 / (6 - place):
                break
            expected.add(number)
        assert told_apart({number: interval(value) for number, value in enumerate(z)}) == expected


def test_the_smallest_visible_difference_is_seen_in_four_of_five_samples():
    generator = np.random.default_rng(4)
    for n_seeds, level in ((1, 0.95), (2, 0.95), (3, 0.99), (5, 0.95)):
        smallest = smallest_visible(stats.norm.ppf((1 + level) / 2), level=level)
        seeds = smallest_visible(0.0, level=level, seeds=1 / math.sqrt(n_seeds), n_seeds=n_seeds)
        seen = np.abs(generator.normal(smallest, 1, 20_000)) > stats.norm.ppf((1 + level) / 2)
        assert seen.mean() == pytest.approx(0.8, abs=0.01)
        if n_seeds > 1:
            drawn = generator.normal(seeds, 1, (20_000, n_seeds))
            arms = stats.t.ppf((1 + level) / 2, n_seeds - 1) * drawn.std(axis=1, ddof=1) / math.sqrt(n_seeds)
            assert np.mean(np.abs(drawn.mean(axis=1)) > arms) == pytest.approx(0.8, abs=0.01)
    both = smallest_visible(3.0, level=0.95, seeds=0.4, n_seeds=3)
    apart = smallest_visible(3.0, level=0.95), smallest_visible(0.0, level=0.95, seeds=0.4, n_seeds=3)
    assert both == pytest.approx(math.hypot(*apart))


def test_one_seed_allows_no_verdict():
    events, (first, second) = sample(np.random.default_rng(8), [0.5, 3.0])
    found = compare(events, {"a": [first], "b": [second]}, TARGET, pairs=[("a", "b")], replicas=50)
    difference = found.differences["a", "b"]
    assert difference.signal_efficiency.leaves_out(0.0)
    assert (difference.told_apart, difference.smallest_visible) == (None, None)
    two = compare(events, {"a": [first] * 2, "b": [second] * 2}, TARGET, pairs=[("a", "b")], replicas=50)
    assert two.differences["a", "b"].told_apart is True
    assert 0 < two.differences["a", "b"].smallest_visible < -difference.signal_efficiency.value
    entry = two.differences["a", "b"].to_json()
    assert entry["told_apart"] is True
    assert entry["smallest_visible"] == two.differences["a", "b"].smallest_visible


def test_of_test_and_threshold_only_what_seeds_share_is_added_to_their_spread():
    """Seeds that see different noise: their spread holds it already; the pooled events would count it again."""
    generator = np.random.default_rng(9)
    n = 2_000
    y, split = np.tile(np.repeat([1, 0], n), 2), np.repeat(np.array([1, 2], np.int8), 2 * n)
    events = Events(y=y, split=split)
    shared = generator.normal(size=len(y))
    for part, common in ((0.0, False), (1.0, True)):
        noise = [math.sqrt(1 - part) * generator.normal(size=len(y)) for _ in range(4)]
        found = [math.sqrt(part) * shared + one + 1.5 * y for one in noise]
        scores = [Scores(validation=one[split == 1], test=one[split == 2]) for one in found]
        mean = compare(events, {"a": scores}, TARGET, replicas=100).means["a"]
        seeds = stats.t.ppf((1 + 0.6827) / 2, 3) * mean.spread / 2
        one = compare(events, {"a": scores[:1]}, TARGET, replicas=100).means["a"].signal_efficiency
        half = mean.signal_efficiency.half_width
        if common:
            assert half == pytest.approx(one.half_width, rel=0.02)
        else:
            assert half == pytest.approx(seeds, rel=0.15)
            assert half < math.hypot(seeds, one.half_width / 2) * 0.95


def test_test_events_do_not_choose():
    events, (scores,) = sample(np.random.default_rng(6), [1.5], weighted=True)
    other = Scores(validation=scores.validation, test=scores.test[::-1].copy())
    assert validation_efficiency(events, scores, TARGET) == validation_efficiency(events, other, TARGET)
    signal, weights = events.y[events.split == 1] == 1, events.weights[events.split == 1]
    background = np.sort(scores.validation[~signal])[::-1]
    order = np.argsort(-scores.validation[~signal])
    allowed = np.cumsum(weights[~signal][order]) <= 0.1 * weights[~signal].sum()
    passed = scores.validation[signal] >= background[allowed][-1]
    expected = weights[signal][passed].sum() / weights[signal].sum()
    assert validation_efficiency(events, scores, TARGET) == pytest.approx(expected)


def test_what_cannot_be_compared_is_named():
    events, (first, second) = sample(np.random.default_rng(7), [1.5, 1.8])
    with pytest.raises(DataError, match="the same seeds, at least one"):
        compare(events, {"a": [first], "b": [first, second]}, TARGET)
    with pytest.raises(DataError, match="needs 800 scores of validation events"):
        compare(events, {"a": [Scores(test=first.test)]}, TARGET)
