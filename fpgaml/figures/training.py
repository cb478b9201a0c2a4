"""How networks were trained, and which of them is worth what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fpgaml import pareto
from fpgaml.drawing import drawing
from fpgaml.errors import DataError, did_you_mean
from fpgaml.figures._looks import BACKGROUND, FRAME, LOOKS, SIGNAL, check_models

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def training_curves(histories: Mapping[str, Mapping[str, Sequence[Any]]], *, axes: Axes | None = None) -> Axes:
    """Loss on training and validation events against the epoch.

    Parameters
    ----------
    histories : mapping of "float" or "qkeras" to a history
        Each with ``loss`` and, if it was measured, ``val_loss``: one number per epoch; and optionally ``phase``, one
        word per epoch. The epochs of the phase "fine_tune" are shaded.
    axes : Axes, optional
        Where to draw; a new figure if there is none.

    Raises
    ------
    DataError
        No history, an unknown model, or a history without ``loss``.
    """
    from matplotlib.ticker import MaxNLocator

    check_models(histories, "training curves")
    with drawing(axes) as drawn:
        tuned = False
        for name, history in histories.items():
            if not len(history.get("loss", ())):
                raise DataError(f"training curves: the history of {name} has no loss; {did_you_mean('loss', history)}")
            look = LOOKS[name]
            epochs = np.arange(1, len(history["loss"]) + 1)
            marker = look.marker if len(epochs) < 2 else None
            drawn.plot(
                epochs,
                history["loss"],
                color=look.colour,
                linestyle="--",
                marker=marker,
                label=f"{look.label}, training",
            )
            if len(history.get("val_loss", ())):
                drawn.plot(
                    epochs,
                    history["val_loss"],
                    color=look.colour,
                    linestyle="-",
                    linewidth=3,
                    marker=marker,
                    label=f"{look.label}, validation",
                )
            tuning = epochs[np.asarray(history.get("phase", [""] * len(epochs))) == "fine_tune"]
            if len(tuning):
                label = None if tuned else "fine-tuning after folding"
                drawn.axvspan(tuning[0] - 0.5, tuning[-1] + 0.5, color="0.88", zorder=0, label=label)
                tuned = True
        longest = max(len(history["loss"]) for history in histories.values())
        drawn.set_xlim(0.5, longest + 0.5)
        drawn.xaxis.set_major_locator(MaxNLocator(integer=True))
        drawn.minorticks_off()
        drawn.set_xlabel("Epoch")
        drawn.set_ylabel("Loss")
        drawn.margins(y=0.12)
        drawn.legend(loc="upper right", fontsize=19)
    return drawn


def pareto_front(
    scores: Sequence[float],
    costs: Sequence[float],
    *,
    winner: int | None = None,
    score_label: str = "Score on validation",
    cost_label: str = "EBOPs",
    axes: Axes | None = None,
) -> Axes:
    """Scores of trials against what they cost, with the front of those that no other beats in both.

    Parameters
    ----------
    scores, costs : shape (n_trials,)
        Of trials that were trained for as long. What is below the front is not worth its cost.
    winner : int, optional
        Position of the trial to mark.
    score_label, cost_label : str
        Of the vertical and of the horizontal axis.
    axes : Axes, optional
        Where to draw; a new figure if there is none.

    Raises
    ------
    DataError
        No trials, or numbers that are not finite.
    """
    if not len(scores):
        raise DataError("pareto front: there is no trial to draw")
    score, cost = np.asarray(scores, np.float64), np.asarray(costs, np.float64)
    front = pareto.pareto_front(score, cost)
    with drawing(axes) as drawn:
        drawn.plot(cost, score, "o", color="0.6", markersize=8, label="trials", zorder=2)
        # what a budget buys stays the same from the dearest of the front on
        reach = np.append(cost[front], cost.max()), np.append(score[front], score[front[-1]])
        drawn.step(*reach, where="post", color=BACKGROUND, linewidth=2.5, zorder=1)
        drawn.plot(cost[front], score[front], "s", color=BACKGROUND, markersize=10, label="Pareto front", zorder=3)
        if winner is not None:
            style: dict[str, Any] = {"markersize": 26, "markerfacecolor": "none", "markeredgewidth": 2.5, "zorder": 4}
            drawn.plot(cost[winner], score[winner], "*", color=SIGNAL, linestyle="none", label="winner", **style)
        drawn.set_xscale("log")
        drawn.margins(x=0.08, y=0.08)
        bottom, top = drawn.get_ylim()
        drawn.set_ylim(bottom, top + 0.15 * (top - bottom))  # room for the legend above all points
        drawn.set_xlabel(cost_label)
        drawn.set_ylabel(score_label)
        drawn.legend(loc="upper left", ncols=3, columnspacing=1, **FRAME)
    return drawn
