"""A network as one circuit without registers: da4ml's ``CombLogic``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpgaml.architecture import Architecture
from fpgaml.builder import ModelWeights


def trace_network(architecture: Architecture, weights: ModelWeights) -> tuple[Any, Any]:
    """The network's circuit, and one whose outputs are those of all layers, one after the other.

    ``architecture`` is folded, ``weights`` are quantized; the input of both is one event in the words of the input
    format.
    """
    from da4ml.trace import FixedVariableArray, comb_trace

    from fpgaml.backends._rtl_arithmetic import UNITS, CircuitArithmetic

    fixed = architecture.input_format.format
    shape = architecture.input_shape
    inputs = FixedVariableArray.from_lhs(
        np.full(shape, fixed.minimum), np.full(shape, fixed.maximum), np.full(shape, fixed.step), hwconf=UNITS
    )
    arithmetic = CircuitArithmetic()
    values, handed_on = inputs, []
    for step in architecture.steps:
        values = step.layer.exact_outputs(values, weights.get(step.name, {}), arithmetic)
        handed_on.append(values.reshape(-1))
    network = comb_trace(inputs, values, keep_dead_inputs=True)
    layers = comb_trace(inputs, np.concatenate(handed_on), keep_dead_inputs=True)
    assert network.shape == (math.prod(shape), math.prod(architecture.output_shape))
    return network, layers
