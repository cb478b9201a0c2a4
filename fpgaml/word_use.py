"""How much of each number format a trained network really uses: bits that no word needs are hardware for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.errors import DataError
from fpgaml.fixed_point import FixedPoint
from fpgaml.layers import ArithmeticLayer, QuantizerLayer

if TYPE_CHECKING:
    from fpgaml.train import TrainedModel

TYPICAL = (0.05, 0.95)
"""Quantiles of the magnitudes between which values are called typical."""


@dataclass(frozen=True)
class WordUse:
    """A number format, and the values that occurred in it.

    Parameters
    ----------
    name : str
        Whose they are, such as "dense_1 weights" or "relu_1".
    fixed : FixedPoint
        The format.
    n_values : int
        Values looked at.
    largest, smallest : float
        Largest magnitude of the words, and the value of the lowest bit that any word has; 0 if all words are zero.
    typical : (float, float)
        Quantiles ``TYPICAL`` of the magnitudes of the words that are not zero; 0 if all are.
    width_used : int
        Bits of the shortest word that holds all words, the sign included if any is negative; 0 if all are zero.
    saturated : float
        Share of values that saturate, after rounding. What a ReLU makes zero is not counted: that is what it is for.
    zeroed : float
        Share of values that only rounding makes zero.
    zeros : float
        Share of words that are zero, for whatever reason.
    """

    name: str
    fixed: FixedPoint
    n_values: int
    largest: float
    smallest: float
    typical: tuple[float, float]
    width_used: int
    saturated: float
    zeroed: float
    zeros: float

    @property
    def unused(self) -> int:
        """Bits of the format that no word needs."""
        return self.fixed.width - self.width_used

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "name": self.name,
            "type": self.fixed.ap_type,
            "width": self.fixed.width,
            "minimum": self.fixed.minimum,
            "maximum": self.fixed.maximum,
            "step": self.fixed.step,
            "n_values": self.n_values,
            "largest": self.largest,
            "smallest": self.smallest,
            "typical": list(self.typical),
            "width_used": self.width_used,
            "saturated": self.saturated,
            "zeroed": self.zeroed,
            "zeros": self.zeros,
        }


def word_use(name: str, fixed: FixedPoint, values: ArrayLike) -> WordUse:
    """What becomes of values in a number format.

    Parameters
    ----------
    name : str
        Whose they are.
    fixed : FixedPoint
        The format.
    values : array of any shape
        Before quantization.

    Raises
    ------
    DataError
        There are none, or some are not finite.

    Examples
    --------
    >>> found = word_use("weights", FixedPoint(8, 4), [0.0, 0.01, 0.5, -1.0, 20.0])
    >>> found.saturated, found.zeroed, found.zeros, found.smallest, found.width_used
    (0.2, 0.2, 0.4, 0.0625, 8)
    """
    found = np.asarray(values, np.float64).ravel()
    if not found.size or not np.isfinite(found).all():
        raise DataError(f"{name}: needs values, and all of them finite, to say how its words are used")
    words = fixed.words(found)
    down = 0.0 if fixed.rounding == "TRN" else fixed.step / 2  # how far a value may be below the word that it becomes
    beyond = found >= fixed.maximum + fixed.step - down
    meant = found > 0
    if fixed.signed:
        beyond |= found < fixed.minimum - down
        meant = found != 0
    magnitudes = np.abs(words[words != 0]) * fixed.step
    low, high = np.quantile(magnitudes, TYPICAL) if magnitudes.size else (0.0, 0.0)
    lowest = _lowest_bit(words)
    return WordUse(
        name=name,
        fixed=fixed,
        n_values=found.size,
        largest=float(magnitudes.max(initial=0.0)),
        smallest=float(2.0**lowest * fixed.step) if magnitudes.size else 0.0,
        typical=(float(low), float(high)),
        width_used=_highest_bit(words) - lowest + int(words.min() < 0) if magnitudes.size else 0,
        saturated=float(beyond.mean()),
        zeroed=float((meant & (words == 0)).mean()),
        zeros=float((words == 0).mean()),
    )


def network_word_use(trained: TrainedModel, x: ArrayLike) -> tuple[WordUse, ...]:
    """How the inputs, weights, biases and activations of a network use their formats, from input to output.

    Parameters
    ----------
    trained : TrainedModel
        The network; batch normalisation is folded, as in the firmware.
    x : array, shape (n_events, *input_shape)
        Events whose activations are looked at. 2,000 show what is typical; what is rare needs more.

    Returns
    -------
    tuple of WordUse
        Named "input", "<layer> weights", "<layer> biases", and as the layer that rounds, such as "relu_1".
    """
    architecture, outputs = trained.firmware, trained.layer_outputs(x)
    found = [word_use("input", architecture.input_format.format, x)]
    before = np.asarray(x, np.float64)
    for step in architecture.steps:
        layer = step.layer
        if isinstance(layer, ArithmeticLayer):
            formats = {"kernel": ("weights", layer.weight_format), "bias": ("biases", layer.bias_format)}
            found += [
                word_use(f"{step.name} {kind}", fixed, trained.weights[step.name][variable])
                for variable, (kind, fixed) in formats.items()
                if variable in trained.weights[step.name]
            ]
        elif isinstance(layer, QuantizerLayer):
            found.append(word_use(step.name, layer.format, before))
        before = outputs.get(step.name, before)
    return tuple(found)


def _highest_bit(words: NDArray[np.int64]) -> int:
    """Bits of the largest magnitude; of a negative word in two's complement, whose lowest one reaches one further."""
    return int(np.where(words < 0, -words - 1, words).max()).bit_length()


def _lowest_bit(words: NDArray[np.int64]) -> int:
    """Position of the lowest bit that is set in any word; 0 if none is."""
    joined = int(np.bitwise_or.reduce(words))
    return (joined & -joined).bit_length() - 1 if joined else 0
