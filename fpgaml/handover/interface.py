"""What goes into a project and what comes out, in words and in the units of physics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from fpgaml.dataset import Dataset
from fpgaml.events import Floats, at
from fpgaml.fixed_point import FixedPoint
from fpgaml.layers import Shape
from fpgaml.metrics import Target, choose_working_point


@dataclass(frozen=True)
class Threshold:
    """A working point, as firmware has it: an event passes whose first output word is at least ``word``.

    Parameters
    ----------
    target : Target
        What was asked for.
    score : float
        The threshold on the score.
    word : int
        The smallest word that passes.
    achieved : float
        Rate (kHz) or background efficiency on the validation events that placed it.
    """

    target: Target
    score: float
    word: int
    achieved: float

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "target": {"kind": self.target.kind, "value": self.target.value},
            "score": self.score,
            "word": self.word,
            "achieved_on_validation": self.achieved,
        }


@dataclass(frozen=True)
class Interface:
    """Ports of a project.

    Parameters
    ----------
    top : str
        The top-level function or module.
    input_shape : tuple of int
    input_format, output_format : FixedPoint
        Of every input and every output.
    n_outputs : int
    names : tuple of str
        Of the inputs, where they have some; in the order of the words.
    offsets, scales : tuple of float
        A network input is (value in the data - offset) times scale: one number for each input, or one for all.
    unit : str
        Of the values in the data; empty where it is the data's own.
    thresholds : tuple of Threshold
        The headline first.
    """

    top: str
    input_shape: Shape
    input_format: FixedPoint
    output_format: FixedPoint
    n_outputs: int
    names: tuple[str, ...]
    offsets: tuple[float, ...]
    scales: tuple[float, ...]
    unit: str
    thresholds: tuple[Threshold, ...]

    @property
    def n_inputs(self) -> int:
        """Words of one event."""
        return math.prod(self.input_shape)


def input_scaling(metadata: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Offsets, scales and unit from what a data set says of itself; 0 and 1 where its inputs are not scaled."""
    if "scale_gev" in metadata:
        return (0.0,), (1.0 / float(metadata["scale_gev"]),), "GeV"
    scaling = metadata.get("scaling", {"kind": "none"})
    if scaling["kind"] == "none":
        return (0.0,), (1.0,), ""
    return tuple(scaling["offset"]), tuple(scaling["scale"]), ""


def find_thresholds(
    validation: Dataset, scores: Floats, targets: Sequence[Target], output_format: FixedPoint
) -> tuple[Threshold, ...]:
    """The thresholds of the model on validation background, as the evaluation places them, and their words.

    Parameters
    ----------
    validation : Dataset
        The validation events.
    scores : float64, shape (n_events,)
        Of the quantized model.
    targets : sequence of Target
    output_format : FixedPoint
        Of the scores.
    """
    background = validation.y == 0
    weights, groups = at(validation.weights, background), at(validation.groups, background)
    found = []
    for target in targets:
        point = choose_working_point(
            scores[background], kind=target.kind, target=target.value, weights=weights, groups=groups
        )
        word = math.ceil(Fraction(point.threshold) * Fraction(2) ** output_format.fraction)  # a threshold may be tiny
        found.append(Threshold(target, point.threshold, word, point.achieved))
    return tuple(found)


def words_of(values: Floats, fixed: FixedPoint) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The words of values that are in the format already.

    Raises
    ------
    ValueError
        One of them is not.
    """
    words = fixed.words(values)
    if not np.array_equal(words * fixed.step, values):
        raise ValueError(f"values that are not in {fixed.ap_type}")
    return words
