"""Efficiency against what is let through, against rejection, and against a quantity of the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fpgaml.curves import Curve
from fpgaml.drawing import drawing
from fpgaml.errors import DataError
from fpgaml.evaluation import Performance
from fpgaml.events import Floats
from fpgaml.figures._looks import FRAME, LOOKS, arms, check_models, hollow
from fpgaml.metrics import LEVEL, Estimate, TurnOnCurve

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_Corner = Literal["lower right", "lower left", "upper left"]
_BACKGROUND_AXIS = {"rate_khz": "Trigger rate [kHz]", "background_efficiency": r"Background efficiency $\varepsilon_b$"}


def signal_efficiency_curve(
    curves: Mapping[str, Curve], *, working_points: Sequence[Performance] = (), axes: Axes | None = None
) -> Axes:
    """Signal efficiency against trigger rate, or against background efficiency where there is no rate.

    Parameters
    ----------
    curves : mapping of "float", "qkeras" or "csim" to Curve
        All of one kind. Bands are those of ``Curve.signal_low`` and ``signal_high``, and end where these do. The csim
        is drawn as markers, because it should lie on the QKeras model's curve.
    working_points : sequence of Performance
        Marked where they were achieved, with both intervals; a dotted line stands at what was requested.
    axes : Axes, optional
        Where to draw; a new figure if there is none.

    Raises
    ------
    DataError
        No curves, or curves of two kinds.
    """
    kind = _one_kind(curves)
    with drawing(axes) as drawn:
        for name, curve in curves.items():
            _line(drawn, name, curve.background, curve.signal_efficiency, curve.signal_low, curve.signal_high)
        points = [point for point in working_points if point.target.kind == kind]
        for value in sorted({point.target.value for point in points}):
            drawn.axvline(value, color="0.6", linestyle=":", linewidth=1.5, zorder=0.5)
        for point in points:
            if point.achieved.value > 0:  # a rate of zero has no place on a logarithmic axis
                _mark(drawn, point.model, point.achieved, point.signal_efficiency)
        highest = max(float(curve.background.max()) for curve in curves.values())
        asked = [point.target.value for point in points]
        lowest = min(asked) / 10 if asked else min(float(curve.background.min()) for curve in curves.values())
        drawn.set(xscale="log", xlim=(lowest, highest), ylim=(0.0, 1.08))
        drawn.set_xlabel(_BACKGROUND_AXIS[kind])
        drawn.set_ylabel(r"Signal efficiency $\varepsilon_s$")
        _legend(drawn, _level(curves), "lower right", points=bool(points), asked=bool(points))
    return drawn


def background_rejection_curve(
    curves: Mapping[str, Curve], *, working_points: Sequence[Performance] = (), axes: Axes | None = None
) -> Axes:
    """Background rejection, 1 / background efficiency, against signal efficiency.

    Arguments and errors as in ``signal_efficiency_curve``; bands and bars of the rejection hold test background.
    """
    _one_kind(curves)
    with drawing(axes) as drawn:
        for name, curve in curves.items():
            _line(
                drawn,
                name,
                curve.signal_efficiency,
                curve.background_rejection,
                curve.rejection_low,
                curve.rejection_high,
            )
        points = [point for point in working_points if np.isfinite(point.background_rejection.value)]
        for point in points:
            _mark(drawn, point.model, point.signal_efficiency, point.background_rejection)
        drawn.set(yscale="log", xlim=(0.0, 1.0))
        # far above the working points a few events decide: not worth the room
        top = 30 * max(point.background_rejection.value for point in points) if points else None
        drawn.set_ylim(bottom=1.0, top=top)
        drawn.set_xlabel(r"Signal efficiency $\varepsilon_s$")
        drawn.set_ylabel(r"Background rejection $1/\varepsilon_b$")
        _legend(drawn, _level(curves), "lower left", points=bool(points), asked=False)
    return drawn


def turn_on_curve(
    curves: Mapping[str, TurnOnCurve], *, quantity: str, level: float = LEVEL, axes: Axes | None = None
) -> Axes:
    """Signal efficiency against a quantity of the events, bin by bin.

    Parameters
    ----------
    curves : mapping of "float", "qkeras" or "csim" to TurnOnCurve
        As ``metrics.turn_on_curve`` gives them. Models are steps with bands, the csim is markers in the middle of the
        bins, because it should lie on the QKeras model's steps. Bins without events stay empty.
    quantity : str
        The horizontal axis, with its unit, such as "Generated $H_T$ [GeV]".
    level : float
        Confidence level of the curves' intervals, for the legend.
    axes : Axes, optional
        Where to draw; a new figure if there is none.

    Raises
    ------
    DataError
        No curves, an unknown model, or no event in any bin.
    """
    check_models(curves, "turn-on curve")
    if not any(curve.events.any() for curve in curves.values()):
        raise DataError("turn-on curve: no event lies in any bin")
    with drawing(axes) as drawn:
        for name, curve in curves.items():
            look = LOOKS[name]
            if look.line == "none":
                centres = (curve.edges[:-1] + curve.edges[1:]) / 2
                bars = curve.value - curve.low, curve.high - curve.value
                settings: dict[str, Any] = {"color": look.colour, "linewidth": 1.2, "zorder": 3, **hollow(look, 10)}
                drawn.errorbar(centres, curve.value, yerr=bars, label=look.label, **settings)
                continue
            drawn.stairs(curve.high, curve.edges, baseline=curve.low, fill=True, color=look.colour, alpha=0.25)
            steps: dict[str, Any] = {
                "linestyle": look.line,
                "linewidth": 2.5,
                "color": look.colour,
                "label": look.label,
            }
            drawn.stairs(curve.value, curve.edges, baseline=None, **steps)
        edges = np.concatenate([curve.edges for curve in curves.values()])
        drawn.set(xlim=(edges.min(), edges.max()), ylim=(-0.04, 1.08))  # markers at zero are seen whole
        drawn.set_xlabel(quantity)
        drawn.set_ylabel(r"Signal efficiency $\varepsilon_s$")
        _legend(drawn, level, "upper left", points=False, asked=False)
    return drawn


def _line(drawn: Axes, name: str, x: Floats, value: Floats, low: Floats, high: Floats) -> None:
    look = LOOKS[name]
    if look.line == "none":
        drawn.plot(x, value, color=look.colour, markevery=3, label=look.label, zorder=3, **hollow(look, 6))
        return
    drawn.fill_between(x, low, high, color=look.colour, alpha=0.25, linewidth=0)
    drawn.plot(x, value, linestyle=look.line, linewidth=2.5, color=look.colour, label=look.label)


def _mark(drawn: Axes, name: str, x: Estimate, y: Estimate) -> None:
    look = LOOKS[name]
    # what coincides stays visible: thin and hollow over thick and full
    style = {"linewidth": 1.2, **hollow(look, 14)} if look.line == "none" else {"linewidth": 3, "markersize": 9}
    settings: dict[str, Any] = {"marker": look.marker, "color": look.colour, "linestyle": "none", "zorder": 4, **style}
    drawn.errorbar(x.value, y.value, xerr=arms(x), yerr=arms(y), **settings)


def _legend(drawn: Axes, level: float, loc: _Corner, *, points: bool, asked: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found = drawn.get_legend_handles_labels()
    handles: list[Artist] = list(found[0])
    labels = [str(label) for label in found[1]]
    handles.append(Patch(color="0.5", alpha=0.35, linewidth=0))
    labels.append(f"{100 * level:.0f} % interval")
    if points:
        handles.append(Line2D([], [], color="0.3", linestyle="none", marker="o", markersize=9))
        labels.append("working points")
    if asked:
        handles.append(Line2D([], [], color="0.6", linestyle=":", linewidth=1.5))
        labels.append("requested")
    drawn.legend(handles, labels, loc=loc, **FRAME)


def _one_kind(curves: Mapping[str, Curve]) -> str:
    check_models(curves, "curves")
    kinds = sorted({curve.kind for curve in curves.values()})
    if len(kinds) > 1:
        raise DataError(f"curves: one figure shows one kind, found {' and '.join(kinds)}")
    return kinds[0]


def _level(curves: Mapping[str, Curve]) -> float:
    return next(iter(curves.values())).level
