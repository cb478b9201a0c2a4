"""What validation events tell of a network: curves of its training, and how good it is at the headline target.

Thresholds are chosen on the background of the same events: fair among networks, and a little kind to all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fpgaml import metrics
from fpgaml.bootstrap import replicated_efficiencies, replicated_thresholds, widened
from fpgaml.events import Bools, Floats, at
from fpgaml.intervals import LEVEL, Estimate
from fpgaml.metrics import Target

SMOOTHING = (0.5, 1.0, 2.0)
"""Multiples of the headline target over which ``signal_efficiency_smooth`` is the mean."""

REPLICAS = 100
"""Of the bootstrap behind the threshold's part of an interval: enough for a logbook."""


def cross_entropy(scores: Floats, y: NDArray[np.int64], weights: Floats) -> float:
    """The loss: the weighted mean of log(1 + exp(s)) - y s over logits s; all of shape (n_events,)."""
    return float(np.mean(weights * (np.logaddexp(0.0, scores) - y * scores)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Validated:
    """Scores of validation events, judged.

    Parameters
    ----------
    scores : float64, shape (n_events,)
        Logits.
    y : int64, shape (n_events,)
        1 for signal, 0 for background.
    target : Target
        The headline.
    weights : float64, shape (n_events,), optional
        Event weights; of background in kHz where the target is a rate, which needs them.
    groups : int64, shape (n_events,), optional
        Events that are not independent have the same number.

    Raises
    ------
    DataError
        When asked: a class has no events, or a rate no weights; see ``metrics.choose_working_point`` and ``auc``.
    """

    scores: Floats
    y: NDArray[np.int64]
    target: Target
    weights: Floats | None = None
    groups: NDArray[np.int64] | None = None

    @cached_property
    def threshold(self) -> float:
        """Of the working point at the target."""
        return self._threshold(1.0)

    @property
    def signal_efficiency(self) -> float:
        """At the target."""
        return self._efficiency(self.threshold)

    def metrics(self) -> dict[str, float]:
        """What an epoch adds to the curves of a trial beside its losses; see ``fpgaml.trial.TrialResult``."""
        thresholds = [self.threshold if multiple == 1.0 else self._threshold(multiple) for multiple in SMOOTHING]
        return {
            "val_accuracy": metrics.accuracy(self.scores, self.y),
            "val_auc": metrics.auc(self.scores, self.y, weights=self.weights),
            "signal_efficiency": self.signal_efficiency,
            "signal_efficiency_smooth": float(np.mean([self._efficiency(threshold) for threshold in thresholds])),
        }

    def estimate(self) -> Estimate:
        """Signal efficiency at the target; the interval holds the signal's statistics and the threshold's."""
        signal, background = self._signal, ~self._signal
        signal_scores, signal_weights = self.scores[signal], at(self.weights, signal)
        (thresholds,) = replicated_thresholds(
            {"": self.scores[background]},
            (self.target,),
            weights=at(self.weights, background),
            groups=at(self.groups, background),
            replicas=REPLICAS,
            seed=0,
        )[""]
        plain = metrics.efficiency(
            signal_scores >= self.threshold, weights=signal_weights, groups=at(self.groups, signal)
        )
        replicas = replicated_efficiencies(signal_scores, thresholds, weights=signal_weights)
        return widened(plain, replicas, lowest=0.0, level=LEVEL)

    @cached_property
    def _signal(self) -> Bools:
        return np.asarray(self.y == 1)

    def _threshold(self, multiple: float) -> float:
        """At a multiple of the target, or where all background passes."""
        value = multiple * self.target.value
        return metrics.choose_working_point(
            self.scores[~self._signal],
            kind=self.target.kind,
            target=value if self.target.kind == "rate_khz" else min(value, 1.0),
            weights=at(self.weights, ~self._signal),
            groups=at(self.groups, ~self._signal),
        ).threshold

    def _efficiency(self, threshold: float) -> float:
        passed = self.scores[self._signal] >= threshold
        return float(np.average(passed, weights=at(self.weights, self._signal)))
