"""What figures share: how models look, colours, error bars, and the check of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpgaml.errors import DataError, did_you_mean
from fpgaml.events import Floats
from fpgaml.metrics import Estimate


@dataclass(frozen=True)
class Look:
    """Name, colour, line and marker of a model."""

    label: str
    colour: str
    line: str
    marker: str


LOOKS = {
    "float": Look("float twin", "#5790fc", "--", "s"),
    "qkeras": Look("QKeras", "#e42536", "-", "o"),
    "csim": Look("csim (firmware)", "#222222", "none", "D"),
}
FRAME: dict[str, Any] = {"frameon": True, "framealpha": 0.9, "facecolor": "white", "edgecolor": "none", "fontsize": 19}
SIGNAL, BACKGROUND = "#e42536", "#5790fc"
PLAIN = "0.6"
"""The grey of what is not stressed."""
ABOVE: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2, **FRAME}
"""A legend over the frame, which may reach as far left as it needs, whatever names stand on the vertical axis."""


def hollow(look: Look, size: float) -> dict[str, Any]:
    """A marker that leaves visible what lies under it."""
    return {"marker": look.marker, "markersize": size, "markerfacecolor": "none", "linestyle": "none"}


def arms(estimate: Estimate) -> Floats:
    """Lengths of the error bar below and above, shape (2, 1); none where the interval has no end."""
    ends = np.array([[estimate.value - estimate.low], [estimate.high - estimate.value]], np.float64)
    return np.asarray(np.nan_to_num(ends, nan=0.0))


def check_models(given: Mapping[str, Any], what: str) -> None:
    """Raise DataError unless there is something to draw, and all of it by a model that has a look."""
    if not given:
        raise DataError(f"{what}: nothing to draw")
    for name in given:
        if name not in LOOKS:
            raise DataError(f"{what}: unknown model {name!r}; {did_you_mean(name, LOOKS)}")
