"""The figures of a report and of notebooks: values in, a matplotlib ``Axes`` out.

Drawn in mplhep's ROOT style, for the one figure at hand: no global setting is touched. Without an experiment's name,
because nothing here is approved by one. Colours are those of Petroff, arXiv:2107.02270, chosen to stay apart for
colour-blind readers; line styles and markers tell the models apart without any colour.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fpgaml.curves import Curve
from fpgaml.errors import DataError, did_you_mean
from fpgaml.evaluation import Performance
from fpgaml.events import Floats
from fpgaml.metrics import Estimate
from fpgaml.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class _Look:
    label: str
    colour: str
    line: str
    marker: str


LOOKS = {
    "float": _Look("float twin", "#5790fc", "--", "s"),
    "qkeras": _Look("QKeras", "#e42536", "-", "o"),
    "csim": _Look("csim (firmware)", "#222222", "none", "D"),
}
_FRAME: dict[str, Any] = {"frameon": True, "framealpha": 0.9, "facecolor": "white", "edgecolor": "none", "fontsize": 19}
_Corner = Literal["lower right", "lower left"]
_SIGNAL, _BACKGROUND = "#e42536", "#5790fc"
_BACKGROUND_AXIS = {"rate_khz": "Trigger rate [kHz]", "background_efficiency": r"Background efficiency $\varepsilon_b$"}


def signal_efficiency_curve(
    curves: Mapping[str, Curve], *, working_points: Sequence[Performance] = (), axes: Axes | None = None
) -> Axes:
    """Signal efficiency against trigger rate, or against background efficiency where there is no rate.

    Parameters
    ----------
    curves : mapping of "float", "qkeras" or "csim" to Curve
        All of one kind. Bands are those of ``Curve.signal_low`` and ``signal_high``. The csim is drawn as markers,
        because it should lie on the QKeras model's curve.
    working_points : sequence of Performance
        Marked where they were achieved, with both intervals; a dotted line stands at what was asked for.
    axes : Axes, optional
        Where to draw; a new figure if there is none.

    Raises
    ------
    DataError
        No curves, or curves of two kinds.
    """
    kind = _one_kind(curves)
    with _drawing(axes) as drawn:
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
        _legend(drawn, curves, "lower right", points=bool(points), asked=bool(points))
    return drawn


def background_rejection_curve(
    curves: Mapping[str, Curve], *, working_points: Sequence[Performance] = (), axes: Axes | None = None
) -> Axes:
    """Background rejection, 1 / background efficiency, against signal efficiency.

    Arguments and errors as in ``signal_efficiency_curve``; bands and bars of the rejection hold test background.
    """
    _one_kind(curves)
    with _drawing(axes) as drawn:
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
        _legend(drawn, curves, "lower left", points=bool(points), asked=False)
    return drawn


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

    _known(histories, "training curves")
    with _drawing(axes) as drawn:
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

    _known(scores, "score distributions")
    weight = np.ones(len(y)) if weights is None else weights
    edges = score_edges(scores, n_bins=n_bins)
    with _drawing(axes) as drawn:
        lowest = 1.0
        for label, colour, chosen in (("signal", _SIGNAL, y == 1), ("background", _BACKGROUND, y == 0)):
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
        drawn.legend(*shown, loc="upper left", ncols=2, columnspacing=1, **_FRAME).set_in_layout(False)
    return drawn


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
            **_hollow(look, 6),
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


def save(axes: Axes, path_stem: Path) -> tuple[Path, Path]:
    """Write the figure of ``axes`` as ``<path_stem>.png`` and ``<path_stem>.pdf``, each whole or not at all.

    The same figure gives the same bytes. Raises OutputError where it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = axes.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise DataError("save: the axes belong to no figure")
    written = []
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        path = path_stem.with_name(path_stem.name + suffix)
        with _style(), atomic_path(path) as fresh:
            figure.savefig(fresh, dpi=100, metadata=metadata)
        written.append(path)
    return written[0], written[1]


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """The ROOT style of mplhep, with smaller type, while the block lasts."""
    import matplotlib as mpl
    import mplhep

    root = mplhep.style.ROOT
    ours = {
        # by name: "sans-serif" alone and "custom" are looked up only when drawn, which may be out of the style
        "font.family": ["TeX Gyre Heros", "sans-serif"],
        "mathtext.fontset": "stixsans",
        "font.size": 24,
        "figure.figsize": (10.0, 8.0),
        "figure.constrained_layout.use": True,
    }
    with mpl.rc_context():
        mpl.rcParams.update(root | ours)
        yield


@contextlib.contextmanager
def _drawing(axes: Axes | None) -> Iterator[Axes]:
    """``axes``, or those of a new figure that no window holds, to be drawn on in style."""
    from matplotlib.figure import Figure

    with _style():
        figure = Figure()
        yield figure.subplots() if axes is None else axes
        if axes is None:
            figure.draw_without_rendering()  # ticks and fonts are settled only now, and must be so in style


def _line(drawn: Axes, name: str, x: Floats, value: Floats, low: Floats, high: Floats) -> None:
    look = LOOKS[name]
    if look.line == "none":
        drawn.plot(x, value, color=look.colour, markevery=3, label=look.label, zorder=3, **_hollow(look, 6))
        return
    drawn.fill_between(x, low, high, color=look.colour, alpha=0.25, linewidth=0)
    drawn.plot(x, value, linestyle=look.line, linewidth=2.5, color=look.colour, label=look.label)


def _mark(drawn: Axes, name: str, x: Estimate, y: Estimate) -> None:
    look = LOOKS[name]
    # what coincides stays visible: thin and hollow over thick and full
    style = {"linewidth": 1.2, **_hollow(look, 14)} if look.line == "none" else {"linewidth": 3, "markersize": 9}
    settings: dict[str, Any] = {"marker": look.marker, "color": look.colour, "linestyle": "none", "zorder": 4, **style}
    drawn.errorbar(x.value, y.value, xerr=_arms(x), yerr=_arms(y), **settings)


def _hollow(look: _Look, size: float) -> dict[str, Any]:
    return {"marker": look.marker, "markersize": size, "markerfacecolor": "none", "linestyle": "none"}


def _legend(drawn: Axes, curves: Mapping[str, Curve], loc: _Corner, *, points: bool, asked: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found = drawn.get_legend_handles_labels()
    handles: list[Artist] = list(found[0])
    labels = [str(label) for label in found[1]]
    handles.append(Patch(color="0.5", alpha=0.35, linewidth=0))
    labels.append(f"{100 * next(iter(curves.values())).level:.0f} % interval")
    if points:
        handles.append(Line2D([], [], color="0.3", linestyle="none", marker="o", markersize=9))
        labels.append("working points")
    if asked:
        handles.append(Line2D([], [], color="0.6", linestyle=":", linewidth=1.5))
        labels.append("asked for")
    drawn.legend(handles, labels, loc=loc, **_FRAME)


def _arms(estimate: Estimate) -> Floats:
    """Lengths of the error bar below and above, shape (2, 1); none where the interval has no end."""
    ends = np.array([[estimate.value - estimate.low], [estimate.high - estimate.value]], np.float64)
    return np.asarray(np.nan_to_num(ends, nan=0.0))


def _known(given: Mapping[str, Any], what: str) -> None:
    if not given:
        raise DataError(f"{what}: nothing to draw")
    for name in given:
        if name not in LOOKS:
            raise DataError(f"{what}: unknown model {name!r}; {did_you_mean(name, LOOKS)}")


def _one_kind(curves: Mapping[str, Curve]) -> str:
    _known(curves, "curves")
    kinds = sorted({curve.kind for curve in curves.values()})
    if len(kinds) > 1:
        raise DataError(f"curves: one figure shows one kind, found {' and '.join(kinds)}")
    return kinds[0]
