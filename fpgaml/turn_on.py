"""Turn-on curves of a run: signal efficiency at the headline working point against every quantity of its events."""

from __future__ import annotations

import numpy as np

from fpgaml.evaluation import Evaluation
from fpgaml.events import Floats
from fpgaml.metrics import TurnOnCurve, turn_on_curve
from fpgaml.runs import Run

N_BINS = 16
FEWEST_EVENTS = 10
"""In a bin; emptier ones at the ends are left out."""


def turn_on_curves(run: Run, evaluation: Evaluation) -> dict[str, dict[str, TurnOnCurve]]:
    """By quantity and model, the share of test signal that passes at the headline working point.

    Quantities that are called after HT come first. One that has no spread, or that hardly any signal event has, has no
    curve.
    """
    tested = run.events.chosen("test", signal=True)
    among = (run.events.y == 1)[run.events.chosen("test")]
    weights, groups = (None if column is None else column[tested] for column in (run.events.weights, run.events.groups))
    found = {}
    for name in sorted(run.events.quantities, key=lambda quantity: (not quantity.startswith("ht"), quantity)):
        values = run.events.quantities[name][tested]
        edges = _edges(values)
        if edges is None:
            continue
        found[name] = {
            model: turn_on_curve(
                run.scores[model].test[among] >= evaluation.performance(model).threshold,
                values,
                edges=edges,
                weights=weights,
                groups=groups,
                level=evaluation.level,
            )
            for model in evaluation.models
        }
    return found


def _edges(values: Floats) -> Floats | None:
    """Even bins between the first and the last hundredth of the values that apply."""
    known = values[np.isfinite(values)]
    if len(known) < 4 * FEWEST_EVENTS:
        return None
    low, high = np.quantile(known, [0.01, 0.99])
    if not low < high:
        return None
    edges = np.linspace(low, high, N_BINS + 1)
    full = np.flatnonzero(np.histogram(known, edges)[0] >= FEWEST_EVENTS)
    return edges[full[0] : full[-1] + 2] if len(full) else None
