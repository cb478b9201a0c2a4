"""How far a working point would move on another validation sample: a Poisson bootstrap by groups.

Each group of events that are not independent is drawn a Poisson(1) number of times; drawn so, groups need not be drawn
without replacement from a fixed total, and a replica is a reweighting. With few events above a threshold the replicas
know only those few: read the number of events beside the interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fpgaml.intervals import Estimate
from fpgaml.metrics import Target

Floats = NDArray[np.float64]


def replicated_thresholds(
    scores: Mapping[str, Floats],
    targets: Sequence[Target],
    *,
    weights: Floats | None,
    groups: NDArray[np.int64] | None,
    replicas: int,
    seed: int,
) -> dict[str, Floats]:
    """For each model the thresholds that ``choose_working_point`` would set on Poisson replicas of the background.

    The scores are sorted once; a replica is then a sum along them. Shape (n_targets, replicas) for each model.
    """
    n_events = len(next(iter(scores.values())))
    weight = np.ones(n_events) if weights is None else weights
    group = np.arange(n_events) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_groups = int(group.max()) + 1
    descending = {name: np.argsort(-found, kind="stable") for name, found in scores.items()}
    # of equal scores the last one in order stands for all, because they pass together
    ends = {name: np.flatnonzero(np.diff(scores[name][order], append=-np.inf)) for name, order in descending.items()}
    thresholds = {name: np.empty((len(targets), replicas)) for name in scores}
    generator = np.random.default_rng(seed)
    for replica in range(replicas):
        drawn = generator.poisson(1.0, n_groups)[group] * weight
        while not drawn.any():
            drawn = generator.poisson(1.0, n_groups)[group] * weight
        for name, order in descending.items():
            accepted = np.cumsum(drawn[order])[ends[name]]
            levels = scores[name][order[ends[name]]]
            for number, target in enumerate(targets):
                wanted = target.value * (1.0 if target.kind == "rate_khz" else accepted[-1]) * (1.0 + 1e-12)
                last = int(np.searchsorted(accepted, wanted, side="right")) - 1
                if last >= 0 and accepted[last] > 0:  # the lowest accepted score that this replica has
                    thresholds[name][number, replica] = levels[np.searchsorted(accepted, accepted[last])]
                else:  # the highest score that it has is too much
                    top = levels[np.searchsorted(accepted, 0.0, side="right")]
                    thresholds[name][number, replica] = np.nextafter(top, np.inf)
    return thresholds


def replicated_efficiencies(signal_scores: Floats, thresholds: Floats, *, weights: Floats | None) -> Floats:
    """Signal efficiency at each replica's threshold: shape (n_events,) and any shape to the latter."""
    order = np.argsort(signal_scores)
    below = np.concatenate([[0.0], np.cumsum(np.ones(len(signal_scores)) if weights is None else weights[order])])
    efficiencies: Floats = 1.0 - below[np.searchsorted(signal_scores[order], thresholds, side="left")] / below[-1]
    return efficiencies


def widened(plain: Estimate, replicas: Floats, *, lowest: float, level: float) -> Estimate:
    """``plain`` with the spread of the replicas around its value added in quadrature on each side."""
    below, above = np.quantile(replicas, [(1 - level) / 2, (1 + level) / 2]) - plain.value
    low = plain.value - math.hypot(plain.value - plain.low, min(0.0, float(below)))
    high = plain.value + math.hypot(plain.high - plain.value, max(0.0, float(above)))
    return Estimate(plain.value, max(lowest, low), min(1.0, high))
