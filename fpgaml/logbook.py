"""A search as the logbook that people used to write by hand: what was tried, and the best of it with its figures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from fpgaml.ranking import feasible, order
from fpgaml.search_options import SearchOptions
from fpgaml.tables import aim_text, cost_text, escape, score_text, table

Format = Literal["markdown", "myst"]
Event = Mapping[str, Any]

FORMATS = ("markdown", "myst")
UNKNOWN = "–"

FIGURES = """\
Everything is measured on validation events, after the last epoch that the trial was trained for. Scores after different
numbers of epochs do not compare: trials with more epochs come first, and among those the better ones. With n epochs,
stdev = √(Σ(loss − val_loss)² / (n − 1)) says how far training and validation are apart, and volatility =
100/n · Σ(Δval_loss − Δloss)² how much the one jumps about while the other does not."""

RANKED = "Of trials with as many epochs, those that keep all limits come first, then those that miss them by less."


def curve_stdev(loss: ArrayLike, val_loss: ArrayLike) -> float:
    """How far the two losses of n epochs are apart: sqrt(sum((loss - val_loss)^2) / (n - 1)).

    Parameters
    ----------
    loss, val_loss : shape (n,)
        On training and on validation events, one number per epoch.

    Returns
    -------
    float
        In the unit of the loss; NaN for fewer than two epochs.
    """
    gap = np.asarray(val_loss, dtype=np.float64) - np.asarray(loss, dtype=np.float64)
    return math.sqrt(float(np.sum(gap**2)) / (gap.size - 1)) if gap.size > 1 else math.nan


def volatility(loss: ArrayLike, val_loss: ArrayLike) -> float:
    """How differently the two losses of n epochs move: 100/n times the sum of (Δval_loss - Δloss)^2.

    Δ is the change from one epoch to the next, so the sum has n - 1 parts. Parameters are those of ``curve_stdev``, and
    fewer than two epochs give NaN here too.
    """
    gap = np.asarray(val_loss, dtype=np.float64) - np.asarray(loss, dtype=np.float64)
    return 100 / gap.size * float(np.sum(np.diff(gap) ** 2)) if gap.size > 1 else math.nan


def logbook(
    events: Iterable[Event],
    *,
    format: Format,  # noqa: A002  as the command line calls it
    n: int,
    title: str = "Logbook",
    target: str = "",
    trials: Sequence[Mapping[str, Any]] = (),
    options: SearchOptions | None = None,
) -> str:
    """The logbook of a search.

    Parameters
    ----------
    events : iterable of mappings
        What the journal holds, in its order. Of a trial that finished several times, with more and more epochs, the
        event with most epochs counts. A finished event may have ``signal_efficiency``, an ``Estimate`` as JSON, beside
        its curves; without it the last epoch's value is shown, without an interval.
    format : {"markdown", "myst"}
        What tables are written as: plain Markdown, or MyST's list-table.
    n : int
        How many trials to show: first those that were trained longest, and of those the best, as in ``SearchResult``.
    title : str
        The first line.
    target : str
        Where the signal efficiency is taken, such as "10 kHz".
    trials : sequence of mappings
        The study's hand-picked trials, if it has any. Their numbers, counted from 1 in the study's order, then stand
        beside their ids.
    options : SearchOptions, optional
        Objective and limits of the search; where the objective is a cost it has a column, and so has whether limits
        hold where they steer the search. A metric without limits if not given.

    Raises
    ------
    ValueError
        Another format, or ``n`` below 1.
    """
    if format not in FORMATS:
        raise ValueError(f"format of a logbook should be one of {', '.join(FORMATS)}, found {format!r}")
    if n < 1:
        raise ValueError(f"a logbook shows at least 1 trial, found n = {n}")
    events = [event for event in events if "trial" in event]
    finished, failed = _finished(events), _failed(events)
    options = options or SearchOptions()
    best = sorted(finished.values(), key=order)[:n]
    picked = ["number"] if trials else []
    choices = _values_tried(events)
    label = f"-{events[0]['trial']}" if events else ""  # a label may stand once in a book of logbooks
    sections = [f"# {escape(title)}", _account(events, finished, failed)]
    if trials:
        sections.append(f"The study lists {_counted(len(trials), 'trial')}, picked by hand.")
    if options.feasible_first:
        sections.append(
            f"The search {aim_text(options.objective, [escape(limit) for limit in options.limits])}. {RANKED}"
        )
    if choices:
        rows = [[name, ", ".join(values)] for name, values in choices.items()]
        sections += ["## Values tried", _table(format, "Values tried", f"values{label}", ["choice", "values"], rows)]
    if best:
        heading = "The best trial" if len(best) == 1 else f"The best {len(best)} trials"
        efficiency = f"signal efficiency at {target}" if target else "signal efficiency"
        steering = _steering_headers(options)
        headers = [
            "trial", *picked, *choices, "epochs", *steering, "accuracy", efficiency, "parameters", "EBOPs", "stdev",
            "volatility",
        ]  # fmt: skip
        rows = [_row(event, list(choices), trials, options) for event in best]
        sections += [f"## {heading}", _table(format, heading, f"best{label}", headers, rows), FIGURES]
    if failed:
        headers = ["trial", *picked, *choices, "epochs", "reason"]
        rows = [
            [*_named(event, list(choices), trials), str(event.get("epochs", UNKNOWN)), str(event.get("reason"))]
            for event in failed.values()
        ]
        sections += ["## Failed", _table(format, "Failed trials", f"failed{label}", headers, rows)]
    return "\n\n".join(sections) + "\n"


def _finished(events: Sequence[Event]) -> dict[str, Event]:
    """By trial, the finished event with most epochs."""
    found: dict[str, Event] = {}
    for event in events:
        trial = event["trial"]
        if event["event"] == "finished" and (trial not in found or event["epochs"] >= found[trial]["epochs"]):
            found[trial] = event
    return found


def _failed(events: Sequence[Event]) -> dict[str, Event]:
    """By trial, its last failure, unless a later attempt got at least as far as the one that failed."""
    found: dict[str, Event] = {}
    for event in events:
        trial = event["trial"]
        if event["event"] == "failed":
            found[trial] = event
        elif event["event"] == "finished" and trial in found and event["epochs"] >= found[trial].get("epochs", 0):
            del found[trial]
    return found


def _account(events: Sequence[Event], finished: Mapping[str, Event], failed: Mapping[str, Event]) -> str:
    """How much was done, and when."""
    trials = {event["trial"] for event in events}
    if not trials:
        return "No trial has begun."
    unfinished = len(trials - set(finished) - set(failed))
    parts = [f"{len(finished)} finished", f"{len(failed)} failed"]
    both = len(set(finished) & set(failed))
    if both:
        parts[-1] += f" ({both} of them after finishing with fewer epochs)"
    if unfinished:
        parts.append(f"{unfinished} begun and not ended")
    done = [event for event in events if event["event"] == "finished"]
    epochs = sum(event["epochs"] - event.get("from_epochs", 0) for event in done)
    text = f"{_counted(len(trials), 'trial')}: {', '.join(parts)}. {_counted(epochs, 'epoch')} trained"
    times = sorted(str(event["time"]) for event in events if "time" in event)
    return text + (f", from {times[0]} to {times[-1]}." if times else ".")


def _values_tried(events: Sequence[Event]) -> dict[str, list[str]]:
    """By choice, the text of all values that trials had: in order where they have one."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        for name, value in event.get("choices", {}).items():
            found.setdefault(name, {})[json.dumps(value, sort_keys=True)] = value
    tried = {}
    for name, values in found.items():
        try:
            tried[name] = [_plain(value) for value in sorted(values.values())]
        except TypeError:  # null among numbers, or mappings
            tried[name] = sorted(map(_plain, values.values()))
    return tried


def _steering_headers(options: SearchOptions) -> list[str]:
    cost = [cost_text(options.objective)] if options.minimises_cost else []
    kept = ["limits kept"] if options.feasible_first else []
    return [*cost, *kept, score_text(options.objective, options.metric)]


def _steering(event: Event, options: SearchOptions) -> list[str]:
    """What a trial is ranked by: a cost that is minimised, whether it keeps the limits, and its score."""
    cost = [_number(event["cost"].get(options.objective), ",")] if options.minimises_cost else []
    kept = ["yes" if feasible(event, options) else "no"] if options.feasible_first else []
    return [*cost, *kept, _number(event["score"], ".5f")]


def _row(
    event: Event, choices: Sequence[str], trials: Sequence[Mapping[str, Any]], options: SearchOptions
) -> list[str]:
    curves, cost = event.get("curves") or {}, event.get("cost") or {}
    loss, val_loss = (_curve(curves, name) for name in ("loss", "val_loss"))
    measured = len(loss) == len(val_loss)
    return [
        *_named(event, choices, trials),
        str(event["epochs"]),
        *_steering(event, options),
        _number(_last(curves, "val_accuracy"), ".5f"),
        _efficiency(event.get("signal_efficiency") or {"value": _last(curves, "signal_efficiency")}),
        _number(cost.get("parameters"), ","),
        _number(cost.get("ebops"), ","),
        _number(curve_stdev(loss, val_loss) if measured else None, ".4g"),
        _number(volatility(loss, val_loss) if measured else None, ".4g"),
    ]


def _named(event: Event, choices: Sequence[str], trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """A trial's id, its number where trials were picked by hand, and its choices."""
    chosen = event.get("choices", {})
    numbers = [str(number) for number, trial in enumerate(trials, 1) if dict(trial) == chosen]
    values = [_plain(chosen[name]) if name in chosen else UNKNOWN for name in choices]
    return [str(event["trial"]), *([", ".join(numbers) or UNKNOWN] if trials else []), *values]


def _curve(curves: Mapping[str, Any], name: str) -> list[float]:
    """One number per epoch; NaN for null, as which JSON keeps it."""
    return [math.nan if value is None else float(value) for value in curves.get(name) or ()]


def _last(curves: Mapping[str, Any], name: str) -> float | None:
    curve = _curve(curves, name)
    return curve[-1] if curve else None


def _number(value: float | None, spec: str) -> str:
    return UNKNOWN if value is None or not math.isfinite(value) else format(value, spec)


def _efficiency(estimate: Mapping[str, float | None]) -> str:
    value, low, high = (_number(estimate.get(name), ".4f") for name in ("value", "low", "high"))
    return value if UNKNOWN in (low, high) else f"{value} ({low} to {high})"


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _plain(value: Any) -> str:
    """A value of a choice as a logbook has it: bits as (16,4), a layer as its kind with what belongs to it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return f"({','.join(map(_plain, value))})"
    if isinstance(value, Mapping):
        rest = ", ".join(f"{key} {_plain(item)}" for key, item in value.items() if key != "kind")
        kind = str(value.get("kind", ""))
        return f"{kind} ({rest})" if kind and rest else kind or rest
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(style: Format, caption: str, label: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[escape(" ".join(cell.split()), 1_000) for cell in line] for line in (headers, *rows)]
    if style == "myst":
        entries = ["* - " + "\n  - ".join(line) for line in lines]
        opening = f"```{{list-table}} {caption}\n:header-rows: 1\n:name: {label}\n"
        return "\n".join([opening, *entries, "```"])
    return table(lines[0], lines[1:])
