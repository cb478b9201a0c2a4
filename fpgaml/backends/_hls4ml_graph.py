"""What is put into hls4ml's graph, and what is read back from it before anything is written."""

from __future__ import annotations

from typing import Any

import numpy as np

from fpgaml.architecture import Architecture
from fpgaml.builder import INPUT_QUANTIZER, ModelWeights
from fpgaml.errors import AgreementError, ExactnessError
from fpgaml.hardware import Hardware
from fpgaml.layers import QUANTIZER_CLASS, ArithmeticLayer, quantizer_node


def hls_nodes(architecture: Architecture, weights: ModelWeights) -> list[dict[str, Any]]:
    """The nodes of an hls4ml graph, from the input on, each reading from the one before it."""
    nodes: list[dict[str, Any]] = [
        {"name": "inputs", "class_name": "InputLayer", "input_shape": list(architecture.input_shape)},
        {"name": INPUT_QUANTIZER, **quantizer_node(architecture.input_format.format)},
    ]
    for step in architecture.steps:
        for number, node in enumerate(step.layer.hls_nodes(step.name, step.input_shape, weights.get(step.name, {}))):
            nodes.append({"name": step.name + (f"_{number}" if number else ""), **node})
    # Of scores only their order counts, and hls4ml warns of a reshape at the end. It fuses quantizers into what they
    # follow, so that one may stand behind the reshape.
    computes = [node["class_name"] not in ("Reshape", QUANTIZER_CLASS) for node in nodes]
    last = max(position for position, whether in enumerate(computes) if whether)
    nodes = [node for position, node in enumerate(nodes) if position <= last or node["class_name"] != "Reshape"]
    sources: list[list[str]] = [[], *([node["name"]] for node in nodes)]
    return [{**node, "inputs": inputs} for node, inputs in zip(nodes, sources, strict=False)]


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
