"""What is put into hls4ml's graph, and what is read back from it before anything is written."""

from __future__ import annotations

from typing import Any

import numpy as np

from fpgaml.architecture import Architecture
from fpgaml.builder import INPUT_QUANTIZER, ModelWeights
from fpgaml.errors import AgreementError, ExactnessError, ToolError
from fpgaml.hardware import Hardware
from fpgaml.layers import ArithmeticLayer, quantizer_node


def hls_nodes(architecture: Architecture, weights: ModelWeights) -> list[dict[str, Any]]:
    """The nodes of an hls4ml graph, from the input on, each reading from the one before it."""
    nodes: list[dict[str, Any]] = [
        {"name": "inputs", "class_name": "InputLayer", "input_shape": list(architecture.input_shape), "inputs": []},
        {"name": INPUT_QUANTIZER, "inputs": ["inputs"], **quantizer_node(architecture.input_format.format)},
    ]
    for step in architecture.steps:
        for number, node in enumerate(step.layer.hls_nodes(step.name, step.input_shape, weights.get(step.name, {}))):
            suffix = f"_{number}" if number else ""
            nodes.append({"name": step.name + suffix, "inputs": [nodes[-1]["name"]], **node})
    return nodes


def check_effective(
    graph: Any, architecture: Architecture, weights: ModelWeights, hardware: Hardware
) -> dict[str, Any]:
    """What hls4ml will do, layer by layer, after comparing it with what was asked for."""
    effective: dict[str, Any] = {}
    for node in graph.get_layers():
        output = node.get_output_variable()
        effective[node.name] = {
            "class": node.class_name,
            "type": str(output.type.precision),
            "typedef": output.type.name,
            "shape": list(output.shape),
        }
    wrong = []
    for step in architecture.steps:
        if not isinstance(step.layer, ArithmeticLayer):
            continue
        node = graph.graph[step.name]
        own = hardware.for_layer(step.name)
        asked = {"strategy": own.strategy, "reuse_factor": own.reuse_factor}
        found = {key: node.get_attr(key) for key in asked}
        positions = step.layer.positions(step.input_shape)
        if positions > 1:
            asked["parallelization_factor"] = own.parallelization_factor
            found["parallelization_factor"] = positions // node.get_attr("n_partitions")
        effective[step.name] |= {
            **found,
            "accumulator": str(node.get_attr("accum_t").precision),
            "weights": {role: [variable.name, str(variable.type.precision)] for role, variable in node.weights.items()},
        }
        wrong += [f"{step.name}: {key} is {found[key]}, not {asked[key]}" for key in asked if found[key] != asked[key]]
        kernel = np.sort(np.asarray(node.weights["weight"].data, dtype=np.float64), axis=None)
        if not np.array_equal(kernel, np.sort(weights[step.name]["kernel"], axis=None)):
            wrong.append(f"{step.name}: weights are not the quantized weights of the model")
    for key, asked_value in {
        "Part": hardware.part,
        "ClockPeriod": hardware.clock_period_ns,
        "IOType": hardware.io_type,
    }.items():
        if graph.config.get_config_value(key) != asked_value:
            wrong.append(f"{key} is {graph.config.get_config_value(key)}, not {asked_value}")
    if wrong:
        raise AgreementError("hls4ml does not do what it was asked for: " + "; ".join(wrong))
    return effective


def check_not_empty(architecture: Architecture, weights: ModelWeights) -> None:
    """Raise ToolError where sums are always zero and the activation behind them takes only values below 1/2.

    hls4ml gives such sums no bits at all. It then takes the fewer bits above and below the point of sums and
    activation, finds a range whose largest value lies below its smallest, and stops with an assertion.
    """
    for position, step in enumerate(architecture.steps):
        if not isinstance(step.layer, ArithmeticLayer) or any(np.any(values) for values in weights[step.name].values()):
            continue
        quantizers = (later for later in architecture.steps[position + 1 :] if later.layer.role == "quantizer")
        following = next(quantizers, None)
        if following is not None and following.output_values.maximum < 0.5:
            raise ToolError(
                f"{step.name}: all its weights and biases are zero after quantization to "
                f"{step.layer.weight_format.ap_type}, and {following.name} takes values up to "
                f"{following.output_values.maximum:g} only: hls4ml cannot convert that, and the network's score is the "
                "same for every event. Give the weights more bits or fewer integer bits, train with float_epochs "
                "first, or train longer"
            )


def layer_options(architecture: Architecture, hardware: Hardware) -> dict[str, dict[str, Any]]:
    """hls4ml's own options of each layer that multiplies; what stands for the model does not reach all of them."""
    options = {}
    for step in architecture.steps:
        if isinstance(step.layer, ArithmeticLayer):
            own = hardware.for_layer(step.name)
            options[step.name] = {
                "Trace": True,
                "ReuseFactor": own.reuse_factor,
                "Strategy": own.strategy,
                "ParallelizationFactor": own.parallelization_factor,
            }
    return options


def check_accumulators(graph: Any, architecture: Architecture, hardware: Hardware) -> None:
    """Raise ExactnessError where exact sums of the trained weights need more bits than an accumulator may have."""
    wide = []
    for step in architecture.steps:
        allowed = hardware.for_layer(step.name).accumulator_bits
        if allowed is None or not isinstance(step.layer, ArithmeticLayer):
            continue
        needed = int(graph.graph[step.name].get_attr("accum_t").precision.width)
        if needed > allowed:
            wide.append(f"{step.name} needs {needed} bits, and accumulator_bits allows {allowed}")
    if wide:
        raise ExactnessError(
            f"exact sums do not fit the accumulators: {'; '.join(wide)}. Allow as many bits, or give the weights or "
            "the activation before fewer"
        )
