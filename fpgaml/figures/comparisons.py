"""Networks side by side: what each is worth, and by how much they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fpgaml.comparison import SeedMean
from fpgaml.drawing import drawing
from fpgaml.errors import DataError, did_you_mean
from fpgaml.figures._looks import ABOVE, BACKGROUND, PLAIN, SIGNAL, arms
from fpgaml.figures._rows import name_rows, rows_height
from fpgaml.metrics import LEVEL, Estimate
from fpgaml.verdicts import LEVEL_APART

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def winners(
    means: Mapping[str, SeedMean],
    *,
    winner: str | None = None,
    label: str = r"Signal efficiency $\varepsilon_s$",
    level: float = LEVEL,
    axes: Axes | None = None,
) -> Axes:
    """Mean signal efficiencies of networks with their intervals, and the single trainings behind them.

    Parameters
    ----------
    means : mapping of name to SeedMean
        From the top down.
    winner : str, optional
        The name to stress.
    label : str
        Of the horizontal axis; say here at which working point.
    level : float
        Confidence level of the intervals, for the legend.
    axes : Axes, optional
        Where to draw; a new figure, as high as the rows need, if there is none.

    Raises
    ------
    DataError
        Nothing to draw, or a winner that is not among them.
    """
    if not means:
        raise DataError("winners: there is no network to draw")
    if winner is not None and winner not in means:
        raise DataError(f"winners: no network {winner!r}; {did_you_mean(winner, means)}")
    with drawing(axes, size=(10.0, _height(means))) as drawn:
        for row, (name, mean) in enumerate(means.items()):
            seeds = "one training" if row == 0 else None
            ticks: dict[str, Any] = {"markersize": 22, "markeredgewidth": 2.5, "color": PLAIN, "label": seeds}
            drawn.plot(mean.per_seed, [-row] * len(mean.per_seed), "|", zorder=2, **ticks)
            text = f"mean, {100 * level:.0f} % interval" if name == (winner or next(iter(means))) else None
            style: dict[str, Any] = {"color": SIGNAL if name == winner else "black", "label": text, "zorder": 3}
            style |= {"markersize": 15, "marker": "D", "markerfacecolor": "none", "markeredgewidth": 2.5}
            interval = mean.signal_efficiency
            drawn.errorbar(interval.value, -row, xerr=arms(interval), linewidth=3, linestyle="none", **style)
        _finish(drawn, list(means), label)
    return drawn


def differences(
    found: Mapping[str, Estimate],
    *,
    label: str = r"Difference in signal efficiency $\varepsilon_s$",
    told_apart: Sequence[bool | None] | None = None,
    level: float = LEVEL_APART,
    axes: Axes | None = None,
) -> Axes:
    """Differences with their intervals and the verdicts on them.

    Parameters
    ----------
    found : mapping of text to Estimate
        From the top down; the text says what was subtracted, such as "a − b", on several lines if it is long.
    label : str
        Of the horizontal axis; say here at which working point.
    told_apart : sequence of bool or None, optional
        The verdict on each, such as ``SeedDifference.told_apart``; none on any if not given.
    level : float
        Confidence level of the intervals, for the legend.
    axes : Axes, optional
        Where to draw; a new figure, as high as the rows need, if there is none.

    Raises
    ------
    DataError
        Nothing to draw.
    """
    if not found:
        raise DataError("differences: there is nothing to draw")
    kinds = {
        True: ("different", SIGNAL, "D"),
        False: ("statistically compatible", BACKGROUND, "o"),
        None: ("difference", "black", "s"),
    }
    verdicts = told_apart or [None] * len(found)
    with drawing(axes, size=(10.0, _height(found))) as drawn:
        drawn.axvline(0.0, color="black", linewidth=1.5, zorder=0.5)
        named = set()
        for row, (estimate, verdict) in enumerate(zip(found.values(), verdicts, strict=True)):
            name, colour, marker = kinds[verdict]
            style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 11, "linewidth": 3}
            drawn.errorbar(
                estimate.value,
                -row,
                xerr=arms(estimate),
                linestyle="none",
                label=None if name in named else f"{name} ({100 * level:.0f} %)",
                **style,
            )
            named.add(name)
        _finish(drawn, list(found), label)
    return drawn


def _height(names: Iterable[str]) -> float:
    """Height of a figure in inches, with room for the legend above the frame."""
    lines = [1 + name.count("\n") for name in names]
    return rows_height(len(lines), 0.3 + 0.3 * max(lines), around=2.8, least=4.5)


def _finish(drawn: Axes, names: Sequence[str], label: str) -> None:
    """Name rows and horizontal axis, with not too many numbers; the legend."""
    drawn.locator_params(axis="x", nbins=5)
    name_rows(drawn, names)
    drawn.margins(x=0.08)
    drawn.set_xlabel(label)
    drawn.legend(ncols=2, columnspacing=1, **ABOVE)
