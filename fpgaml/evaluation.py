"""What a float twin, its QKeras model and the firmware are worth on test events.

A working point is chosen on validation background and applied to test events. Two samples are finite there, and both
move the signal efficiency: the test signal that is counted, and the validation background that placed the threshold.
Every efficiency and difference here carries both parts, added in quadrature because the two samples share no event:

* *test*: the interval of ``fpgaml.intervals`` at the threshold as it was chosen;
* *threshold*: the central quantiles of the signal efficiency over replicas of the threshold (``fpgaml.bootstrap``), all
  on the same test signal. Models are drawn together, so that a difference keeps their correlation.

The achieved rate and the background rejection are those of the one threshold that the firmware carries: their intervals
hold test statistics only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from fpgaml import metrics
from fpgaml.bootstrap import replicated_efficiencies, replicated_thresholds, widened
from fpgaml.curves import Curve, performance_curve
from fpgaml.errors import DataError, did_you_mean
from fpgaml.events import Bools, Events, Floats, Scores, at
from fpgaml.metrics import LEVEL, Estimate, Target

__all__ = ["MODELS", "Curve", "Difference", "Evaluation", "Events", "Performance", "Scores", "evaluate"]

MODELS = ("float", "qkeras", "csim")
DIFFERENCES = (("qkeras", "float"), ("csim", "qkeras"))


@dataclass(frozen=True, kw_only=True)
class Performance:
    """One model at one working point.

    Parameters
    ----------
    model : str
        "float", "qkeras" or "csim".
    target : Target
        What was asked for.
    threshold : float
        An event passes with ``score >= threshold``.
    achieved_on_validation : float
        Rate (kHz) or background efficiency on the sample that placed the threshold.
    validation_events : int
        Validation background events that pass: what the threshold stands on.
    signal_efficiency, signal_efficiency_test_only : Estimate
        On test signal. The first interval carries the test sample and the threshold, the second the test sample alone.
    achieved : Estimate
        Rate (kHz) or background efficiency on test background.
    background_rejection : Estimate
        1 / background efficiency on test background; one-sided where nothing passes.
    """

    model: str
    target: Target
    threshold: float
    achieved_on_validation: float
    validation_events: int
    signal_efficiency: Estimate
    signal_efficiency_test_only: Estimate
    achieved: Estimate
    background_rejection: Estimate

    @property
    def achieved_relative_error(self) -> float:
        """Half the width of the interval of ``achieved`` over its value; NaN where nothing passes."""
        return (self.achieved.high - self.achieved.low) / 2 / self.achieved.value if self.achieved.value else math.nan

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; what is not finite is null."""
        return {
            "model": self.model,
            "target": {"kind": self.target.kind, "value": self.target.value},
            "threshold": self.threshold,
            "achieved_on_validation": self.achieved_on_validation,
            "validation_events": self.validation_events,
            "signal_efficiency": self.signal_efficiency.to_json(),
            "signal_efficiency_test_only": self.signal_efficiency_test_only.to_json(),
            "achieved": self.achieved.to_json(),
            "achieved_relative_error": None
            if math.isnan(self.achieved_relative_error)
            else self.achieved_relative_error,
            "background_rejection": self.background_rejection.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Signal efficiency of ``model`` minus that of ``reference`` at one target.

    On the same test events, each at its own threshold (the csim at the QKeras model's).
    """

    model: str
    reference: str
    target: Target
    signal_efficiency: Estimate
    signal_efficiency_test_only: Estimate

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "model": self.model,
            "reference": self.reference,
            "target": {"kind": self.target.kind, "value": self.target.value},
            "signal_efficiency": self.signal_efficiency.to_json(),
            "signal_efficiency_test_only": self.signal_efficiency_test_only.to_json(),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Everything that a report says about efficiencies.

    Parameters
    ----------
    targets : tuple of Target
        The headline first.
    performances : tuple of Performance
        One for every target and model, in that order.
    differences : tuple of Difference
        QKeras - float and csim - QKeras, as far as the models are there, at every target.
    accuracy, auc : mapping of model to float
        On all test events, accuracy unweighted at logit 0, area weighted. For comparison with other tools.
    curves : mapping of model to Curve
    level : float
        Confidence level of every interval.
    replicas : int
        Replicas of the bootstrap behind the threshold's part of the intervals.
    """

    targets: tuple[Target, ...]
    performances: tuple[Performance, ...]
    differences: tuple[Difference, ...]
    accuracy: Mapping[str, float]
    auc: Mapping[str, float]
    curves: Mapping[str, Curve]
    level: float
    replicas: int

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were judged, in the order float, QKeras, csim."""
        return tuple(self.curves)

    def performance(self, model: str, target: Target | None = None) -> Performance:
        """One model at one target, the headline if none is named.

        Raises
        ------
        DataError
            The model was not judged, or not at this target.
        """
        wanted = target or self.targets[0]
        for found in self.performances:
            if found.model == model and found.target == wanted:
                return found
        raise DataError(f"no performance of {model!r} at {wanted}; {did_you_mean(model, self.models)}")

    def to_json(self) -> dict[str, Any]:
        """Everything but the curves as JSON values."""
        return {
            "level": self.level,
            "replicas": self.replicas,
            "performances": [found.to_json() for found in self.performances],
            "differences": [found.to_json() for found in self.differences],
            "accuracy": dict(self.accuracy),
            "auc": dict(self.auc),
        }


def evaluate(
    events: Events,
    scores: Mapping[str, Scores],
    targets: Sequence[Target],
    *,
    level: float = LEVEL,
    replicas: int = 300,
    seed: int = 1,
) -> Evaluation:
    """Judge every model that has scores, at every target.

    Parameters
    ----------
    events : Events
        Validation and test events.
    scores : mapping of "float", "qkeras" or "csim" to Scores
        Each model is optional, but the csim needs the QKeras model, whose thresholds it takes over.
    targets : sequence of Target
        The headline first.
    level : float
        Confidence level of the intervals.
    replicas, seed : int
        Of the bootstrap of the validation background. 300 replicas give the threshold's part to about 6 %.

    Raises
    ------
    DataError
        An unknown model, scores that do not fit the events, a split without signal or background, a rate without
        weights.
    """
    _check(events, scores, targets)
    judged = [name for name in MODELS if name in scores]
    placing = {name: "qkeras" if name == "csim" else name for name in judged}
    background = events.y[events.chosen("validation")] == 0
    validation = {
        name: np.asarray(scores[name].validation, np.float64)[background] for name in dict.fromkeys(placing.values())
    }
    weights, groups = (
        at(column, events.chosen("validation", signal=False)) for column in (events.weights, events.groups)
    )
    points = {
        name: [metrics.choose_working_point(found, kind=t.kind, target=t.value, weights=weights) for t in targets]
        for name, found in validation.items()
    }
    replicated = replicated_thresholds(
        validation, targets, weights=weights, groups=groups, replicas=replicas, seed=seed
    )
    sample = _TestSample(events, level)
    models = {
        name: _Judged(sample, scores[name].test, points[placed], validation[placed], replicated[placed])
        for name, placed in placing.items()
    }
    return Evaluation(
        targets=tuple(targets),
        performances=tuple(
            _performance(name, target, number, models[name], sample)
            for number, target in enumerate(targets)
            for name in judged
        ),
        differences=tuple(
            _difference((name, reference), target, number, models, sample)
            for number, target in enumerate(targets)
            for name, reference in DIFFERENCES
            if name in models and reference in models
        ),
        accuracy={name: metrics.accuracy(models[name].test, sample.y) for name in judged},
        auc={name: metrics.auc(models[name].test, sample.y, weights=sample.weights) for name in judged},
        curves={
            name: performance_curve(
                models[name].test,
                sample.y,
                kind=targets[0].kind,
                weights=sample.weights,
                groups=sample.groups,
                level=level,
            )
            for name in judged
        },
        level=level,
        replicas=replicas,
    )


class _Columns(TypedDict):
    """What the functions of ``fpgaml.intervals`` want to know of a sample."""

    weights: Floats | None
    groups: NDArray[np.int64] | None
    level: float


class _TestSample:
    """The test events, their signal and their background."""

    def __init__(self, events: Events, level: float) -> None:
        tested = events.chosen("test")
        self.y = events.y[tested]
        self.signal = self.y == 1
        self.level = level
        self.weights = at(events.weights, tested)
        self.groups = at(events.groups, tested)
        self.of_signal = self._columns(self.signal)
        self.of_background = self._columns(~self.signal)

    def _columns(self, chosen: Bools) -> _Columns:
        return {"weights": at(self.weights, chosen), "groups": at(self.groups, chosen), "level": self.level}


class _Judged:
    """One model: its test scores, working points, the validation background that placed them, and replicas."""

    def __init__(
        self,
        sample: _TestSample,
        test: Floats,
        points: Sequence[metrics.WorkingPoint],
        validation: Floats,
        replicated_thresholds: Floats,
    ) -> None:
        self.test = np.asarray(test, np.float64)
        self.points = points
        self.validation = validation
        # signal efficiency on the test sample at each replica's threshold, shape (n_targets, replicas)
        self.replicas = replicated_efficiencies(
            self.test[sample.signal], replicated_thresholds, weights=sample.of_signal["weights"]
        )

    def passed(self, number: int, chosen: Bools) -> Bools:
        """Which of the chosen test events pass at a target."""
        return np.asarray(self.test[chosen] >= self.points[number].threshold)


def _performance(name: str, target: Target, number: int, model: _Judged, sample: _TestSample) -> Performance:
    point, rejected = model.points[number], model.passed(number, ~sample.signal)
    plain = metrics.efficiency(model.passed(number, sample.signal), **sample.of_signal)
    background = sample.of_background
    if target.kind == "rate_khz" and background["weights"] is not None:
        achieved = metrics.rate(
            rejected, weights=background["weights"], groups=background["groups"], level=sample.level
        )
    else:
        achieved = metrics.efficiency(rejected, **background)
    return Performance(
        model=name,
        target=target,
        threshold=point.threshold,
        achieved_on_validation=point.achieved,
        validation_events=int((model.validation >= point.threshold).sum()),
        signal_efficiency=widened(plain, model.replicas[number], lowest=0.0, level=sample.level),
        signal_efficiency_test_only=plain,
        achieved=achieved,
        background_rejection=metrics.background_rejection(rejected, **background),
    )


def _difference(
    pair: tuple[str, str], target: Target, number: int, models: Mapping[str, _Judged], sample: _TestSample
) -> Difference:
    first, second = (models[name] for name in pair)
    plain = metrics.paired_difference(
        first.passed(number, sample.signal), second.passed(number, sample.signal), **sample.of_signal
    )
    moved = first.replicas[number] - second.replicas[number]
    return Difference(
        model=pair[0],
        reference=pair[1],
        target=target,
        signal_efficiency=widened(plain, moved, lowest=-1.0, level=sample.level),
        signal_efficiency_test_only=plain,
    )


def _check(events: Events, scores: Mapping[str, Scores], targets: Sequence[Target]) -> None:
    if not targets:
        raise DataError("evaluation: no working point is asked for; a task names at least one")
    for name in scores:
        if name not in MODELS:
            raise DataError(f"evaluation: unknown model {name!r}; {did_you_mean(name, MODELS)}")
    if not scores or set(scores) == {"csim"}:
        raise DataError(
            "evaluation: needs the scores of the float twin or the QKeras model; the csim alone has no threshold"
        )
    if "csim" in scores and "qkeras" not in scores:
        raise DataError(
            "evaluation: the csim is judged at the QKeras model's thresholds, and there are no QKeras scores"
        )
    for split in ("validation", "test"):
        for signal in (True, False):
            if not events.count(split, signal=signal):
                raise DataError(f"evaluation: the {split} split has no {'signal' if signal else 'background'} events")
    for name, found in scores.items():
        for split in ("validation", "test") if name != "csim" else ("test",):
            column, expected = getattr(found, split), int(events.chosen(split).sum())
            if column is None or np.shape(column) != (expected,):
                shape = "none" if column is None else f"shape {np.shape(column)}"
                raise DataError(f"evaluation: {name} needs {expected} scores of {split} events, found {shape}")
            if not np.isfinite(column).all():
                first = int(np.flatnonzero(~np.isfinite(column))[0])
                raise DataError(
                    f"evaluation: {name} score of {split} event {first} is {column[first]}. Has it diverged?"
                )
