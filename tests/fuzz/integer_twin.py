"""The slow, obvious twin of a network: rational numbers, one product after the other, and nothing of the package's own.

It knows a layer by its fields alone. Rounding, saturation, padding and windows are written out here once more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.architecture import Architecture
from fpgaml.builder import ModelWeights

HALF = Fraction(1, 2)


def scores_of(architecture: Architecture, weights: ModelWeights, event: NDArray[Any]) -> list[Fraction]:
    """Scores of one event.

    Parameters
    ----------
    architecture : Architecture
        Folded.
    weights : ModelWeights
        Before quantization.
    event : shape (*input_shape)
        Inputs before quantization.
    """
    inputs = architecture.input_format
    values = _each(event, lambda value: _rounded(value, *inputs.bits, signed=inputs.signed))
    for step in architecture.steps:
        fields = step.layer.model_dump()
        values = FUNCTIONS[step.layer.kind](values, fields, weights.get(step.name, {}))
    return [Fraction(value) for value in values.ravel()]


def _rounded(value: Any, bits: int, integer: int, *, signed: bool = True, rounding: str = "RND_CONV") -> Fraction:
    """The nearest word of QKeras' (bits, integer), without overflow."""
    step = Fraction(2) ** (integer - bits + signed)
    scaled = Fraction(float(value) if isinstance(value, np.floating) else value) / step
    word = math.floor(scaled)
    rest = scaled - word
    if rounding != "TRN" and (rest > HALF or (rest == HALF and (rounding == "RND" or word % 2))):
        word += 1
    largest = 2 ** (bits - signed) - 1
    return min(max(word, -largest - 1 if signed else 0), largest) * step


def _each(values: NDArray[Any], function: Callable[[Any], Fraction]) -> NDArray[Any]:
    found = np.empty(values.shape, dtype=object)
    for place in np.ndindex(values.shape):
        found[place] = function(values[place])
    return found


def _words(weights: Mapping[str, NDArray[Any]], fields: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Kernel and biases as the firmware has them."""
    kernel = _each(weights["kernel"], lambda value: _rounded(value, *fields["bits"]))
    if not fields["use_bias"]:
        return kernel, None
    return kernel, _each(weights["bias"], lambda value: _rounded(value, *(fields["bias_bits"] or fields["bits"])))


def _dense(values: NDArray[Any], fields: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    kernel, biases = _words(weights, fields)
    sums = np.empty(fields["units"], dtype=object)
    for unit in range(fields["units"]):
        sums[unit] = Fraction(0) if biases is None else biases[unit]
        for number, value in enumerate(values):
            sums[unit] += value * kernel[number, unit]
    return sums


def _pair(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _windows(
    image: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: str
) -> Iterator[tuple[tuple[int, ...], list[tuple[tuple[int, ...], tuple[int, ...]]]]]:
    """By the place of each output, the cells of its window that lie in the image: where in either of them."""
    sizes, before = [], []
    for length, size, stride in zip(image, window, strides, strict=True):
        count = -(-length // stride) if padding == "same" else (length - size) // stride + 1
        sizes.append(count)
        before.append(max((count - 1) * stride + size - length, 0) // 2 if padding == "same" else 0)
    for place in itertools.product(*map(range, sizes)):
        cells = []
        for cell in itertools.product(*map(range, window)):
            there = tuple(p * s + c - b for p, s, c, b in zip(place, strides, cell, before, strict=True))
            if all(0 <= t < length for t, length in zip(there, image, strict=True)):
                cells.append((cell, there))
        yield place, cells


def _convolution(values: NDArray[Any], fields: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    kernel, biases = _words(weights, fields)
    depthwise = "filters" not in fields
    *image, channels = values.shape
    sums = {}
    window, strides = _pair(fields["kernel_size"]), _pair(fields["strides"])
    for place, cells in _windows(image, window, strides, fields["padding"]):
        for out in range(channels if depthwise else fields["filters"]):
            total = Fraction(0) if biases is None else biases[out]
            for cell, there in cells:
                for channel in [out] if depthwise else range(channels):
                    weight = kernel[(*cell, channel, 0 if depthwise else out)]
                    total += weight * values[(*there, channel)]
            sums[*place, out] = total
    return _array(sums)


def _pooling(
    reduce: Callable[[list[Fraction]], Fraction], *, everything: bool = False
) -> Callable[[NDArray[Any], Mapping[str, Any], Mapping[str, NDArray[Any]]], NDArray[Any]]:
    def pool(values: NDArray[Any], fields: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        *image, channels = values.shape
        window = image if everything else _pair(fields["pool_size"])
        strides = window if everything else _pair(fields["strides"] or window)
        found = {}
        for place, cells in _windows(image, window, strides, "valid"):
            for channel in range(channels):
                found[*(() if everything else place), channel] = reduce([values[*cell, channel] for _, cell in cells])
        return _array(found)

    return pool


def _array(by_place: Mapping[tuple[int, ...], Fraction]) -> NDArray[Any]:
    found = np.empty([size + 1 for size in max(by_place)], dtype=object)
    for place, value in by_place.items():
        found[place] = value
    return found


def _mean(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def _activation(*, signed: bool) -> Callable[..., NDArray[Any]]:
    def activate(values: NDArray[Any], fields: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        rounding = fields.get("rounding", "RND_CONV")
        return _each(values, lambda value: _rounded(value, *fields["bits"], signed=signed, rounding=rounding))

    return activate


FUNCTIONS: Mapping[str, Callable[..., NDArray[Any]]] = {
    "dense": _dense,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "depthwise_conv2d": _convolution,
    **{f"max_pooling{rank}d": _pooling(max) for rank in (1, 2)},
    **{f"average_pooling{rank}d": _pooling(_mean) for rank in (1, 2)},
    **{f"global_max_pooling{rank}d": _pooling(max, everything=True) for rank in (1, 2)},
    **{f"global_average_pooling{rank}d": _pooling(_mean, everything=True) for rank in (1, 2)},
    "relu": _activation(signed=False),
    "quantize": _activation(signed=True),
    "flatten": lambda values, fields, weights: values.reshape(-1),
    "dropout": lambda values, fields, weights: values,
}
