"""Charts of what the models are worth: efficiency, rejection, turn-on, scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from fpgaml.evaluation import Evaluation, Performance
from fpgaml.events import Floats
from fpgaml.html_report.vega import (
    LABELS,
    Rows,
    Spec,
    by_model,
    chart,
    columns,
    hover,
    log_axis,
    quantitative,
    short,
    tip,
)
from fpgaml.metrics import Estimate, TurnOnCurve

_X = {"rate_khz": "Trigger rate [kHz]", "background_efficiency": "Background efficiency ε_b"}
_EFFICIENCY, _REJECTION = "Signal efficiency ε_s", "Background rejection 1/ε_b"
_UNIT: Spec = {"scale": {"domain": [0, 1.04], "nice": False}, "axis": {"values": [0, 0.2, 0.4, 0.6, 0.8, 1]}}
"""An efficiency; what lies at 1 is seen whole."""
_INTERVAL = "68 % interval"


def efficiency_chart(evaluation: Evaluation) -> Spec:
    """Signal efficiency against trigger rate or background efficiency, with bands and working points."""
    kind = evaluation.targets[0].kind
    points = [point for point in evaluation.performances if point.target.kind == kind]
    asked = sorted({point.target.value for point in points})
    rows: Rows = [
        {
            "model": LABELS[name],
            "x": short(x),
            "y": short(y),
            "low": _end(low),
            "high": _end(high),
            "threshold": short(threshold),
        }
        for name, curve in evaluation.curves.items()
        for x, y, low, high, threshold in columns(
            curve.background, curve.signal_efficiency, curve.signal_low, curve.signal_high, curve.thresholds
        )
        if x > 0
    ]
    highest = max(float(curve.background.max()) for curve in evaluation.curves.values())
    lowest = min(asked) / 10 if asked else min(row["x"] for row in rows)
    marks = _working_points((point, point.achieved, point.signal_efficiency) for point in points)
    return _model_chart(
        rows,
        marks,
        models=evaluation.models,
        x=log_axis(_X[kind], (lowest, highest)),
        y={"title": _EFFICIENCY, **_UNIT},
        rules=asked,
        extra={"threshold": "threshold (logit)"},
    )


def rejection_chart(evaluation: Evaluation) -> Spec:
    """Background rejection against signal efficiency, with bands and working points."""
    points = [point for point in evaluation.performances if math.isfinite(point.background_rejection.value)]
    rows: Rows = [
        {
            "model": LABELS[name],
            "x": short(x),
            "y": short(y),
            "low": _end(low),
            "high": _end(high),
            "threshold": short(threshold),
        }
        for name, curve in evaluation.curves.items()
        for x, y, low, high, threshold in columns(
            curve.signal_efficiency, curve.background_rejection, curve.rejection_low, curve.rejection_high,
            curve.thresholds,
        )
        if math.isfinite(y)
    ]  # fmt: skip
    # far above the working points a few events decide: not worth the room
    top = 30 * max((point.background_rejection.value for point in points), default=0.0)
    top = top or max((row["y"] for row in rows), default=10.0)
    marks = _working_points((point, point.signal_efficiency, point.background_rejection) for point in points)
    return _model_chart(
        rows,
        marks,
        models=evaluation.models,
        x={"title": _EFFICIENCY, **_UNIT},
        y=log_axis(_REJECTION, (1.0, top)),
        extra={"threshold": "threshold (logit)"},
    )


def turn_on_chart(curves: Mapping[str, TurnOnCurve], *, quantity: str) -> Spec:
    """Share of signal that passes, in bins of a quantity."""
    rows: Rows = [
        {
            "model": LABELS[name],
            "x": short((left + right) / 2),
            "y": short(value),
            "low": short(low),
            "high": short(high),
            "events": int(events),
        }
        for name, curve in curves.items()
        for left, right, value, low, high, events in columns(
            curve.edges[:-1], curve.edges[1:], curve.value, curve.low, curve.high, curve.events
        )
        if math.isfinite(value)
    ]
    return _model_chart(
        rows,
        [],
        models=tuple(curves),
        x={"title": quantity, "scale": {"zero": False}},
        y={"title": _EFFICIENCY, **_UNIT},
        extra={"events": "signal events in the bin"},
    )


def score_chart(
    shares: Mapping[str, Mapping[str, Floats]], edges: Floats, *, threshold: float, threshold_label: str
) -> Spec:
    """Scores of signal and of background, each class weighted to one: ``shares[model][class]`` per bin."""
    positive = [found[found > 0].min() for by_class in shares.values() for found in by_class.values()]
    bottom = 10.0 ** math.floor(math.log10(min(positive)))
    top = max(found.max() for by_class in shares.values() for found in by_class.values())
    centres = (edges[:-1] + edges[1:]) / 2
    rows: Rows = [
        {"model": LABELS[name], "class": label, "x": short(x), "y": short(max(y, bottom)), "share": short(y)}
        for name, by_class in shares.items()
        for label, found in by_class.items()
        for x, y in columns(centres, found)
        if y > 0 or name != "csim"
    ]
    colour = {
        "field": "class",
        "type": "nominal",
        "scale": {"domain": ["signal", "background"], "range": ["var(--signal)", "var(--background)"]},
    }
    x = quantitative("x", title="Score (logit)", scale={"domain": [short(edges[0]), short(edges[-1])], "nice": False})
    y = quantitative("y", **log_axis("Share of the class per bin", (bottom, min(1.0, 2 * top))))
    tooltip = [
        tip("class", "class"),
        tip("model", "model"),
        tip("x", "score, middle of the bin"),
        tip("share", "share of the class"),
    ]
    drawn, firmware = _split()
    dash = {
        **by_model("dash", [name for name in shares if name != "csim"]),
        "legend": {"symbolStrokeColor": "var(--ink)"},
    }
    layers: list[Spec] = [
        {
            "transform": drawn,
            "mark": {"type": "line", "interpolate": "step", "strokeWidth": 2, "clip": True},
            "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash},
        },
        hover(x, y, tooltip),
        {
            "data": {"values": [{"x": threshold, "label": threshold_label}]},
            "mark": {"type": "rule", "strokeDash": [2, 3], "strokeWidth": 2, "color": "var(--ink)"},
            "encoding": {"x": x, "tooltip": [tip("label", "working point"), tip("x", "threshold (logit)")]},
        },
    ]
    if "csim" in shares:
        mark = {"type": "point", "shape": "diamond", "size": 30, "strokeWidth": 1, "clip": True}
        layers.insert(1, {"transform": firmware, "mark": mark, "encoding": {"x": x, "y": y, "color": colour}})
    return chart({"values": rows}, layers)


def _model_chart(
    rows: Rows,
    marks: Rows,
    *,
    models: Sequence[str],
    x: Spec,
    y: Spec,
    extra: Mapping[str, str],
    rules: Sequence[float] = (),
) -> Spec:
    """Lines with bands for float twin and QKeras, markers for the csim, which should lie on the QKeras line."""
    horizontal, vertical = quantitative("x", **x), quantitative("y", **y)
    colour = by_model("colour", models)
    place = {"x": horizontal, "y": vertical, "color": colour}
    drawn, firmware = _split()
    # as a condition, because in the legend it would fray the symbol
    dash = {"condition": {"test": f"datum.model === '{LABELS['float']}'", "value": [6, 4]}, "value": [1, 0]}
    tooltip = [
        tip("model", "model"),
        tip("x", x["title"]),
        tip("y", y["title"]),
        tip("low", f"{_INTERVAL}: from"),
        tip("high", "to"),
        *(tip(field, title) for field, title in extra.items()),
    ]
    layers: list[Spec] = []
    if rules:
        layers.append(
            {
                "data": {"values": [{"x": value} for value in rules]},
                "mark": {"type": "rule", "strokeDash": [2, 4], "color": "var(--dim)", "clip": True},
                "encoding": {"x": horizontal, "tooltip": [tip("x", f"requested: {x['title']}")]},
            }
        )
    layers += [
        {
            "transform": drawn,
            "mark": {"type": "area", "opacity": 0.2, "clip": True},
            "encoding": {"x": horizontal, "y": {**vertical, "field": "low"}, "y2": {"field": "high"}, "color": colour},
        },
        {
            "transform": drawn,
            "mark": {"type": "line", "strokeWidth": 2, "clip": True},
            "encoding": {**place, "strokeDash": dash},
        },
        {
            "transform": firmware,
            "mark": {"type": "point", "size": 36, "strokeWidth": 1.2, "clip": True},
            "encoding": {**place, "shape": by_model("shape", models)},
        },
        hover(horizontal, vertical, tooltip),
    ]
    if "csim" not in models:
        del layers[-2]
    if marks:
        layers += _marked(marks, horizontal, vertical, colour, models, (x["title"], y["title"]))
    return chart({"values": rows}, layers)


def _split() -> tuple[list[Spec], list[Spec]]:
    """Filters for the models that are drawn as lines, and for the firmware, which is drawn as markers."""
    name = LABELS["csim"]
    return [{"filter": f"datum.model !== '{name}'"}], [{"filter": f"datum.model === '{name}'"}]


def _marked(
    marks: Rows, horizontal: Spec, vertical: Spec, colour: Spec, models: Sequence[str], titles: tuple[str, str]
) -> list[Spec]:
    """Working points, with bars for both intervals."""
    tooltip = [
        tip("model", "model"),
        tip("asked", "requested"),
        tip("x", titles[0]),
        tip("xs", f"{_INTERVAL}, horizontal"),
        tip("y", titles[1]),
        tip("ys", f"{_INTERVAL}, vertical"),
    ]
    data, bar = {"values": marks}, {"type": "rule", "strokeWidth": 2, "clip": True}
    across = {"x": {**horizontal, "field": "x_low"}, "x2": {"field": "x_high"}, "y": vertical, "color": colour}
    upright = {"y": {**vertical, "field": "y_low"}, "y2": {"field": "y_high"}, "x": horizontal, "color": colour}
    shape = by_model("shape", models)
    point = {"x": horizontal, "y": vertical, "color": colour, "shape": shape, "tooltip": tooltip}
    hollow = {"type": "point", "size": 110, "strokeWidth": 2, "fill": "var(--paper)", "clip": True}
    return [
        {"data": data, "mark": bar, "encoding": across},
        {"data": data, "mark": bar, "encoding": upright},
        {"data": data, "mark": hollow, "encoding": point},
    ]


def _end(value: float) -> float | None:
    """An end of a band; null, where the band breaks off, if there is none."""
    return short(value) if math.isfinite(value) else None


def _working_points(points: Iterable[tuple[Performance, Estimate, Estimate]]) -> Rows:
    """Where points were achieved; those that a logarithmic axis has no place for are left to the table."""
    return [
        {
            "model": LABELS[point.model],
            "asked": f"{point.target.value:g}{' kHz' if point.target.kind == 'rate_khz' else ''}",
            "x": short(x.value),
            "x_low": short(x.low),
            "x_high": short(x.high),
            "y": short(y.value),
            "y_low": short(y.low),
            "y_high": short(y.high),
            "xs": f"{x.low:.4g} to {x.high:.4g}",
            "ys": f"{y.low:.4g} to {y.high:.4g}",
        }
        for point, x, y in points
        if all(math.isfinite(end) for found in (x, y) for end in (found.value, found.low, found.high))
        and (x.low > 0 or x is point.signal_efficiency)
    ]
