"""What the page says of a search: its trials, its front, and the curves of every trial."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fpgaml.errors import OutputError
from fpgaml.journal import JOURNAL, Journal
from fpgaml.logbook import curve_stdev, volatility
from fpgaml.ranking import order
from fpgaml.runs import Run
from fpgaml.search_options import METRICS
from fpgaml.tables import choice_text, cost_text, score_text

CURVES = ("loss", "val_loss", "signal_efficiency", "signal_efficiency_smooth")
"""Columns of the curves, after the trial and the epoch."""

FIGURES = {
    "epochs": "epochs",
    "score": "score",
    "signal_efficiency": "signal efficiency",
    "accuracy": "accuracy",
    "ebops": "EBOPs",
    "parameters": "parameters",
    "stdev": "stdev",
    "volatility": "volatility",
}
"""Columns of the table of trials that hold numbers, and their headings."""

PREDICTED = ("lut", "latency_ns")
"""Costs that a backend may predict for every trial, and that then have columns of their own."""


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial after the most epochs that it was trained for, everything measured on validation events.

    Parameters
    ----------
    trial : str
        Its id.
    choices : mapping of name to str
        As people read them.
    figures : mapping of name to float or None
        The columns of the table; None for what was not measured.
    compared : bool
        Whether it is one of those that were trained longest: only their scores compare.
    front, winner : bool
        Whether it is on the front, and whether it went on to firmware.
    """

    trial: str
    choices: Mapping[str, str]
    figures: Mapping[str, float | None]
    compared: bool
    front: bool
    winner: bool


@dataclass(frozen=True, kw_only=True)
class SearchView:
    """A search as the page shows it.

    Parameters
    ----------
    objective : str
        What the score estimates: where a cost is minimised, the metric that is limited.
    trials : tuple of TrialRow
        The best first; those that were trained longer come before those that were not.
    values : mapping of name to tuple of str
        The values that each choice had, for filters.
    front : tuple of str
        Ids, the cheapest first.
    winner : str
        An id; that of the best of the front where there is no winner yet.
    cost : str
        What the front is drawn against, such as "ebops".
    columns : mapping of name to str
        Figures of a trial, and their headings in the table.
    curves : str
        As CSV: ``trial,epoch`` and ``CURVES``, one line per trial and epoch.
    note : str
        What is missing, in a sentence; empty if nothing is.
    """

    objective: str
    trials: tuple[TrialRow, ...]
    values: Mapping[str, tuple[str, ...]]
    front: tuple[str, ...]
    winner: str
    cost: str
    columns: Mapping[str, str]
    curves: str
    note: str = ""


def search_view(run: Run) -> SearchView | None:
    """The search of a run; None where nothing was searched."""
    if run.search is None or "compared" not in run.search:
        return None
    compared = set(run.search["compared"]["trials"])
    front = tuple(entry["trial"] for entry in run.search["pareto_front"])
    # a search that minimises a cost has said itself which trial is best: the front's highest score is not
    minimised = run.search["objective"] not in METRICS
    best = max(run.search["pareto_front"], key=lambda entry: entry["score"])["trial"]
    best = run.search["best"] if minimised else best
    winner = run.winners["winner"]["search_trial"] if run.winners is not None else best
    events, note = _finished(run)
    cost = run.search.get("front_cost", "ebops")
    metric = run.search.get("metric", run.search["objective"])
    columns = FIGURES | {"score": score_text(run.search["objective"], metric)}
    columns |= {
        name: cost_text(name)
        for name in (*PREDICTED, cost, *([run.search["objective"]] * minimised))
        if any(name in (event.get("cost") or {}) for event in events)
        if name not in FIGURES
    }
    ordered = sorted(events, key=order)
    rows = tuple(
        TrialRow(
            trial=event["trial"],
            choices={name: choice_text(value) for name, value in event["choices"].items()},
            figures=_figures(event, columns),
            compared=event["trial"] in compared,
            front=event["trial"] in front,
            winner=run.winners is not None and event["trial"] == winner,
        )
        for event in ordered
    )
    return SearchView(
        objective=metric.replace("_", " "),
        trials=rows,
        values=_values(ordered),
        front=front,
        winner=winner if any(row.trial == winner for row in rows) else rows[0].trial,
        cost=cost,
        columns=columns,
        curves=_curves(ordered),
        note=note,
    )


def _finished(run: Run) -> tuple[list[Mapping[str, Any]], str]:
    """Of every trial that has a score, the event with most epochs; and what is missing."""
    try:
        events = [event for event in Journal(run.directory / JOURNAL).read() if event["event"] == "finished"]
        if not events:
            raise OutputError(f"{run.directory / JOURNAL}: holds no finished trial")
    except OutputError as error:
        assert run.search is not None
        epochs = run.search["compared"]["epochs"]
        kept: list[Mapping[str, Any]] = [{"epochs": epochs, **entry} for entry in run.search["pareto_front"]]
        return (
            kept,
            f"Only the trials of the front are listed, and without curves, because of the journal: {error}",
        )
    longest: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event["epochs"] >= longest.get(event["trial"], event)["epochs"]:
            longest[event["trial"]] = event
    return list(longest.values()), ""


def _figures(event: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, float | None]:
    curves, cost = event.get("curves") or {}, event.get("cost") or {}
    efficiency = (event.get("signal_efficiency") or {}).get("value")
    loss, val_loss = (_curve(curves, name) for name in ("loss", "val_loss"))
    apart = len(loss) == len(val_loss) > 1
    found = {name: cost.get(name) for name in columns} | {
        "epochs": event["epochs"],
        "score": event["score"],
        "signal_efficiency": _last(curves, "signal_efficiency") if efficiency is None else efficiency,
        "accuracy": _last(curves, "val_accuracy"),
        "stdev": curve_stdev(loss, val_loss) if apart else None,
        "volatility": volatility(loss, val_loss) if apart else None,
    }
    return {name: None if value is None or not math.isfinite(value) else value for name, value in found.items()}


def _curve(curves: Mapping[str, Any], name: str) -> list[float]:
    return [math.nan if value is None else float(value) for value in curves.get(name) or ()]


def _last(curves: Mapping[str, Any], name: str) -> float | None:
    curve = _curve(curves, name)
    return curve[-1] if curve else None


def _values(events: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """By choice, its values: in order where they have one."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        for name, value in event["choices"].items():
            found.setdefault(name, {})[json.dumps(value, sort_keys=True)] = value
    ordered = {}
    for name, values in found.items():
        try:
            kept = sorted(values.values())
        except TypeError:  # none among numbers, or mappings
            kept = sorted(values.values(), key=choice_text)
        ordered[name] = tuple(map(choice_text, kept))
    return ordered


def _curves(events: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    text.write(",".join(("trial", "epoch", *CURVES)) + "\n")
    for event in events:
        columns = [_curve(event.get("curves") or {}, name) for name in CURVES]
        for epoch in range(max(map(len, columns), default=0)):
            cells = [_cell(column[epoch]) if epoch < len(column) else "" for column in columns]
            text.write(f"{event['trial']},{epoch + 1},{','.join(cells)}\n")
    return text.getvalue()


def _cell(value: float) -> str:
    return f"{value:.5g}" if math.isfinite(value) else ""
