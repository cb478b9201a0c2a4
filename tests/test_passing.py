"""What passes a threshold, against plain counting; the reserve and the heaviest event near it, against their rules."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fpgaml.errors import DataError
from fpgaml.metrics import choose_working_point
from fpgaml.passing import NEXT, Ranked


def drawn(seed, *, n=400, orders=3.0, members=1):
    generator = np.random.default_rng(seed)
    groups = np.arange(n) // members
    weights = 10.0 ** (orders * generator.random(n // members + 1))[groups]
    return np.round(generator.normal(size=n) + generator.normal(size=groups.max() + 1)[groups], 2), weights, groups


@pytest.mark.parametrize("members", [1, 4])
def test_passing_is_what_plain_counting_finds(members):
    for seed in range(20):
        scores, weights, groups = drawn(seed, members=members)
        ranked, threshold = Ranked(scores, weights=weights, groups=groups), float(np.sort(scores)[-30])
        found, passed = ranked.passing(threshold), scores >= threshold
        sums = [weights[passed & (groups == group)].sum() for group in set(groups[passed])]
        assert found.events == passed.sum()
        assert found.total == pytest.approx(sum(sums))
        assert found.effective == pytest.approx(sum(sums) ** 2 / sum(one**2 for one in sums))
        assert found.largest_share == pytest.approx(max(sums) / sum(sums))
        # the next groups below, as many as pass and at least the fewest, one event after the other
        fewest, most = NEXT
        wanted = min(most, max(fewest, len(set(groups[passed]))))
        order, near, below = list(np.argsort(-scores, kind="stable")), list(np.flatnonzero(passed)), set()
        for event in order[len(near) :]:
            near.append(event)
            below.add(groups[event])
            if len(below) == wanted:
                break
        sums = [weights[[event for event in near if groups[event] == group]].sum() for group in set(groups[near])]
        assert found.heaviest == pytest.approx(max(sums))
        reserve = sum(one**2 for one in sums) / sum(sums) / 2 - weights[near].mean()
        assert ranked.reserve(len(np.flatnonzero(passed))) == pytest.approx(max(0.0, reserve))


def test_equal_events_are_as_effective_as_many_and_need_no_reserve():
    scores = np.arange(100.0)
    for ranked in (Ranked(scores), Ranked(scores, weights=np.full(100, 0.2)), Ranked(scores, groups=np.arange(100))):
        found = ranked.passing(60.0)
        assert (found.events, found.effective) == (40, pytest.approx(40))
        assert found.largest_share == pytest.approx(1 / 40)
        assert found.effective_with_one_more == pytest.approx(41)
        assert not found.is_thin
        assert ranked.reserve(40) == 0.0
        assert ranked.passing(91.0).is_thin


def test_a_heavy_event_below_the_threshold_makes_a_working_point_thin():
    scores, weights = -np.arange(200.0), np.ones(200)
    assert not Ranked(scores, weights=weights).passing(-99.0).is_thin
    weights[104] = 60.0
    found = Ranked(scores, weights=weights).passing(-99.0)
    assert (found.effective, found.heaviest) == (pytest.approx(100), 60.0)
    assert found.effective_with_one_more == pytest.approx(160**2 / (100 + 3600))
    assert found.is_thin
    weights = np.ones(400)
    weights[215] = 60.0  # too far below
    assert not Ranked(-np.arange(400.0), weights=weights).passing(-99.0).is_thin


def test_where_nothing_passes_there_is_still_a_heaviest():
    weights = np.linspace(1.0, 3.0, 50)
    found = Ranked(-np.arange(50.0), weights=weights).passing(5.0)
    assert (found.events, found.effective, found.heaviest) == (0, 0.0, weights[NEXT[0] - 1])
    assert math.isnan(found.largest_share)
    assert found.is_thin
    assert found.to_json()["largest_share"] is None


def test_a_working_point_leaves_the_reserve_free():
    for seed in range(20):
        scores, weights, groups = drawn(seed, members=1 + seed % 3)
        order = np.argsort(-scores, kind="stable")
        sums, target = np.cumsum(weights[order]), 0.08 * weights.sum()
        ties = np.diff(scores[order], append=-np.inf) != 0  # only where a level ends
        allowed = np.flatnonzero((sums <= target) & ties)
        reserve = Ranked(scores, weights=weights, groups=groups).reserve(allowed[-1] + 1 if len(allowed) else 0)
        columns = {"weights": weights, "groups": groups}
        found = choose_working_point(scores, kind="rate_khz", target=target, **columns)
        allowed = np.flatnonzero((sums <= target - reserve) & ties)
        assert found.achieved == pytest.approx(sums[allowed[-1]] if len(allowed) else 0.0)
        assert found.achieved <= target - reserve * (1 - 1e-9)
        relative = choose_working_point(scores, kind="background_efficiency", target=0.08, **columns)
        assert relative.threshold == found.threshold
    with pytest.raises(DataError, match="groups have shape"):
        choose_working_point(scores, kind="rate_khz", target=target, weights=weights, groups=groups[:-1])
