"""Which trial of a search is better than another: by a metric, or by a cost among those that keep the limits.

Where limits say how good a trial has to be, or the objective is a cost, trials are compared by Deb's rule (K. Deb,
"An efficient constraint handling method for genetic algorithms", Comput. Methods Appl. Mech. Eng. 186 (2000) 311):
of two that keep all limits the one with the better objective, one that keeps them before one that does not, and of two
that do not the one that misses them by less. In early rounds, when no trial is good enough yet, the nearest go on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fpgaml.errors import StudyError, did_you_mean
from fpgaml.search_options import METRICS, SearchOptions, meets

OBJECTIVES = {
    "signal_efficiency": ("signal_efficiency_smooth", 1.0),
    "accuracy": ("val_accuracy", 1.0),
    "auc": ("val_auc", 1.0),
    "val_loss": ("val_loss", -1.0),
}
"""The curve that an objective is scored by, and its sign."""

LIMITED = {name: curve for name, (curve, _) in OBJECTIVES.items()} | {"signal_efficiency": "signal_efficiency"}
"""The curve that a limit on a metric is about: of the signal efficiency, that at the headline target itself."""

FLOORS = {"signal_efficiency": 1.0, "accuracy": 1.0, "auc": 1.0, "val_loss": 40.0}
"""No score of a trial that keeps the limits is below minus this; of costs, ``COST_FLOOR``."""

COST_FLOOR = 40.0
"""Of -log2(1 + cost): a cost of 2^40 is far beyond what can be trained, and small enough to leave room to models."""


def score(curves: Mapping[str, Sequence[float]], objective: str) -> float:
    """What a search ranks trials by: higher is better.

    The mean of the objective's curve over the last third of the epochs (rounded down, at least one), so that one lucky
    epoch does not choose the winner. The curve of "signal_efficiency" is ``signal_efficiency_smooth``; "accuracy" and
    "auc" are those of validation; "val_loss" is negated.

    Raises
    ------
    StudyError
        No such objective.

    >>> score({"val_loss": [5.0, 4.0, 3.0, 3.0, 2.0, 1.0]}, "val_loss")
    -1.5
    """
    if objective not in OBJECTIVES:
        raise StudyError(f"search.objective: unknown objective {objective!r}; {did_you_mean(objective, OBJECTIVES)}")
    name, sign = OBJECTIVES[objective]
    return sign * _late(curves[name])


def trial_score(curves: Mapping[str, Sequence[float]], options: SearchOptions) -> float:
    """The score of a trial, higher is better: that of the objective, or, where that is a cost, of ``options.metric``.

    Beside a cost it is the very figure that the limit is about, so that it can be read against the bound; "val_loss" is
    negated all the same.
    """
    if not options.minimises_cost:
        return score(curves, options.objective)
    return OBJECTIVES[options.metric][1] * _late(curves[LIMITED[options.metric]])


def known_of(
    curves: Mapping[str, Sequence[float]], cost: Mapping[str, float], options: SearchOptions
) -> dict[str, float]:
    """What limits are about: the cost of a trial, and the metrics that they ask for, as means over the last third."""
    asked = {limit.name for limit in options.metric_limits}
    return {**cost, **{name: _late(curves[LIMITED[name]]) for name in METRICS if name in asked}}


def merit(score: float, known: Mapping[str, float], options: SearchOptions) -> float:
    """One number in the order of Deb's rule, higher is better, for whoever ranks trials by one.

    Where all limits hold it is the score, or -log2(1 + cost) of an objective that is a cost, at least -F with F of
    ``FLOORS`` or ``COST_FLOOR``. Where not, it is -F (2 - 1 / (1 + v)), below all those and above -2 F: v is the sum
    over limits of what the trial misses each by, over its bound. Without limits on metrics beside a metric as
    objective, it is the score: limits on costs alone do not steer a search.

    Parameters
    ----------
    score : float
        As ``trial_score`` gives it.
    known : mapping of name to number
        As ``known_of`` gives it.
    options : SearchOptions
        Objective and limits.
    """
    if not options.feasible_first:
        return score
    floor = COST_FLOOR if options.minimises_cost else FLOORS[options.objective]
    if meets(options.limits, known):
        return max(-floor, -math.log2(1 + known[options.objective]) if options.minimises_cost else score)
    return -floor * (2 - 1 / (1 + options.missed_by(known)))


def feasible(event: Mapping[str, Any], options: SearchOptions) -> bool:
    """Whether a finished trial, as the journal has it, keeps all limits."""
    return meets(options.limits, known_of(event.get("curves") or {}, event["cost"], options))


def order(event: Mapping[str, Any]) -> tuple[Any, ...]:
    """A key that sorts finished trials of a journal: those that were trained longest first, of these the best.

    The best by merit, and, of trials with the same, by score; journals of searches that minimise nothing and limit no
    metric have no merit apart from the score.
    """
    return -event["epochs"], -event.get("merit", event["score"]), -event["score"], event["trial"]


def missed_text(known: Mapping[str, float], options: SearchOptions) -> str:
    """The limits that a trial misses, and what it has: "signal_efficiency >= 0.4 (it has 0.3712)"."""
    missed = [
        f"{text} (it has {limit.value(known):.4g})"
        for text, limit in zip(options.limits, options.parsed, strict=True)
        if not limit.holds(known)
    ]
    return ", ".join(missed)


def _late(curve: Sequence[float]) -> float:
    """The mean over the last third, at least one."""
    return float(np.mean(curve[-max(1, len(curve) // 3) :]))
