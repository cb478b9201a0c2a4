"""What all charts of the page share: their look, and pieces of Vega-Lite specifications.

Colours are names of the page's style sheet, so that light, dark and print have their own without anything being drawn
again. Vega-Lite is described at https://vega.github.io/vega-lite/docs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Spec = dict[str, Any]
Rows = list[dict[str, Any]]

LABELS = {"float": "float twin", "qkeras": "QKeras", "csim": "csim (firmware)"}
_COLOURS = {"float": "var(--float)", "qkeras": "var(--qkeras)", "csim": "var(--csim)"}
_DASHES = {"float": [6, 4], "qkeras": [1, 0], "csim": [1, 0]}
_SHAPES = {"float": "square", "qkeras": "circle", "csim": "diamond"}

_TEXT = {"labelColor": "var(--ink)", "titleColor": "var(--ink)", "labelFontSize": 12, "titleFontSize": 13}
CONFIG: Spec = {
    "font": "system-ui, sans-serif",
    "background": "transparent",
    "aria": False,  # the figure has a text of its own; hundreds of marks would only be read out one by one
    "view": {"stroke": None},
    "axis": {
        **_TEXT,
        "titleFontWeight": "normal",
        "gridColor": "var(--line)",
        "domainColor": "var(--dim)",
        "tickColor": "var(--dim)",
        "labelLimit": 240,
    },
    "axisX": {"tickCount": 8, "labelOverlap": True},
    "legend": {**_TEXT, "title": None, "orient": "top", "labelLimit": 300, "symbolStrokeWidth": 2, "columnPadding": 16},
    "point": {"strokeWidth": 2},
}


def chart(
    data: Spec,
    layers: list[Spec],
    *,
    params: Sequence[Spec] = (),
    transform: Sequence[Spec] = (),
    height: int | Spec = 320,
) -> Spec:
    """Layers over shared data, as wide as their place; the page adds ``CONFIG``."""
    return {
        "data": data,
        **({"params": list(params)} if params else {}),
        **({"transform": list(transform)} if transform else {}),
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "layer": layers,
    }


def hover(x: Spec, y: Spec, tooltip: list[Spec]) -> Spec:
    """Marks that nobody sees, for values on hover."""
    mark = {"type": "point", "size": 90, "opacity": 0, "filled": True, "clip": True}
    return {"mark": mark, "encoding": {"x": x, "y": y, "tooltip": tooltip}}


def by_model(look: str, models: Sequence[str]) -> Spec:
    """Colour, dashes or shape of a model, with one legend for all three, of models that are there."""
    kinds: Mapping[str, Mapping[str, Any]] = {"colour": _COLOURS, "dash": _DASHES, "shape": _SHAPES}
    looks = kinds[look]
    scale = {"domain": [LABELS[name] for name in models], "range": [looks[name] for name in models]}
    return {"field": "model", "type": "nominal", "scale": scale, "legend": {"symbolOpacity": 1}}


def solid_and_dashed(field: str, names: Sequence[str]) -> Spec:
    """The first solid, the others dashed."""
    dashes = [[1, 0], *([4, 3] for _ in names[1:])]
    legend = {"symbolStrokeColor": "var(--ink)"}
    return {"field": field, "type": "nominal", "scale": {"domain": list(names), "range": dashes}, "legend": legend}


def epochs_axis(longest: int) -> Spec:
    """The field ``epoch``, in whole numbers."""
    axis = {"tickMinStep": 1, "format": "d", "grid": False}
    return quantitative("epoch", title="Epoch", scale={"domain": [0.5, longest + 0.5], "nice": False}, axis=axis)


def log_axis(title: str, domain: tuple[float, float]) -> Spec:
    """A logarithmic axis, with labels at powers of ten where it has two of them."""
    low, high = domain
    powers = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    number = ".0e" if low < 1e-4 else "~s" if high >= 1e6 else "~g"
    axis: Spec = {"values": powers, "format": number} if len(powers) > 1 else {"tickCount": 5, "format": "~s"}
    return {
        "title": title,
        "scale": {"type": "log", "domain": [short(low), short(high)], "nice": False},
        "axis": axis,
    }


def quantitative(field: str, **options: Any) -> Spec:
    """A field of numbers."""
    return {"field": field, "type": "quantitative", **options}


def tip(field: str, title: str, form: str = "") -> Spec:
    """A line of a tooltip; ``form`` is a number format of D3."""
    return {"field": field, "title": title, **({"format": form, "type": "quantitative"} if form else {})}


def columns(*arrays: Any) -> Iterable[tuple[Any, ...]]:
    """The rows of arrays that are equally long, as plain numbers."""
    return zip(*(np.asarray(array).tolist() for array in arrays), strict=True)


def short(value: float) -> float:
    """Five digits: more are not to be seen, and the page stays small."""
    return float(f"{value:.5g}")
