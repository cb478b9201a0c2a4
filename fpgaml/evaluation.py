"""What a float twin, its QKeras model and the firmware are worth on test events.

A working point is chosen on validation background and applied to test events. Two samples are finite there, and both
move the signal efficiency: the test signal that is counted, and the validation background that placed the threshold.
Every efficiency and difference here carries both parts, added in quadrature because the two samples share no event:

* *test*: the interval of ``fpgaml.intervals`` at the threshold as it was chosen;
* *threshold*: the central quantiles of the signal efficiency over replicas of the threshold (``fpgaml.bootstrap``), all
  on the same test signal. Models are drawn together, so that a difference keeps their correlation.

The achieved rate and the background rejection are those of the one threshold that the firmware carries: their intervals
hold test statistics only, and are one interval, since they are one number.

Verdicts on differences are at 95 %. Only the csim gets one: it is the QKeras model again, while QKeras model and float
twin are one training each, and what another seed would make of them is not known here.
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
from fpgaml.curves import Background, Curve, performance_curve
from fpgaml.errors import DataError, did_you_mean
from fpgaml.events import Bools, Events, Floats, Scores, at
from fpgaml.metrics import LEVEL, Estimate, Target
from fpgaml.passing import Passing, Ranked
from fpgaml.verdicts import LEVEL_APART, corrected, smallest_visible, told_apart

__all__ = ["MODELS", "Curve", "Difference", "Evaluation", "Events", "Performance", "Scores", "evaluate"]

MODELS = ("float", "qkeras", "csim")
DIFFERENCES = (("qkeras", "float"), ("csim", "qkeras"))
SAME_NETWORK = frozenset({("csim", "qkeras")})
"""Differences that another seed of the training would not change."""


@dataclass(frozen=True, kw_only=True)
class Performance:
    """One model at one working point.

    Parameters
    ----------
    model : str
        "float", "qkeras" or "csim".
    target : Target
        What was requested.
    threshold : float
        An event passes with ``score >= threshold``.
    achieved_on_validation : float
        Rate (kHz) or background efficiency on the sample that placed the threshold.
    validation_background, test_background : Passing
        What passes: what the threshold stands on, and what ``achieved`` and rejection do.
    signal_efficiency, signal_efficiency_test_only : Estimate
        On test signal. The first interval carries the test sample and the threshold, the second the test sample alone.
    achieved : Estimate
        Rate (kHz) or background efficiency on test background.
    background_rejection : Estimate
        1 / background efficiency on test background, of the same interval; one-sided where nothing passes.
    """

    model: str
    target: Target
    threshold: float
    achieved_on_validation: float
    validation_background: Passing
    test_background: Passing
    signal_efficiency: Estimate
    signal_efficiency_test_only: Estimate
    achieved: Estimate
    background_rejection: Estimate

    @property
    def is_thin(self) -> bool:
        """Whether few effective events have placed the threshold, or measure what it achieves."""
        return self.validation_background.is_thin or self.test_background.is_thin

    @property
    def achieved_relative_error(self) -> float:
        """Half the width of the interval of ``achieved`` over its value; NaN where nothing passes."""
        return self.achieved.half_width / self.achieved.value if self.achieved.value else math.nan

    @property
    def validation_events(self) -> int:
        """Validation background events that pass."""
        return self.validation_background.events

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; what is not finite is null."""
        return {
            "model": self.model,
            "target": {"kind": self.target.kind, "value": self.target.value},
            "threshold": self.threshold,
            "achieved_on_validation": self.achieved_on_validation,
            "validation_background": self.validation_background.to_json(),
            "test_background": self.test_background.to_json(),
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

    Parameters
    ----------
    model, reference : str
    target : Target
    signal_efficiency, signal_efficiency_test_only : Estimate
        As in ``Performance``.
    told_apart : bool, optional
        Whether the difference is not zero, at ``LEVEL_APART``, corrected for the number of differences with a verdict.
        None where the two are one training each: there is no verdict then.
    smallest_visible : float, optional
        Smallest difference that would have been told apart, see ``fpgaml.verdicts``; None without a verdict.
    """

    model: str
    reference: str
    target: Target
    signal_efficiency: Estimate
    signal_efficiency_test_only: Estimate
    told_apart: bool | None
    smallest_visible: float | None

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "model": self.model,
            "reference": self.reference,
            "target": {"kind": self.target.kind, "value": self.target.value},
            "signal_efficiency": self.signal_efficiency.to_json(),
            "signal_efficiency_test_only": self.signal_efficiency_test_only.to_json(),
            "told_apart": self.told_apart,
            "smallest_visible": self.smallest_visible,
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
        Confidence level of every interval; that of verdicts is ``LEVEL_APART``.
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
            "level_apart": LEVEL_APART,
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
        name: [
            metrics.choose_working_point(found, kind=t.kind, target=t.value, weights=weights, groups=groups)
            for t in targets
        ]
        for name, found in validation.items()
    }
    replicated = replicated_thresholds(
        validation, targets, weights=weights, groups=groups, replicas=replicas, seed=seed
    )
    sample = _TestSample(events, level)
    passing = {
        name: [Ranked(found, weights=weights, groups=groups).passing(point.threshold) for point in points[name]]
        for name, found in validation.items()
    }
    models = {
        name: _Judged(sample, scores[name].test, points[placed], passing[placed], replicated[placed])
        for name, placed in placing.items()
    }
    return Evaluation(
        targets=tuple(targets),
        performances=tuple(
            _performance(name, target, number, models[name], sample)
            for number, target in enumerate(targets)
            for name in judged
        ),
        differences=_differences(models, targets, sample),
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
        validation: Sequence[Passing],
        replicated_thresholds: Floats,
    ) -> None:
        self.test = np.asarray(test, np.float64)
        self.points = points
        self.validation = validation
        self.backgrounds = {
            point.kind: Background(self.test[~sample.signal], kind=point.kind, **sample.of_background)
            for point in points
        }
        # signal efficiency on the test sample at each replica's threshold, shape (n_targets, replicas)
        self.replicas = replicated_efficiencies(
            self.test[sample.signal], replicated_thresholds, weights=sample.of_signal["weights"]
        )

    def passed(self, number: int, chosen: Bools) -> Bools:
        """Which of the chosen test events pass at a target."""
        return np.asarray(self.test[chosen] >= self.points[number].threshold)


def _performance(name: str, target: Target, number: int, model: _Judged, sample: _TestSample) -> Performance:
    point, background = model.points[number], model.backgrounds[target.kind]
    plain = metrics.efficiency(model.passed(number, sample.signal), **sample.of_signal)
    achieved = background.accepted(point.threshold)
    return Performance(
        model=name,
        target=target,
        threshold=point.threshold,
        achieved_on_validation=point.achieved,
        validation_background=model.validation[number],
        test_background=background.passing(point.threshold),
        signal_efficiency=widened(plain, model.replicas[number], lowest=0.0, level=sample.level),
        signal_efficiency_test_only=plain,
        achieved=achieved,
        background_rejection=background.rejection(achieved),
    )


def _differences(
    models: Mapping[str, _Judged], targets: Sequence[Target], sample: _TestSample
) -> tuple[Difference, ...]:
    """All that there are, with verdicts on those that are of one network."""
    pairs = [pair for pair in DIFFERENCES if set(pair) <= set(models)]
    found = {
        (number, pair): _Compared(models, pair, number, sample) for number in range(len(targets)) for pair in pairs
    }
    judged = {key: compared.interval for key, compared in found.items() if key[1] in SAME_NETWORK}
    apart, level = told_apart(judged), corrected(LEVEL_APART, max(1, len(judged)))
    return tuple(
        Difference(
            model=pair[0],
            reference=pair[1],
            target=targets[number],
            signal_efficiency=compared.interval(sample.level),
            signal_efficiency_test_only=compared.plain(sample.level),
            told_apart=(number, pair) in apart if (number, pair) in judged else None,
            smallest_visible=smallest_visible(compared.interval(level).half_width, level=level)
            if (number, pair) in judged
            else None,
        )
        for (number, pair), compared in found.items()
    )


class _Compared:
    """Two models at one target, on the same test signal."""

    def __init__(self, models: Mapping[str, _Judged], pair: tuple[str, str], number: int, sample: _TestSample) -> None:
        first, second = (models[name] for name in pair)
        self._passed = first.passed(number, sample.signal), second.passed(number, sample.signal)
        self._columns = sample.of_signal
        self._moved = first.replicas[number] - second.replicas[number]

    def plain(self, level: float) -> Estimate:
        """With the interval of test events alone."""
        return metrics.paired_difference(*self._passed, **(self._columns | {"level": level}))

    def interval(self, level: float) -> Estimate:
        """With that of test events and threshold."""
        return widened(self.plain(level), self._moved, lowest=-1.0, level=level)


def _check(events: Events, scores: Mapping[str, Scores], targets: Sequence[Target]) -> None:
    if not targets:
        raise DataError("evaluation: no working point is requested; a task names at least one")
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
