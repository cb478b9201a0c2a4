"""Background above a threshold: how many events, how many effective ones, and how heavy an unseen one may be.

Where weights differ, a sample may hold none of the heavy events that another sample of the same size has above the same
threshold, and what passes does not tell. The next independent events below the threshold do, as many as pass but from
20 to 100: the heaviest of them and of those that pass stands for the unseen event. Toys set these numbers
(docs/statistics.md): with fewer, intervals that rest on few events are too narrow; with more, those of triggers with
thousands of events hold soft ones of which none comes near the threshold.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fpgaml.dependence import Groups, numbered, shared_variance, sums_of_groups

Floats = NDArray[np.float64]

NEXT = (20, 100)
"""At least and at most so many independent events below a threshold are near it; between, as many as pass."""

FEW = 10
"""Effective events below which a working point deserves a warning."""


@dataclass(frozen=True, kw_only=True)
class Passing:
    """Background above a threshold.

    Parameters
    ----------
    events : int
    total : float
        Sum of their weights.
    effective : float
        Number of independent, equally weighted events with the same relative variance, (sum w)^2 / sum w^2, where
        weights of a group are added first (Kish, Survey Sampling (1965)); further levels add to the denominator.
    largest_share : float
        Of the heaviest group in the sum of weights; NaN where nothing passes.
    heaviest : float
        Weight of the heaviest group that may pass in another sample.
    """

    events: int
    total: float
    effective: float
    largest_share: float
    heaviest: float

    @property
    def effective_with_one_more(self) -> float:
        """Effective events with the heaviest that may pass: few where a sample lacks heavy ones by chance."""
        squares = self.total**2 / self.effective if self.effective else 0.0
        return (self.total + self.heaviest) ** 2 / (squares + self.heaviest**2) if self.heaviest else 0.0

    @property
    def fewest_effective(self) -> float:
        """Effective events, as they are or with the heaviest that may pass."""
        return min(self.effective, self.effective_with_one_more)

    @property
    def is_thin(self) -> bool:
        """Whether fewer than ``FEW`` effective events pass, as they are or with the heaviest that may."""
        return self.fewest_effective < FEW

    def to_json(self) -> dict[str, float | None]:
        """All of it; null for NaN."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


class Ranked:
    """Background events by falling score.

    Parameters
    ----------
    scores : float64, shape (n_events,)
    weights : float64, shape (n_events,), optional
        None: every event counts once.
    groups : whole numbers, shape (n_events,) or (n_events, n_levels), optional
        Events with the same number, in the same column, are not independent.
    """

    def __init__(self, scores: Floats, *, weights: Floats | None = None, groups: Groups | None = None):
        self.order = np.argsort(-scores, kind="stable")
        self.scores = scores[self.order]
        self.weights = np.ones(len(scores)) if weights is None else weights[self.order]
        self._given = None if groups is None else groups[self.order]

    @property
    def _groups(self) -> Groups | None:
        """Those of the first level."""
        return self._given if self._given is None or self._given.ndim == 1 else self._given[:, 0]

    @cached_property
    def _levels(self) -> list[Groups]:
        return numbered(self._given, len(self.scores))

    @cached_property
    def accepted(self) -> Floats:
        """Sum of the weights down to each event."""
        return np.cumsum(self.weights)

    def above(self, threshold: float) -> int:
        """Number of events that pass."""
        return int(np.searchsorted(-self.scores, -threshold, side="right"))

    def sums(self, n: int) -> Floats:
        """Weights of the groups among the first ``n`` events, each summed over its events there."""
        return self._by_group(self.weights[:n])

    def reserve(self, n: int) -> float:
        """Weight to leave free below a target, so that a threshold after ``n`` events is right on average.

        Going down in score, the sum of weights is more likely stopped by a heavy event than by a light one, and the
        threshold before it lies too low: where weights come independently of what has passed, renewal theory gives
        half of sum w^2 / sum w of the groups near the threshold, less the mean weight of an event (Feller, An
        Introduction to Probability Theory and Its Applications II (1971), XI.4). Zero where events weigh alike.
        """
        near = self._near(n)
        sums = self.sums(near)
        total = float(sums.sum())
        return max(0.0, float((sums**2).sum()) / (2 * total) - total / near) if total > 0 else 0.0

    def shared_sums(self, n: int) -> list[Floats]:
        """For each further level of groups, what they sum up to among the first ``n`` events.

        Scaled, group by group, so that the squares add up to what sharing adds to the variance of the sum of all.
        """
        above = np.arange(len(self.scores)) < n
        values = self.weights * (above - self.accepted[n - 1] / self.accepted[-1] if n else 0.0)
        found = []
        for finer, numbers in pairwise(self._levels):
            sums, shared = sums_of_groups(values, numbers), shared_variance(values, numbers, finer)
            found.append(sums * math.sqrt(shared / float((sums**2).sum())) if shared else np.zeros(len(sums)))
        return found

    def passing(self, threshold: float) -> Passing:
        """What passes a threshold."""
        n = self.above(threshold)
        sums = self.sums(n)
        shared = sum(float((further**2).sum()) for further in self.shared_sums(n))
        total, squares = float(sums.sum()), float((sums**2).sum()) + shared
        return Passing(
            events=n,
            total=total,
            effective=total**2 / squares if squares > 0 else 0.0,
            largest_share=float(sums.max()) / total if total > 0 else math.nan,
            heaviest=self.heaviest(n),
        )

    def heaviest(self, n: int) -> float:
        """Weight of the heaviest group that may pass where ``n`` events do."""
        return float(self.sums(self._near(n)).max())

    def _near(self, n: int) -> int:
        """Number of events that pass or are among the ``NEXT``."""
        if self._groups is None:
            return min(len(self.scores), n + min(max(n, NEXT[0]), NEXT[1]))
        wanted = min(max(len(np.unique(self._groups[:n])), NEXT[0]), NEXT[1])
        seen = set[int]()
        for number, group in enumerate(self._groups[n:], start=n + 1):  # ends soon: no list of all
            seen.add(int(group))
            if len(seen) == wanted:
                return number
        return len(self.scores)

    def _by_group(self, values: Floats) -> Floats:
        """Values of the first events, summed by group."""
        if self._groups is None or not len(values):
            return values
        numbers = np.unique(self._groups[: len(values)], return_inverse=True)[1]
        return np.asarray(np.bincount(numbers, values), np.float64)
