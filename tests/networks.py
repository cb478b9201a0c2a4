"""Networks with random weights, and inputs that reach every corner of a number format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.architecture import Architecture, InputFormat
from fpgaml.builder import build_model, model_weights
from fpgaml.fixed_point import FixedPoint
from fpgaml.layers import ArithmeticLayer, Layer, Shape, layer_class
from fpgaml.train import TrainedModel

INPUT = InputFormat(bits=(8, 2))
RELU = layer_class("relu")(bits=(8, 2))
DENSE = layer_class("dense")(units=3, bits=(7, 1))


def network(input_shape: Shape, layers: Sequence[Layer], input_format: InputFormat = INPUT) -> Architecture:
    return Architecture(input_shape, input_format, tuple(layers))


def example_network(kind: str) -> Architecture:
    """The layers of a kind's example, with what has to stand between them, and a score at the end."""
    cls = layer_class(kind)
    layers: list[Layer] = []
    for fields in cls.example.fields:
        layer = cls(**fields)
        if cls.role in ("normalization", "quantizer"):
            layers += [DENSE, layer] if cls.role == "quantizer" else [DENSE, layer, RELU]
        elif cls.role == "arithmetic":
            layers += [layer, RELU]
        else:
            layers.append(layer)
    if len(network(cls.example.input_shape, layers).output_shape) > 1:
        layers.append(layer_class("flatten")())
    return network(cls.example.input_shape, [*layers, DENSE])


def random_model(architecture: Architecture, seed: int) -> TrainedModel:
    """The network with weights that fill, and here and there overflow, their formats."""
    rng = np.random.default_rng(seed)
    firmware = architecture.folded()
    formats = {step.name: step.layer for step in firmware.steps if isinstance(step.layer, ArithmeticLayer)}
    weights = {}
    for name, arrays in model_weights(build_model(firmware)).items():
        layer = formats[name]
        by_name = {"kernel": layer.weight_format, "bias": layer.bias_format}
        weights[name] = {key: values_for(by_name[key], array.shape, rng) for key, array in arrays.items()}
    return TrainedModel(firmware, weights)


def values_for(fixed: FixedPoint, shape: Shape, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random values over 1.2 times the range of a format, of which a tenth are extreme, tied or zero."""
    size = math.prod(shape)
    values = rng.uniform(1.2 * fixed.minimum, 1.2 * fixed.maximum, size)
    ties = (rng.integers(*fixed.word_range, size) + 0.5) * fixed.step
    special = np.array(
        [fixed.minimum, fixed.maximum, 0.0, fixed.step, -fixed.step, 3 * fixed.maximum, 5 * fixed.minimum - 1]
    )
    draw = rng.uniform(size=size)
    values = np.where(draw < 0.05, rng.choice(special, size), values)
    return np.where(draw > 0.95, ties, values).reshape(shape)


def inputs_for(architecture: Architecture, n_events: int, seed: int) -> NDArray[np.float32]:
    """Events with values from everywhere in the input format and beyond, and some with all values extreme."""
    rng = np.random.default_rng(seed)
    fixed = architecture.input_format.format
    x = values_for(fixed, (n_events, *architecture.input_shape), rng)
    extremes = (fixed.minimum, fixed.maximum, 0.0, 1e6, -1e6, fixed.step / 2, -fixed.step / 2)
    for position, value in enumerate(extremes[:n_events]):
        x[position] = value
    return x.astype(np.float32)


def entry(layer: Layer) -> dict[str, Any]:
    """A layer as it would stand in a study."""
    return {"kind": layer.kind, **layer.model_dump(mode="json", exclude_none=True)}
