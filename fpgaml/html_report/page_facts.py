"""What the page says of scores and of training curves, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fpgaml.evaluation import Evaluation
from fpgaml.events import Floats
from fpgaml.figures import score_edges
from fpgaml.logbook import curve_stdev, volatility
from fpgaml.runs import Run

N_SCORE_BINS = 60


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Test events of one model at the headline working point.

    Parameters
    ----------
    model : str
    signal_passed, signal_rejected, background_passed, background_rejected : int
        Events, unweighted.
    signal_share, background_share : float
        Weighted share of the class that passes.
    background_khz : (float, float), optional
        Rate of the background that passes and that is rejected, where there is a rate.
    """

    model: str
    signal_passed: int
    signal_rejected: int
    background_passed: int
    background_rejected: int
    signal_share: float
    background_share: float
    background_khz: tuple[float, float] | None


def confusion(run: Run, evaluation: Evaluation) -> tuple[Confusion, ...]:
    """How many test events of each class pass, for every model."""
    tested = run.events.chosen("test")
    signal = run.events.y[tested] == 1
    weights = np.ones(len(signal)) if run.events.weights is None else run.events.weights[tested]
    rated = evaluation.targets[0].kind == "rate_khz" and run.events.weights is not None
    found = []
    for model in evaluation.models:
        passed = run.scores[model].test >= evaluation.performance(model).threshold
        found.append(
            Confusion(
                model=model,
                signal_passed=int((passed & signal).sum()),
                signal_rejected=int((~passed & signal).sum()),
                background_passed=int((passed & ~signal).sum()),
                background_rejected=int((~passed & ~signal).sum()),
                signal_share=float(weights[passed & signal].sum() / weights[signal].sum()),
                background_share=float(weights[passed & ~signal].sum() / weights[~signal].sum()),
                background_khz=(float(weights[passed & ~signal].sum()), float(weights[~passed & ~signal].sum()))
                if rated
                else None,
            )
        )
    return tuple(found)


def score_shares(run: Run, evaluation: Evaluation) -> tuple[dict[str, dict[str, Floats]], Floats]:
    """Per model and class, the weighted share of test events in every bin; and the edges of the bins."""
    tested = run.events.chosen("test")
    scores = {name: run.scores[name].test for name in evaluation.models}
    weights = np.ones(int(tested.sum())) if run.events.weights is None else run.events.weights[tested]
    edges = score_edges(scores, n_bins=N_SCORE_BINS)
    classes = {"signal": run.events.y[tested] == 1, "background": run.events.y[tested] == 0}
    shares = {
        name: {
            label: np.histogram(found[chosen], edges, weights=weights[chosen])[0] / weights[chosen].sum()
            for label, chosen in classes.items()
        }
        for name, found in scores.items()
    }
    return shares, edges


@dataclass(frozen=True, kw_only=True)
class CurveFigures:
    """How the losses of one training move, as the logbook has it; None for fewer than two epochs."""

    model: str
    epochs: int
    stdev: float | None
    volatility: float | None


def curve_figures(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[CurveFigures, ...]:
    """Figures of the training curves of every model."""
    found = []
    for model, history in histories.items():
        loss, val_loss = history.get("loss", ()), history.get("val_loss", ())
        both = len(loss) == len(val_loss) > 1
        found.append(
            CurveFigures(
                model=model,
                epochs=len(loss),
                stdev=curve_stdev(loss, val_loss) if both else None,
                volatility=volatility(loss, val_loss) if both else None,
            )
        )
    return tuple(found)
