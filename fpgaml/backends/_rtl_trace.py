"""A network as one circuit without registers: da4ml's ``CombLogic``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpgaml.architecture import Architecture
from fpgaml.builder import ModelWeights


@dataclass(frozen=True, eq=False)
class TracedNetwork:
    """What every layer of a network makes of one event in the words of the input format, as da4ml's symbols.

    Parameters
    ----------
    inputs : da4ml's array
        The event.
    outputs : sequence of da4ml's arrays
        Of each layer.
    """

    inputs: Any
    outputs: Sequence[Any]

    def network(self) -> Any:
        """The network's circuit."""
        return self._circuit(self.outputs[-1])

    def layers(self) -> Any:
        """A circuit whose outputs are those of all layers, one after the other."""
        return self._circuit(np.concatenate([values.reshape(-1) for values in self.outputs]))

    def _circuit(self, outputs: Any) -> Any:
        from da4ml.trace import comb_trace

        circuit = comb_trace(self.inputs, outputs, keep_dead_inputs=True)
        assert circuit.shape == (math.prod(self.inputs.shape), math.prod(outputs.shape))
        return circuit


def trace_network(architecture: Architecture, weights: ModelWeights) -> TracedNetwork:
    """Trace a folded network with quantized weights."""
    from da4ml.trace import FixedVariableArray

    from fpgaml.backends._rtl_arithmetic import UNITS, CircuitArithmetic

    fixed = architecture.input_format.format
    shape = architecture.input_shape
    inputs = FixedVariableArray.from_lhs(
        np.full(shape, fixed.minimum), np.full(shape, fixed.maximum), np.full(shape, fixed.step), hwconf=UNITS
    )
    arithmetic = CircuitArithmetic()
    values, outputs = inputs, []
    for step in architecture.steps:
        values = step.layer.exact_outputs(values, weights.get(step.name, {}), arithmetic)
        outputs.append(values)
    return TracedNetwork(inputs, outputs)
