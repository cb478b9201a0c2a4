"""Charts of trainings, and of the trials of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpgaml.html_report.search_view import CURVES, SearchView
from fpgaml.html_report.vega import (
    LABELS,
    Rows,
    Spec,
    by_model,
    chart,
    epochs_axis,
    hover,
    log_axis,
    quantitative,
    short,
    solid_and_dashed,
    tip,
)


def training_chart(histories: Mapping[str, Mapping[str, Sequence[Any]]], *, quantity: str, title: str) -> Spec:
    """A quantity per epoch on training and on validation events; fine-tuning is shaded."""
    rows: Rows = [
        {"model": LABELS[name], "events": events, "epoch": epoch, "y": short(value)}
        for name, history in histories.items()
        for events, key in (("training", quantity), ("validation", f"val_{quantity}"))
        for epoch, value in enumerate(history.get(key, ()), start=1)
    ]
    longest = max((row["epoch"] for row in rows), default=1)
    tuned = [
        epoch
        for history in histories.values()
        for epoch, phase in enumerate(history.get("phase", ()), start=1)
        if phase == "fine_tune"
    ]
    y = quantitative("y", title=title, scale={"zero": False})
    encoding = {
        "x": epochs_axis(longest),
        "y": y,
        "color": by_model("colour", tuple(histories)),
        "strokeDash": solid_and_dashed("events", ("validation", "training")),
    }
    tooltip = [tip("model", "model"), tip("events", "events"), tip("epoch", "epoch"), tip("y", title.lower())]
    layers: list[Spec] = [
        {"mark": {"type": "line", "strokeWidth": 2, "point": longest < 2}, "encoding": encoding},
        hover(encoding["x"], encoding["y"], tooltip),
    ]
    if tuned:
        shade = [{"from": min(tuned) - 0.5, "to": max(tuned) + 0.5}]
        layers.insert(
            0,
            {
                "data": {"values": shade},
                "mark": {"type": "rect", "color": "var(--shade)"},
                "encoding": {"x": {**epochs_axis(longest), "field": "from"}, "x2": {"field": "to"}},
            },
        )
    return chart({"values": rows}, layers)


def front_chart(view: SearchView) -> Spec:
    """Score against the cost of the trials that were trained longest; the parameter ``chosen`` marks one of them."""
    rows: Rows = [
        {
            "trial": row.trial,
            "kind": "winner" if row.winner else "Pareto front" if row.front else "trial",
            "front": row.front,
            "choices": ", ".join(f"{name}: {value}" for name, value in row.choices.items()),
            **{name: None if value is None else short(value) for name, value in row.figures.items()},
        }
        for row in view.trials
        if row.compared and row.figures[view.cost]
    ]
    costs = [row[view.cost] for row in rows] or [1.0]
    domain = min(costs) / 1.15, max(costs) * 1.15
    x = quantitative(view.cost, **log_axis(view.columns[view.cost], domain))
    y = quantitative("score", title=f"Score on validation ({view.objective})", scale={"zero": False, "padding": 12})
    kinds = {"domain": ["trial", "Pareto front", "winner"]}
    tooltip = [
        tip("trial", "trial"),
        tip("choices", "choices"),
        tip("score", "score"),
        *(tip(name, view.columns[name], ",.0f") for name in dict.fromkeys((view.cost, "ebops", "parameters"))),
    ]
    return chart(
        {"values": rows},
        [
            {
                "transform": [{"filter": "datum.front"}],
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2, "color": "var(--float)"},
                "encoding": {"x": x, "y": y},
            },
            {
                "transform": [{"filter": "datum.trial === chosen"}],
                "mark": {"type": "point", "shape": "circle", "size": 500, "strokeWidth": 3, "color": "var(--ink)"},
                "encoding": {"x": x, "y": y},
            },
            {
                "mark": {"type": "point", "filled": True, "cursor": "pointer", "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": y,
                    "order": {"field": "front"},
                    "color": {
                        "field": "kind",
                        "type": "nominal",
                        "scale": {**kinds, "range": ["var(--dim)", "var(--float)", "var(--qkeras)"]},
                    },
                    "shape": {
                        "field": "kind",
                        "type": "nominal",
                        "scale": {**kinds, "range": ["circle", "square", "triangle-up"]},
                    },
                    "size": {
                        "condition": [
                            {"test": "datum.kind === 'winner'", "value": 170},
                            {"test": "datum.front", "value": 110},
                        ],
                        "value": 60,
                    },
                    "tooltip": tooltip,
                },
            },
        ],
        params=[{"name": "chosen", "value": view.winner}],
        height=340,
    )


def trial_curves_chart(view: SearchView, *, quantities: Mapping[str, str], title: str) -> Spec:
    """Curves of the trial in the parameter ``chosen``, and pale those of the winner.

    Parameters
    ----------
    view : SearchView
        Only its winner: the curves come from the page, where they stand once for all charts.
    quantities : mapping of column to label
        Two of them: the first is drawn solid, the other dashed.
    title : str
        Of the vertical axis.
    """
    longest = max((int(row.figures["epochs"] or 1) for row in view.trials), default=1)
    columns, labels = list(quantities), list(quantities.values())
    chosen = {"test": "datum.trial === chosen"}
    first = f"datum.quantity === '{columns[0]}'"
    encoding = {
        "x": epochs_axis(longest),
        "y": quantitative("value", title=title, scale={"zero": False}),
        "strokeDash": solid_and_dashed("label", labels),
    }
    tooltip = [tip("trial", "trial"), tip("label", "curve"), tip("epoch", "epoch"), tip("value", title.lower())]
    return chart(
        {"name": "curves", "format": {"type": "csv", "parse": dict.fromkeys(("epoch", *CURVES), "number")}},
        [
            {
                "mark": {"type": "line", "point": longest < 2},
                "encoding": {
                    **encoding,
                    "detail": {"field": "trial"},
                    "color": {"condition": {**chosen, "value": "var(--qkeras)"}, "value": "var(--dim)"},
                    "strokeWidth": {"condition": {**chosen, "value": 2.5}, "value": 1.2},
                },
            },
            hover(encoding["x"], encoding["y"], tooltip),
        ],
        params=[{"name": "chosen", "value": view.winner}],
        transform=[
            {"filter": f"datum.trial === chosen || datum.trial === '{view.winner}'"},
            {"fold": columns, "as": ["quantity", "value"]},
            {"filter": "isValid(datum.value)"},
            {"calculate": f"{first} ? '{labels[0]}' : '{labels[-1]}'", "as": "label"},
        ],
        height=220,
    )
