"""What events share, level by level, and what that does to intervals."""

from __future__ import annotations

import numpy as np
import pytest

from fpgaml import metrics
from fpgaml.bootstrap import replicated_efficiencies, replicated_thresholds
from fpgaml.comparison import compare
from fpgaml.dependence import numbered, shared_variance, sums_of_groups
from fpgaml.events import Events, Scores
from fpgaml.metrics import Target

N_PARTS = 20


def test_events_without_groups_are_alone():
    (alone,) = numbered(None, 3)
    assert alone.tolist() == [0, 1, 2]
    first, second = numbered([[7, -1], [7, -1], [3, 5]], 3)
    assert (first.tolist(), second.tolist()) == ([1, 1, 0], [0, 0, 1])


def test_shared_variance_by_hand():
    values = np.array([1.0, 2.0, -3.0, 0.0])
    alone, parts = np.arange(4), np.array([0, 0, 1, 1])
    assert sums_of_groups(values, parts) == pytest.approx([3 * np.sqrt(2), -3 * np.sqrt(2)])
    assert shared_variance(values, parts, alone) == pytest.approx(36.0 - 14.0)
    assert shared_variance(values, np.array([0, 1, 1, 0]), alone) == 0.0  # sums vary less than by chance
    assert shared_variance(values, np.zeros(4, np.int64), alone) == 0.0
    eight, pairs = np.tile(values, 2), np.repeat(np.arange(4), 2)
    assert shared_variance(eight, pairs // 2, pairs) == 0.0  # pairs of pairs share nothing more than pairs do


def shared_events(rng: np.random.Generator, *, spread: float) -> tuple[Events, Scores]:
    """Events whose scores have a number in common with all events of their class, split and part."""
    split = np.repeat([1, 1, 2, 2], [2000, 6000, 2000, 6000])
    y = np.repeat([1, 0, 1, 0], [2000, 6000, 2000, 6000])
    parts = rng.integers(0, N_PARTS, len(y))
    offsets = rng.normal(0.0, spread, (3, N_PARTS))
    scores = rng.normal(2.0 * y, 1.0) + offsets[split, parts]
    events = Events(
        y=y,
        split=split.astype(np.int8),
        weights=np.where(y == 1, 1.0, 1000 / 6000),
        groups=np.stack([np.arange(len(y)), parts], axis=1),
    )
    return events, Scores(validation=scores[split == 1], test=scores[split == 2])


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_intervals_cover_what_parts_have_in_common(spread):
    """Over toys: of the threshold's replicas, of efficiency and of rate; without parts, intervals are too narrow."""
    rng = np.random.default_rng(5)
    target = Target("rate_khz", 20.0)
    n_toys, level = 150, 0.6827
    rate, efficiency, of_threshold, alone = [], [], [], []
    for _ in range(n_toys):
        events, scores = shared_events(rng, spread=spread)
        background, signal = (events.chosen("test", signal=kind) for kind in (False, True))
        for groups, told in ((events.groups, rate), (None, alone)):
            told.append(
                metrics.rate(
                    scores.test[2000:] >= 2.2,
                    weights=events.weights[background],
                    groups=None if groups is None else groups[background],
                    level=level,
                )
            )
        efficiency.append(metrics.efficiency(scores.test[:2000] >= 2.2, groups=events.groups[signal], level=level))
        placed = events.chosen("validation", signal=False)
        columns = {"weights": events.weights[placed], "groups": events.groups[placed]}
        found = replicated_thresholds({"": scores.validation[2000:]}, [target], **columns, replicas=200, seed=1)[""][0]
        of_threshold.append(np.quantile(found, [(1 - level) / 2, (1 + level) / 2]))
    width = np.hypot(1.0, spread)
    from scipy import stats

    def share(intervals, truth):
        return float(np.mean([low <= truth <= high for low, high in intervals]))

    pairs = [(found.low, found.high) for found in rate]
    lonely = [(found.low, found.high) for found in alone]
    truth = 1000 * stats.norm.sf(2.2 / width)
    error = 3.5 * np.sqrt(level * (1 - level) / n_toys)
    assert share(pairs, truth) == pytest.approx(level, abs=error + 0.03)
    assert share([(found.low, found.high) for found in efficiency], stats.norm.sf(0.2 / width)) == pytest.approx(
        level, abs=error + 0.03
    )
    assert share(of_threshold, width * stats.norm.isf(0.02)) == pytest.approx(level, abs=error + 0.03)
    if spread:
        assert share(lonely, truth) < 0.55


def test_two_models_share_what_parts_have_in_common():
    """What moves all models together does not stand in their difference."""
    rng = np.random.default_rng(8)
    events, scores = shared_events(rng, spread=0.5)
    moved = Scores(validation=scores.validation + 0.3, test=scores.test + 0.3)
    found = compare(
        events,
        {"a": [scores, scores], "b": [moved, moved]},
        Target("rate_khz", 20.0),
        pairs=[("a", "b")],
        replicas=50,
    )
    difference = found.differences["a", "b"].signal_efficiency
    mean = found.means["a"].signal_efficiency
    assert difference.value == 0.0
    assert difference.half_width < 0.1 * mean.half_width
    columns = {"weights": events.weights[events.chosen("validation", signal=False)]}
    of_parts = events.groups[events.chosen("validation", signal=False)]
    spreads = []
    for groups in (of_parts, None):
        thresholds = replicated_thresholds(
            {"": scores.validation[2000:]}, [Target("rate_khz", 20.0)], **columns, groups=groups, replicas=300, seed=1
        )[""]
        spreads.append(replicated_efficiencies(scores.test[:2000], thresholds[0], weights=None).std())
    assert spreads[0] > 1.5 * spreads[1]
