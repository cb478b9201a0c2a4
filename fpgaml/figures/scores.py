"""Scores of signal and background, and what a threshold makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fpgaml.drawing import drawing
from fpgaml.errors import DataError
from fpgaml.events import Floats
from fpgaml.figures._looks import BACKGROUND, FRAME, LOOKS, SIGNAL, check_models, hollow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def score_distributions(
    scores: Mapping[str, Floats],
    y: NDArray[np.int64],
    *,
    weights: Floats | None = None,
    threshold: float | None = None,
    threshold_label: str = "working point",
    n_bins: int = 50,
    axes: Axes | None = None,
) -> Axes:
    """Scores of signal and of background, each a share of its class, weighted, on a logarithmic axis.

    Parameters
    ----------
    scores : mapping of "float", "qkeras" or "csim" to float64, shape (n_events,)
        Logits. The csim is drawn as markers with error bars (sum of squared weights), the others as lines.
    y, weights : shape (n_events,)
        1 for signal, 0 for background; with weights a bin holds the share of the class's weight.
    threshold : float, optional
        Where to draw the working point.
    n_bins : int
        Largest number of bins; a bin holds a whole number of steps of scores that have steps.
    axes : Axes, optional
        Where to draw; a new figure if there is none.

    Raises
    ------
    DataError
        No scores, an unknown model, or a class without events.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    check_models(scores, "score distributions")
    weight = np.ones(len(y)) if weights is None else weights
    edges = score_edges(scores, n_bins=n_bins)
    with drawing(axes) as drawn:
        lowest = 1.0
        for label, colour, chosen in (("signal", SIGNAL, y == 1), ("background", BACKGROUND, y == 0)):
            if not weight[chosen].sum() > 0:
                raise DataError(f"score distributions: there is no {label}")
            for name, found in scores.items():
                smallest = _shares(drawn, name, (label, colour), found[chosen], weight[chosen], edges)
                lowest = min(lowest, smallest)
        bottom = lowest / 3
        if threshold is not None:
            drawn.vlines(threshold, bottom, 1.0, color="0.2", linestyle=":", linewidth=2.5, label=threshold_label)
        drawn.set(yscale="log", xlim=(edges[0], edges[-1]))
        drawn.set_ylim(bottom, bottom**-0.45)  # room for the legend above the histograms, whose top is 1
        drawn.yaxis.set_major_locator(FixedLocator([10.0**power for power in range(0, int(np.log10(bottom)) - 1, -2)]))
        drawn.yaxis.set_minor_locator(NullLocator())
        drawn.set_xlabel("Score (logit)")
        drawn.set_ylabel("Share of the class per bin")
        # the threshold below the signal, in the first column; the background in the second
        handles, labels = drawn.get_legend_handles_labels()
        order = sorted(
            range(len(labels)), key=lambda i: (labels[i].startswith("background"), labels[i][:6] != "signal")
        )
        shown = [handles[i] for i in order], [labels[i] for i in order]
        # a long label may leave the axes, but not squeeze them
        drawn.legend(*shown, loc="upper left", ncols=2, columnspacing=1, **FRAME).set_in_layout(False)
    return drawn


def confusion_matrix(
    scores: Floats,
    y: NDArray[np.int64],
    *,
    threshold: float,
    weights: Floats | None = None,
    rates: bool = False,
    axes: Axes | None = None,
) -> Axes:
    """How much of each class passes a threshold and is rejected by it: its share, the events, and the rate.

    Parameters
    ----------
    scores, y, weights : shape (n_events,)
        As in ``score_distributions``, of one model; with weights a share is that of the class's weight.
    threshold : float
        An event passes with ``score >= threshold``.
    rates : bool
        Whether the weights of background are rates in kHz, to be shown.
    axes : Axes, optional
        Where to draw; a new figure if there is none.

    Raises
    ------
    DataError
        A class without events, or rates without weights.
    """
    if rates and weights is None:
        raise DataError("confusion matrix: rates need the weights of the events, in kHz for background")
    weight = np.ones(len(y)) if weights is None else weights
    passed = scores >= threshold
    cells = [[(y == label) & (passed == passes) for passes in (True, False)] for label in (1, 0)]
    sums = np.array([[weight[chosen].sum() for chosen in row] for row in cells])
    for label, total in zip(("signal", "background"), sums.sum(axis=1), strict=True):
        if not total > 0:
            raise DataError(f"confusion matrix: there is no {label}")
    shares = sums / sums.sum(axis=1, keepdims=True)
    names = ((r"\varepsilon_s", r"1 - \varepsilon_s"), (r"\varepsilon_b", r"1 - \varepsilon_b"))
    with drawing(axes) as drawn:
        drawn.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.2, aspect="auto")  # 1.2: text stays legible on the darkest
        for row, column in np.ndindex(2, 2):
            lines = [
                f"${names[row][column]}$ = {shares[row, column]:.4g}",
                f"{int(cells[row][column].sum()):,} events",
                *([f"{_digits(float(sums[row, column]))} kHz"] if rates and row else []),
            ]
            colour = "white" if shares[row, column] > 0.6 else "black"
            drawn.text(column, row, "\n".join(lines), ha="center", va="center", color=colour, linespacing=1.6)
        drawn.set_xticks([0, 1], ["passes", "is rejected"])
        drawn.set_yticks([0, 1], ["signal", "background"], rotation=90, va="center")
        drawn.tick_params(which="both", length=0)
        drawn.minorticks_off()
        drawn.set_xlabel(f"Threshold on the score (logit): {threshold:.6g}")
        drawn.set_ylabel("Class")
    return drawn


def _digits(rate: float) -> str:
    """Four digits, and more before the point than an exponent would leave."""
    return f"{rate:,.0f}" if rate >= 1_000 else f"{rate:.4g}"


def _shares(drawn: Axes, name: str, kind: tuple[str, str], scores: Floats, weights: Floats, edges: Floats) -> float:
    """Draw one class of one model; the smallest share above zero."""
    look, (label, colour) = LOOKS[name], kind
    share = np.histogram(scores, edges, weights=weights)[0] / weights.sum()
    if look.line != "none":
        drawn.stairs(share, edges, color=colour, linestyle=look.line, linewidth=2, label=f"{label}, {look.label}")
        if look.line == "-":
            drawn.stairs(share, edges, color=colour, fill=True, alpha=0.18)
    else:
        filled = share > 0
        error = np.sqrt(np.histogram(scores, edges, weights=weights**2)[0]) / weights.sum()
        drawn.errorbar(
            (edges[:-1] + edges[1:])[filled] / 2,
            share[filled],
            # a bar down to zero has no end on a logarithmic axis
            yerr=(np.minimum(error, share * 0.999)[filled], error[filled]),
            color=colour,
            linewidth=1.5,
            label=f"{label}, {look.label}",
            **hollow(look, 6),
        )
    return float(share[share > 0].min())


def score_edges(scores: Mapping[str, Floats], *, n_bins: int) -> Floats:
    """At most ``n_bins`` equal bins that hold every score.

    Firmware scores lie on a grid. Bins that are no multiple of its step would hold now more, now fewer of its points
    and show a comb that is not in the data, so the width is a multiple of the step and edges lie between grid points.
    """
    levels = {name: np.unique(found) for name, found in scores.items()}
    lowest, highest = (float(end([end(found) for found in levels.values()])) for end in (np.min, np.max))
    if lowest == highest:
        return np.array([lowest - 0.5, lowest + 0.5])
    gridded = [levels[name] for name in ("qkeras", "csim") if name in levels] or list(levels.values())
    step = min(float(np.diff(found).min(initial=highest - lowest)) for found in gridded)
    width = step * max(1, int(np.ceil(((highest - lowest) / step + 1) / n_bins)))
    count = int(np.ceil((highest - lowest + step) / width))
    return np.asarray(lowest - step / 2 + width * np.arange(count + 1))
