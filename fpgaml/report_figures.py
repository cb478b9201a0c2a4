"""The figures of a report: which of them a run has the data for, and what is said under each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpgaml import figures
from fpgaml.comparison import SeedMean
from fpgaml.drawing import literal
from fpgaml.evaluation import Evaluation
from fpgaml.layer_profile import LayerProfile, kernels
from fpgaml.metrics import Estimate, Target
from fpgaml.runs import Run
from fpgaml.storage import file_name
from fpgaml.tables import cost_text, escape, quantity_text, target_text
from fpgaml.train import TrainedModel
from fpgaml.turn_on import turn_on_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportFigure:
    """A figure and its place.

    Parameters
    ----------
    section : str
        Heading of the part of ``report.md`` that it belongs to.
    name : str
        Of its files.
    caption : str
    axes : Axes
    """

    section: str
    name: str
    caption: str
    axes: Axes

    @property
    def markdown(self) -> str:
        """The picture with its caption, for a report beside the folder ``figures``."""
        caption = escape(self.caption, 1_000)
        return f"![{caption}]({Path('figures', self.name).as_posix()}.png)\n\n*{caption}*"


def report_figures(
    run: Run, evaluation: Evaluation, *, trained: TrainedModel | None = None, profile: LayerProfile | None = None
) -> tuple[ReportFigure, ...]:
    """Everything that can be drawn of a run.

    Parameters
    ----------
    run, evaluation
        What it is about.
    trained : TrainedModel, optional
        The network, for histograms of its weights.
    profile : LayerProfile, optional
        What its layers do with their bits.
    """
    return tuple(
        ReportFigure(section=section, name=name, caption=caption, axes=axes)
        for section, name, caption, axes in (
            *_performance(evaluation),
            *_scores(run, evaluation),
            *_turn_on(run, evaluation),
            *_layers(trained, profile),
            *_search(run),
            *_training(run),
        )
    )


_Drawn = Iterator[tuple[str, str, str, "Axes"]]
"""Section, name, caption, axes."""


def _performance(evaluation: Evaluation) -> _Drawn:
    section, points = "Efficiency and rate", evaluation.performances
    yield (
        section,
        "signal_efficiency",
        "Signal efficiency against what is let through. Bands: test events; none where too few background events pass.",
        figures.signal_efficiency_curve(evaluation.curves, working_points=points),
    )
    yield (
        section,
        "background_rejection",
        "Background rejection 1/ε_b against signal efficiency. Bands: test background; none where too few events pass.",
        figures.background_rejection_curve(evaluation.curves, working_points=points),
    )


def _scores(run: Run, evaluation: Evaluation) -> _Drawn:
    tested, point = run.events.chosen("test"), evaluation.performance("qkeras")
    y, weights = run.events.y[tested], None if run.events.weights is None else run.events.weights[tested]
    yield (
        "Scores",
        "scores",
        "Scores of test events, each class weighted to one.",
        figures.score_distributions(
            {name: run.scores[name].test for name in evaluation.models},
            y,
            weights=weights,
            threshold=point.threshold,
            threshold_label=f"QKeras at {_asked(point.target)}",
        ),
    )
    yield (
        "Scores",
        "confusion_matrix",
        f"Test events of the QKeras model at {target_text(point.target)}: shares of the class, weighted, and events.",
        figures.confusion_matrix(
            run.scores["qkeras"].test,
            y,
            threshold=point.threshold,
            weights=weights,
            rates=point.target.kind == "rate_khz" and weights is not None,
        ),
    )


def _turn_on(run: Run, evaluation: Evaluation) -> _Drawn:
    asked = target_text(evaluation.targets[0])
    for name, curves in turn_on_curves(run, evaluation).items():
        yield (
            "Turn-on curves",
            f"turn_on_{file_name(name)}",
            f"Share of test signal that passes at {asked}, against {quantity_text(name)}.",
            figures.turn_on_curve(curves, quantity=literal(quantity_text(name)), level=evaluation.level),
        )


def _layers(trained: TrainedModel | None, profile: LayerProfile | None) -> _Drawn:
    if profile is not None:
        yield (
            "Layers",
            "word_ranges",
            "Number formats (frames) and the bits that words need (filled); lines: typical magnitudes, 5 % to 95 %.",
            figures.word_ranges(profile.uses),
        )
    if trained is not None:
        yield (
            "Layers",
            "weight_histograms",
            "Weights after rounding that are not zero, each layer as high as its highest bin.",
            figures.weight_histograms(kernels(trained)),
        )


def _search(run: Run) -> _Drawn:
    if run.search is not None:
        compared, cost = run.search["compared"], run.search.get("front_cost", "ebops")
        metric = run.search.get("metric", run.search["objective"])
        yield (
            "Search",
            "pareto_front",
            f"Score against {cost_text(cost)} of the trials trained longest. The winner as the search saw it.",
            figures.pareto_front(
                compared["scores"],
                compared[cost],
                winner=_position(run.winners, compared["trials"]),
                cost_label=cost_text(cost),
                score_label=f"Score on validation ({metric.replace('_', ' ')})",
            ),
        )
    means = {} if run.winners is None else _means(run.winners)
    if run.winners is not None and means:
        asked = Target(run.winners["target"]["kind"], run.winners["target"]["value"])
        first = run.winners["winners"][0]["trial"]
        yield (
            "Winners",
            "winners",
            f"Mean signal efficiency on test events over the seeds, with {100 * run.winners['level']:.0f} % intervals.",
            figures.winners(
                means,
                winner=first if first in means else None,
                label=rf"Signal efficiency $\varepsilon_s$ at {_asked(asked)}",
                level=run.winners["level"],
            ),
        )


def _training(run: Run) -> _Drawn:
    if run.histories:
        caption = "Loss per epoch, on training and on validation events."
        yield "Training", "training", caption, figures.training_curves(run.histories)


def _asked(target: Target) -> str:
    """A target in a figure, with its symbol."""
    return target_text(target) if target.kind == "rate_khz" else rf"$\varepsilon_b$ = {target.value:g}"


def _means(winners: Mapping[str, Any]) -> dict[str, SeedMean]:
    """Of the candidates that were trained with every seed, and of the winner's float twin."""
    found = {candidate["trial"]: candidate["test"] for candidate in winners["winners"]}
    found["float twin"] = winners["float_twin"]
    return {
        name: SeedMean(
            per_seed=tuple(test["per_seed"]),
            signal_efficiency=Estimate(**test["signal_efficiency"]),
            spread=math.nan if test["spread"] is None else test["spread"],
        )
        for name, test in found.items()
        if test is not None and test.get("per_seed")
    }


def _position(winners: Mapping[str, Any] | None, trials: Sequence[str]) -> int | None:
    """Where the winner stands among trials; None if there is none, or if it was not among the longest trained."""
    wanted = None if winners is None else winners["winner"]["search_trial"]
    return trials.index(wanted) if wanted in trials else None
