"""Weights of a network, and the number formats that hold them and what layers hand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fpgaml.drawing import drawing
from fpgaml.errors import DataError
from fpgaml.figures._looks import ABOVE, BACKGROUND, PLAIN
from fpgaml.figures._rows import name_rows, rows_height
from fpgaml.figures.scores import score_edges
from fpgaml.word_use import WordUse

if TYPE_CHECKING:
    from matplotlib.axes import Axes
COLUMNS = (100.0, 105.0, 85.0)
"""Widths of the columns beside number formats, in points."""


def weight_histograms(
    weights: Mapping[str, ArrayLike], *, n_bins: int = 60, label: str = "Weight", axes: Axes | None = None
) -> Axes:
    """The weights of each layer that are not zero, one histogram above the other, each as high as its highest bin.

    Parameters
    ----------
    weights : mapping of name to array of any shape
        As the firmware has them, such as ``{"dense_1": trained.quantized_weights["dense_1"]["kernel"]}``. The share of
        zeros, which would dwarf the rest, is written beside.
    n_bins : int
        Largest number of bins of a histogram; a bin holds a whole number of steps of the format.
    label : str
        Of the horizontal axis.
    axes : Axes, optional
        Where to draw; a new figure, as high as the layers need, if there is none.

    Raises
    ------
    DataError
        No weights.
    """
    found = {name: np.asarray(values, np.float64).ravel() for name, values in weights.items()}
    for name, values in found.items():
        if not values.size:
            raise DataError(f"weight histograms: {name} has no weights")
    if not found:
        raise DataError("weight histograms: there is no layer to draw")
    with drawing(axes, size=(10.0, rows_height(len(found) + 1, 0.9))) as drawn:
        for row, (name, values) in enumerate(found.items()):
            used = values[values != 0]
            if used.size:
                edges = score_edges({name: used}, n_bins=n_bins)
                share = np.histogram(used, edges)[0] / len(values)
                heights = 0.82 * share / share.max() - row
                drawn.stairs(heights, edges, baseline=-row, fill=True, color=BACKGROUND, alpha=0.55, label=name)
            drawn.axhline(-row, color=PLAIN, linewidth=1, zorder=0.5)
            zeros = f"{100 * np.mean(values == 0):.3g} % zero"
            _beside(drawn, [zeros], -row, widths=[125])
        drawn.axvline(0.0, color=PLAIN, linestyle=":", linewidth=1.5, zorder=0.5)
        name_rows(drawn, list(found), below=0.35, above=1.0)
        drawn.xaxis.minorticks_off()
        drawn.margins(x=0.04)
        drawn.set_xlabel(label)
    return drawn


def word_ranges(uses: Sequence[WordUse], *, axes: Axes | None = None) -> Axes:
    """Number formats, bit by bit, against the bits that words really have set.

    Parameters
    ----------
    uses : sequence of WordUse
        As ``word_use.network_word_use`` gives them. A frame holds the bits of a format without the sign, the filled
        part those between the highest and the lowest that any word needs; the line is what magnitudes typically are,
        their 5 % to 95 % quantiles. What is empty is paid for and not used. Beside it: bits needed of bits there (with
        signs), values beyond the range, and values that rounding alone makes zero.
    axes : Axes, optional
        Where to draw; a new figure, as high as the rows need, if there is none.

    Raises
    ------
    DataError
        Nothing to draw.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if not uses:
        raise DataError("word ranges: there is no number format to draw")
    with drawing(axes, size=(13.0, rows_height(len(uses) + 1, 0.55))) as drawn:
        for row, use in enumerate(uses):
            low, high = -use.fixed.fraction, use.fixed.integer - use.fixed.signed
            if use.largest:
                first, last = np.log2(use.smallest), min(high, np.floor(np.log2(use.largest)) + 1)
                box = Rectangle((first, -row - 0.32), last - first, 0.64, color=BACKGROUND, alpha=0.55, linewidth=0)
                drawn.add_patch(box)
                drawn.plot(np.log2(use.typical), [-row, -row], color="black", linewidth=3, solid_capstyle="butt")
            frame = Rectangle((low, -row - 0.32), high - low, 0.64, fill=False, edgecolor="black", linewidth=1.5)
            drawn.add_patch(frame)
            cells = (f"{use.width_used} of {use.fixed.width}", _percent(use.saturated), _percent(use.zeroed))
            _beside(drawn, cells, -row)
        _beside(drawn, ("bits", "saturated", "zeroed"), 0.85)
        name_rows(drawn, [use.name for use in uses])
        drawn.xaxis.minorticks_off()
        lows = [-use.fixed.fraction for use in uses]
        highs = [use.fixed.integer - use.fixed.signed for use in uses]
        drawn.set_xlim(min(lows) - 0.5, max(highs) + 0.5)
        drawn.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        drawn.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"$2^{{{value:.0f}}}$"))
        drawn.set_xlabel("Value of a bit")
        _word_legend(drawn)
    return drawn


def _beside(drawn: Axes, cells: Sequence[str], row: float, *, widths: Sequence[float] = COLUMNS) -> None:
    """Columns to the right of the axes, of widths in points: a share of the axes would change with the layout."""
    place: dict[str, Any] = {
        "xycoords": drawn.get_yaxis_transform(),
        "textcoords": "offset points",
        "annotation_clip": False,
    }
    right = 0.0
    for cell, width in zip(cells, widths, strict=True):
        right += width
        drawn.annotate(cell, (1.0, row), xytext=(right, 0.0), fontsize=19, ha="right", va="center", **place)


def _percent(share: float) -> str:
    """A share that is seen to be none, or little, or more."""
    if share == 0:
        return "0"
    return f"{100 * share:.2g} %" if share >= 0.0001 else "< 0.01 %"


def _word_legend(drawn: Axes) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(fill=False, edgecolor="black", linewidth=1.5),
        Patch(color=BACKGROUND, alpha=0.55, linewidth=0),
        Line2D([], [], color="black", linewidth=3),
    ]
    labels = ["format", "used", "typical"]
    drawn.legend(handles, labels, ncols=3, columnspacing=1, handlelength=1.4, **ABOVE)
