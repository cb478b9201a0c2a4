"""How far a working point would move on another validation sample: a Bayesian bootstrap by groups.

Going down in score, the true rate grows between two events that follow each other by an exponential number whose mean
is their weight: this is exact for events that weigh alike, where a number of steps is a gamma distribution, as in
Garwood's interval. So a replica gives every group of events that are not independent one exponential number of mean 1
(Rubin, Ann. Stat. 9 (1981) 130) by which its events' weights are multiplied, and its threshold stands where the sum
meets the target: between two events, because the true one does. Half of the replicas have one event more at the top,
the heaviest that might pass and was not seen: between the two halves of a mid-P interval (Fay, Brittain, Proschan,
Biostatistics 14 (2013) 723; Fay, Kim, Biom. J. 59 (2017) 377).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fpgaml.dependence import Groups, numbered
from fpgaml.intervals import Estimate
from fpgaml.metrics import Target, choose_working_point
from fpgaml.passing import Ranked

Floats = NDArray[np.float64]

_BLOCK = 2_000_000
"""Numbers that are held at once."""

_TAIL = 10
"""Highest scores that show how their tail falls."""


def replicated_thresholds(
    scores: Mapping[str, Floats],
    targets: Sequence[Target],
    *,
    weights: Floats | None,
    groups: Groups | None,
    replicas: int,
    seed: int,
) -> dict[str, Floats]:
    """For each model the thresholds at which replicas of the background meet the targets.

    All models and targets have the same random numbers. Shape (n_targets, replicas) for each model.
    """
    levels = numbered(groups, len(next(iter(scores.values()))))
    totals = np.bincount(levels[0], weights).astype(np.float64)
    generator = np.random.default_rng(seed)
    unseen = generator.exponential(size=replicas) * generator.integers(2, size=replicas)
    shared = [generator.normal(size=(replicas, int(numbers.max()) + 1)) for numbers in levels[1:]]
    models = {name: _Background(found, targets, weights, levels) for name, found in scores.items()}
    thresholds = {name: np.empty((len(targets), replicas)) for name in scores}
    size = max(1, _BLOCK // len(totals))
    for first in range(0, replicas, size):
        block = slice(first, min(first + size, replicas))
        drawn = generator.exponential(size=(block.stop - first, len(totals)))
        for name, model in models.items():
            more_or_less = model.shared([normals[block] for normals in shared])
            thresholds[name][:, block] = model.thresholds(drawn, unseen[block], drawn @ totals, more_or_less)
    return thresholds


class _Background:
    """Background of one model, ready to be drawn again."""

    def __init__(
        self, scores: Floats, targets: Sequence[Target], weights: Floats | None, levels: Sequence[Groups]
    ) -> None:
        self._ranked = Ranked(scores, weights=weights, groups=np.stack(levels, axis=1))
        self._group = levels[0][self._ranked.order]
        self._targets = targets
        points = [
            choose_working_point(scores, kind=target.kind, target=target.value, weights=weights, groups=levels[0])
            for target in targets
        ]
        passing = [self._ranked.above(point.threshold) for point in points]
        self._heaviest = [self._ranked.heaviest(n) for n in passing]
        self._shared = [self._ranked.shared_sums(n) for n in passing]
        self._accepted = [float(self._ranked.accepted[n - 1]) if n else math.inf for n in passing]
        self._enough = 2 * max(passing) + 50

    def shared(self, normals: Sequence[Floats]) -> Floats:
        """By what factors sharing raises what passes, shape (n_targets, n_replicas).

        ``normals`` are a normal number for each group, shape (n_replicas, n_groups), for each further level.
        """
        moved = [
            sum((found @ sums for found, sums in zip(normals, of_target, strict=True)), 0.0) / accepted
            for of_target, accepted in zip(self._shared, self._accepted, strict=True)
        ]
        return np.asarray(np.exp(np.array(moved)).reshape(len(moved), -1))

    def thresholds(self, drawn: Floats, unseen: Floats, totals: Floats, shared: Floats) -> Floats:
        """Shape (n_targets, n_replicas).

        For factors of the groups, of the unseen event and of what is shared, and sums of all weights.
        """
        more = np.outer(self._heaviest, unseen)
        wanted = np.array(
            [
                np.full(len(drawn), target.value) if target.kind == "rate_khz" else target.value * (totals + extra)
                for target, extra in zip(self._targets, more, strict=True)
            ]
        )
        wanted = wanted / shared
        levels, accepted = self._down_to(drawn, (wanted - more).max(axis=0))
        found = np.array([_crossings(levels, accepted, *row) for row in zip(wanted, more, strict=True)])
        # where even the highest score is too much: as far above as it takes a tail that falls exponentially
        n = min(_TAIL, len(self._ranked.scores))
        top = self._ranked.scores[0]
        slope = (top - self._ranked.scores[n - 1]) / math.log(n) if n > 1 else 0.0
        above = np.maximum(top + slope * np.log((accepted[:, 0] + more) / wanted), np.nextafter(top, np.inf))
        return np.where(accepted[:, 0] > wanted - more, above, found)

    def _down_to(self, drawn: Floats, most: Floats) -> tuple[Floats, Floats]:
        """Distinct scores from the top, and what each replica accepts there, until all accept more than ``most``."""
        n_events = len(self._ranked.scores)
        while True:
            n = min(self._enough, n_events)
            # of equal scores the last one in order stands for all, because they pass together
            ends = np.flatnonzero(np.diff(self._ranked.scores[: n + 1], append=[-np.inf] if n == n_events else []))
            accepted = np.cumsum(drawn[:, self._group[:n]] * self._ranked.weights[:n], axis=1)[:, ends]
            if n == n_events or (len(ends) and (accepted[:, -1] > most).all()):
                return self._ranked.scores[ends], accepted
            self._enough *= 2


def _crossings(levels: Floats, accepted: Floats, wanted: Floats, more: Floats) -> Floats:
    """Where each replica's ``more`` and what it accepts make up what is wanted: between two scores, in proportion.

    Parameters
    ----------
    levels : shape (n_levels,)
        Distinct scores, falling.
    accepted : shape (n_replicas, n_levels)
    wanted, more : shape (n_replicas,)

    Returns
    -------
    float64, shape (n_replicas,)
        The highest score, where even that is too much, and the lowest, where all is not enough.
    """
    left = wanted - more
    after = (accepted <= left[:, None]).sum(axis=1)
    rows = np.arange(len(accepted))
    last, following = np.maximum(after - 1, 0), np.minimum(after, len(levels) - 1)
    step = accepted[rows, following] - accepted[rows, last]
    part = np.divide(left - accepted[rows, last], step, out=np.zeros(len(rows)), where=step > 0)
    return np.asarray(levels[last] + part * (levels[following] - levels[last]))


def replicated_efficiencies(signal_scores: Floats, thresholds: Floats, *, weights: Floats | None) -> Floats:
    """Signal efficiency at each replica's threshold: shape (n_events,) and any shape to the latter."""
    order = np.argsort(signal_scores)
    below = np.concatenate([[0.0], np.cumsum(np.ones(len(signal_scores)) if weights is None else weights[order])])
    efficiencies: Floats = 1.0 - below[np.searchsorted(signal_scores[order], thresholds, side="left")] / below[-1]
    return efficiencies


def arms(value: float, replicas: Floats, *, level: float) -> tuple[float, float]:
    """How far the replicas reach below and above ``value``; neither is negative."""
    below, above = np.quantile(replicas, [(1 - level) / 2, (1 + level) / 2]) - value
    return max(0.0, -float(below)), max(0.0, float(above))


def widened(plain: Estimate, replicas: Floats, *, lowest: float, level: float) -> Estimate:
    """``plain`` with the spread of the replicas around its value added in quadrature on each side."""
    below, above = arms(plain.value, replicas, level=level)
    low = plain.value - math.hypot(plain.value - plain.low, below)
    high = plain.value + math.hypot(plain.high - plain.value, above)
    return Estimate(plain.value, max(lowest, low), min(1.0, high))
