"""Intervals against published numbers, scipy and simulation; working points and curves against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fpgaml.errors import DataError
from fpgaml.intervals import clopper_pearson, garwood
from fpgaml.metrics import (
    LEVEL,
    Target,
    accuracy,
    auc,
    background_efficiency,
    background_rejection,
    choose_working_point,
    efficiency,
    paired_difference,
    rate,
    rate_curve,
    roc_curve,
    turn_on_curve,
)


def first_of(passed: int, total: int) -> np.ndarray:
    return np.arange(total) < passed


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    # 0 of 10 and 10 of 10 in closed form (1 - 0.025^(1/10)); 1 of 10 and 5 of 10: tables of exact 95 % binomial limits
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129)],
)
def test_clopper_pearson_published(passed, total, low, high):
    found = clopper_pearson(passed, total, level=0.95)
    assert np.round(found, 4).tolist() == [low, high]
    exact = stats.binomtest(passed, total).proportion_ci(0.95, method="exact")
    assert np.allclose(found, (exact.low, exact.high), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # one standard deviation, from the tables of Gehrels, Astrophys. J. 303 (1986) 336 (limits at 0.8413)
    [(0, 0.0, 1.841), (1, 0.173, 3.300), (2, 0.708, 4.638), (10, 6.891, 14.27)],
)
def test_garwood_published(count, low, high):
    found = garwood(count, level=0.6826895)
    assert np.allclose(found, (low, high), rtol=5e-4, atol=5e-4)


def test_efficiency_without_weights_is_clopper_pearson():
    for passed, total in [(0, 7), (3, 7), (7, 7), (8, 25_000)]:
        found = efficiency(first_of(passed, total))
        low, high = clopper_pearson(passed, total)
        assert found.value == passed / total
        assert np.allclose((found.low, found.high), (low, high), rtol=1e-9)


def test_equal_weights_and_single_groups_change_nothing():
    passed = first_of(13, 50)
    plain = efficiency(passed)
    for other in (
        efficiency(passed, weights=np.full(50, 0.37)),
        efficiency(passed, groups=np.arange(50)[::-1]),
    ):
        assert np.allclose((plain.value, plain.low, plain.high), (other.value, other.low, other.high), rtol=1e-9)


def test_copies_of_an_event_in_one_group_add_no_knowledge():
    passed = first_of(13, 50)
    plain, copied = efficiency(passed), efficiency(np.repeat(passed, 4), groups=np.repeat(np.arange(50), 4))
    naive = efficiency(np.repeat(passed, 4))
    assert copied.value == plain.value
    # the correction for a finite number of groups, 50 / 49, makes the interval a little wider
    assert 1.0 <= (copied.high - copied.low) / (plain.high - plain.low) < 1.03
    assert (naive.high - naive.low) < 0.55 * (plain.high - plain.low)
    weights = np.full(50, 2.0)
    rates = (
        rate(passed, weights=weights),
        rate(np.repeat(passed, 4), weights=np.full(200, 0.5), groups=np.arange(200) // 4),
    )
    assert rates[0] == rates[1]


def test_one_group_counts_as_one_event():
    found = efficiency(first_of(50, 100), groups=np.zeros(100, int))
    low, high = clopper_pearson(0.5, 1.0)
    assert np.allclose((found.low, found.high), (low, high))


def test_groups_never_narrow_an_interval():
    passed = np.tile([True, False], 50)  # perfectly anticorrelated pairs
    assert efficiency(passed, groups=np.arange(100) // 2) == efficiency(passed)


@pytest.mark.parametrize("weights", [None, np.linspace(1.0, 2.0, 40)])
def test_nothing_passes(weights):
    nothing = np.zeros(40, bool)
    found = efficiency(nothing, weights=weights)
    count = 40 if weights is None else weights.sum() ** 2 / (weights**2).sum()  # Kish
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1.0 - ((1.0 - LEVEL) / 2.0) ** (1.0 / count))
    # of background, the heaviest event might have passed
    heaviest = 40 if weights is None else weights.sum() / weights.max()
    limit = background_efficiency(nothing, weights=weights)
    assert (limit.value, limit.low) == (0.0, 0.0)
    assert limit.high == pytest.approx(1.0 - ((1.0 - LEVEL) / 2.0) ** (1.0 / heaviest))
    rejection = background_rejection(nothing, weights=weights)
    assert math.isnan(rejection.value)
    assert math.isnan(rejection.high)
    assert rejection.low == pytest.approx(1.0 / limit.high)
    assert rejection.to_json() == {"value": None, "low": rejection.low, "high": None}
    assert efficiency(~nothing, weights=weights).high == 1.0


def test_rejection_is_the_inverse():
    passed = first_of(5, 200)
    accepted, rejection = background_efficiency(passed), background_rejection(passed)
    assert rejection.value == 40.0
    assert (rejection.low, rejection.high) == (1 / accepted.high, 1 / accepted.low)


@pytest.mark.parametrize("level", [LEVEL, 0.95])
@pytest.mark.parametrize("count", [1, 9, 400])
def test_rate_of_equal_weights_is_a_scaled_poisson_count_with_half_of_it_in_either_tail(count, level):
    found, tail = rate(first_of(count, 1_000), weights=np.full(1_000, 3.0), level=level), (1 - level) / 2
    assert found.value == 3 * count
    low, high = found.low / 3, found.high / 3
    # Lancaster's mid-P, by its definition
    assert stats.poisson.sf(count, low) + stats.poisson.pmf(count, low) / 2 == pytest.approx(tail)
    assert stats.poisson.cdf(count - 1, high) + stats.poisson.pmf(count, high) / 2 == pytest.approx(tail)
    around = garwood(count, level=level)
    assert around[0] < low < count < high < around[1]
    assert high - low > (1 - 0.6 / math.sqrt(count)) * (around[1] - around[0])


@pytest.mark.parametrize("level", [LEVEL, 0.95])
@pytest.mark.parametrize(("count", "total"), [(1, 20), (9, 100), (50, 100), (99, 100)])
def test_background_efficiency_of_equal_weights_is_mid_p_clopper_pearson(count, total, level):
    found, tail = background_efficiency(first_of(count, total), level=level), (1 - level) / 2
    assert found.value == count / total
    below, above = stats.binom(total, found.low), stats.binom(total, found.high)
    assert below.sf(count) + below.pmf(count) / 2 == pytest.approx(tail)
    assert above.cdf(count - 1) + above.pmf(count) / 2 == pytest.approx(tail)
    weighted = background_efficiency(first_of(count, total), weights=np.full(total, 0.37), level=level)
    assert (weighted.low, weighted.high) == pytest.approx((found.low, found.high))
    everything = background_efficiency(np.ones(total, bool), level=level)
    assert everything.low == pytest.approx(tail ** (1 / total))
    assert (everything.value, everything.high) == (1.0, 1.0)


def test_rate_of_a_rare_selection_is_its_background_efficiency():
    weights = np.random.default_rng(4).exponential(size=20_000)
    passed = np.random.default_rng(5).random(20_000) < 0.002
    rates, shares = rate(passed, weights=weights), background_efficiency(passed, weights=weights)
    total = weights.sum()
    assert vars(rates) == pytest.approx({name: total * value for name, value in vars(shares).items()}, rel=3e-3)


def test_rate_of_weighted_events():
    """The even mixture of a scaled Poisson count of what passes (Bohm, Zech), and of one event more (Fay, Feuer)."""
    weights = np.array([1.0, 2.0, 5.0, 9.0])
    passed = np.array([True, True, True, False])
    for heaviest, one in ((None, 5.0), (9.0, 9.0)):
        found = rate(passed, weights=weights, heaviest=heaviest)
        lower = stats.gamma(64 / 30, scale=30 / 8)
        upper = stats.gamma((8 + one) ** 2 / (30 + one**2), scale=(30 + one**2) / (8 + one))
        for end, chance in ((found.low, (1 - LEVEL) / 2), (found.high, (1 + LEVEL) / 2)):
            assert (lower.cdf(end) + upper.cdf(end)) / 2 == pytest.approx(chance)
    assert rate(np.zeros(4, bool), weights=weights, heaviest=2.0).high == pytest.approx(2 * 1.841, rel=1e-3)


def test_rate_of_nothing():
    nothing = rate(np.zeros(100, bool), weights=np.full(100, 3.0))
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx(3 * 1.841, rel=1e-3)


def coverage(estimates, truth):
    return np.mean([item.low <= truth <= item.high for item in estimates])


@pytest.mark.parametrize(("probability", "total"), [(0.02, 100), (0.3, 50)])
def test_coverage_of_the_efficiency(probability, total):
    # summed over every possible outcome: exact, and at least the level by construction
    counts = np.arange(total + 1)
    covered = [item.low <= probability <= item.high for item in (efficiency(first_of(k, total)) for k in counts)]
    assert LEVEL <= stats.binom.pmf(counts, total, probability)[covered].sum() < 0.85


def test_coverage_with_weights_and_groups():
    rng = np.random.default_rng(20)
    members, kinds = 4, np.repeat([0.1, 1.0, 10.0], 100)
    chance = np.repeat([0.5, 0.1, 0.02], 100)  # light events pass more often, as a hard tail does
    weights, groups = np.repeat(kinds, members), np.repeat(np.arange(300), members)
    truth_rate = members * (kinds * chance).sum()
    truth = truth_rate / weights.sum()
    efficiencies, rates, naive = [], [], []
    for _ in range(400):
        passed = np.repeat(rng.random(300) < chance, members)  # the members of a group share their fate
        efficiencies.append(efficiency(passed, weights=weights, groups=groups))
        naive.append(efficiency(passed, weights=weights))
        rates.append(rate(passed, weights=weights, groups=groups))
    assert 0.64 < coverage(efficiencies, truth) < 0.85
    assert 0.64 < coverage(rates, truth_rate) < 0.85
    assert coverage(naive, truth) < 0.55  # what the groups are for


def test_effective_count_of_a_weighted_tail():
    """The events that pass are light: the interval must know it, and Kish's count of the whole sample does not."""
    rng = np.random.default_rng(5)
    weights = np.concatenate([np.full(5_000, 6.0), np.full(5_000, 0.001)])
    passed = np.concatenate([np.zeros(5_000, bool), rng.random(5_000) < 0.4])
    found = efficiency(passed, weights=weights)
    assert (found.high - found.low) / found.value < 2.5 / math.sqrt(passed.sum())


def test_paired_difference_against_a_bootstrap():
    rng = np.random.default_rng(3)
    total = 2_000
    weights, groups = rng.uniform(0.5, 2.0, 500).repeat(4), np.arange(500).repeat(4)
    difficulty = rng.normal(size=500).repeat(4) + 0.3 * rng.normal(size=total)
    a, b = difficulty + 0.2 * rng.normal(size=total) > 0, difficulty + 0.2 * rng.normal(size=total) > 0.1
    for kwargs, unit in (({}, np.arange(total)), ({"weights": weights, "groups": groups}, groups)):
        w = kwargs.get("weights", np.ones(total))
        found = paired_difference(a, b, **kwargs)
        assert found.value == pytest.approx((w * a).sum() / w.sum() - (w * b).sum() / w.sum())
        top = np.bincount(unit, w * (a.astype(float) - b))
        bottom = np.bincount(unit, w)
        drawn = rng.integers(len(top), size=(4_000, len(top)))
        bootstrap = np.quantile(top[drawn].sum(1) / bottom[drawn].sum(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        assert np.allclose((found.low, found.high), bootstrap, atol=0.12 * (bootstrap[1] - bootstrap[0]))
    separate = efficiency(a)
    assert found.high - found.low < separate.high - separate.low  # what they share cancels


def test_coverage_of_the_paired_difference():
    rng = np.random.default_rng(8)
    estimates = []
    for _ in range(600):
        kind = rng.random(200)
        a, b = kind < 0.53, (kind > 0.03) & (kind < 0.54)  # 3 % only in a, 1 % only in b
        estimates.append(paired_difference(a, b))
    assert 0.64 < coverage(estimates, 0.02) < 0.80


def test_paired_difference_of_equal_selections_is_not_certain():
    passed = first_of(30, 100)
    found = paired_difference(passed, passed)
    assert found.value == 0.0
    assert found.high == -found.low
    assert 0.0 < found.high < 0.03
    everything = paired_difference(np.ones(5, bool), np.zeros(5, bool))
    assert (everything.value, everything.high) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"passed": np.zeros(0, bool)}, "no events"),
        ({"passed": np.ones(3)}, "bool"),
        ({"passed": first_of(1, 3), "weights": np.ones(2)}, "weights have shape"),
        ({"passed": first_of(1, 3), "weights": np.zeros(3)}, "not all zero"),
        ({"passed": first_of(1, 3), "weights": [1.0, -1.0, 1.0]}, "not negative"),
        ({"passed": first_of(1, 3), "weights": [1.0, math.nan, 1.0]}, "finite"),
        ({"passed": first_of(1, 3), "groups": [1]}, "groups have shape"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(DataError, match=message):
        efficiency(**arguments)


def test_level_outside_its_range():
    with pytest.raises(ValueError, match="between 0 and 1"):
        efficiency(first_of(1, 2), level=68.27)


def brute_force(scores, weights, target, *, relative):
    """Every threshold tried, the loosest that is allowed kept."""
    best = (math.inf, 0.0)
    for threshold in scores:
        accepted = weights[scores >= threshold].sum() / (weights.sum() if relative else 1.0)
        if accepted <= target and threshold < best[0]:
            best = (float(threshold), accepted)
    return best


@pytest.mark.parametrize("kind", ["rate_khz", "background_efficiency"])
def test_working_point_against_brute_force(kind):
    rng = np.random.default_rng(1)
    for _ in range(40):
        scores = rng.integers(-8, 8, size=60).astype(np.float32) / 4  # coarse: many ties
        weights = rng.uniform(0.1, 2.0, size=60)
        target = rng.uniform(0.05, 0.9) * (weights.sum() if kind == "rate_khz" else 1.0)
        found = choose_working_point(scores, kind=kind, target=target, weights=weights)
        threshold, achieved = brute_force(scores, weights, target, relative=kind != "rate_khz")
        if math.isinf(threshold):
            assert not (scores >= found.threshold).any()
        else:
            assert found.threshold == threshold
        assert found.achieved == pytest.approx(achieved)
        assert found.achieved <= target


def test_working_point_ties_are_conservative():
    scores = np.array([3.0] * 2 + [2.0] * 5 + [1.0] * 13)
    found = choose_working_point(scores, kind="background_efficiency", target=0.2)  # 4 of 20, but 2.0 would let 7 pass
    assert (found.threshold, found.achieved) == (3.0, 0.1)
    exact = choose_working_point(scores, kind="background_efficiency", target=7 / 20)
    assert (exact.threshold, exact.achieved) == (2.0, 7 / 20)
    assert choose_working_point(scores, kind="background_efficiency", target=1.0).threshold == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32])
def test_working_point_when_the_top_score_is_too_much(dtype):
    scores = np.array([7, 7, 7, 1], dtype)
    found = choose_working_point(scores, kind="background_efficiency", target=0.5)
    assert found.achieved == 0.0
    assert 7.0 < found.threshold < 7.01
    assert not (scores >= found.threshold).any()  # in the scores' own type, too


def test_working_point_that_is_met_but_for_rounding():
    weights = np.full(10, 0.1)  # sums to 0.30000000000000004 after three
    assert choose_working_point(np.arange(10.0), kind="rate_khz", target=0.3, weights=weights).threshold == 7.0


def test_working_point_errors():
    with pytest.raises(DataError, match="rate weights"):
        choose_working_point([1.0], kind="rate_khz", target=10.0)
    with pytest.raises(DataError, match="nan in event 1"):
        choose_working_point([1.0, math.nan], kind="background_efficiency", target=0.1)
    with pytest.raises(DataError, match="n_events"):
        choose_working_point([], kind="background_efficiency", target=0.1)
    for kind, value in (("rate_khz", 0.0), ("background_efficiency", 1.5), ("rate", 1.0)):
        with pytest.raises(ValueError, match=r"target|rate_khz"):
            Target(kind, value)


@pytest.fixture
def scored():
    rng = np.random.default_rng(11)
    y = (rng.random(400) < 0.3).astype(np.int64)
    scores = np.round(rng.normal(size=400) + 1.5 * y, 1).astype(np.float32)
    return scores, y, rng.uniform(0.5, 3.0, size=400)


@pytest.mark.parametrize("weighted", [False, True])
def test_roc_curve_against_brute_force(scored, weighted):
    scores, y, weights = scored
    curve = roc_curve(scores, y, weights=weights if weighted else None)
    w = weights if weighted else np.ones(400)
    assert (np.diff(curve.thresholds) < 0).all()
    assert (curve.signal_efficiency[0], curve.background_efficiency[0]) == (0.0, 0.0)
    for threshold, signal, background in zip(*vars(curve).values(), strict=True):
        for label, found in ((1, signal), (0, background)):
            assert found == pytest.approx(w[(y == label) & (scores >= threshold)].sum() / w[y == label].sum())
    ahead = np.sign(scores[y == 1][:, None].astype(float) - scores[y == 0][None, :]) / 2 + 0.5
    pairs = w[y == 1][:, None] * w[y == 0][None, :]
    assert auc(scores, y, weights=weights if weighted else None) == pytest.approx((ahead * pairs).sum() / pairs.sum())


def test_auc_against_mann_whitney(scored):
    scores, y, _ = scored
    pairs = (y == 1).sum() * (y == 0).sum()
    assert auc(scores, y) == pytest.approx(stats.mannwhitneyu(scores[y == 1], scores[y == 0]).statistic / pairs)


def test_accuracy():
    assert accuracy([-1.0, 0.0, 2.0, -3.0], [0, 1, 0, 1]) == 0.5
    assert accuracy([-1.0, 0.0, 2.0, -3.0], [0, 1, 0, 1], threshold=-3.0) == 0.5
    with pytest.raises(DataError, match="0 or 1"):
        accuracy([1.0, 2.0], [1, 2])
    with pytest.raises(DataError, match="signal and background"):
        roc_curve([1.0, 2.0], [1, 1])


def test_rate_curve_agrees_with_rate_and_efficiency(scored):
    scores, y, weights = scored
    groups = np.arange(400) // 2
    curve = rate_curve(scores, y, weights=weights, groups=groups, n_points=15)
    assert 5 <= len(curve.thresholds) <= 15
    assert (np.diff(curve.rate_khz) > 0).all()
    assert curve.rate_khz[-1] == pytest.approx(weights[y == 0].sum())
    for number, threshold in enumerate(curve.thresholds):
        for label, estimate, columns in (
            (0, rate, (curve.rate_khz, curve.rate_low, curve.rate_high)),
            (1, efficiency, (curve.signal_efficiency, curve.signal_low, curve.signal_high)),
        ):
            chosen = y == label
            found = estimate(scores[chosen] >= threshold, weights=weights[chosen], groups=groups[chosen])
            assert [found.value, found.low, found.high] == [column[number] for column in columns]


def test_turn_on_curve():
    quantity = np.array([0.0, 1.0, 1.0, 2.0, 3.0, 5.0, math.nan])
    passed = np.array([False, True, False, True, True, True, True])
    curve = turn_on_curve(passed, quantity, edges=[0, 1, 2, 3, 4], weights=np.ones(7), groups=np.arange(7))
    assert curve.events.tolist() == [1, 2, 1, 1]
    assert curve.value.tolist() == [0.0, 0.5, 1.0, 1.0]
    pair = efficiency(np.array([True, False]))
    assert np.allclose((curve.low[1], curve.high[1]), (pair.low, pair.high))
    last_closed = turn_on_curve(passed, quantity, edges=[0, 1, 5])
    assert last_closed.events.tolist() == [1, 5]
    empty = turn_on_curve(passed, quantity, edges=[-2, -1, 0])
    assert empty.events.tolist() == [0, 1]
    assert np.isnan([empty.value[0], empty.low[0], empty.high[0]]).all()
    with pytest.raises(DataError, match="rising"):
        turn_on_curve(passed, quantity, edges=[1, 0])
