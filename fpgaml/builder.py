"""The Keras model of an architecture: quantized, or its float twin; its weights by name; folding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.architecture import Architecture
from fpgaml.environment import load_tensorflow
from fpgaml.layers import ArithmeticLayer

ModelWeights = dict[str, dict[str, NDArray[Any]]]
"""Arrays by layer name and variable name, such as ``weights["dense_1"]["kernel"]``."""

INPUT_QUANTIZER = "input_quantizer"


def build_model(architecture: Architecture, *, quantized: bool = True, dtype: str = "float32", seed: int = 0) -> Any:
    """The Keras model, from inputs of shape (n_events, *input_shape) to scores of shape (n_events, n_outputs).

    Parameters
    ----------
    architecture : Architecture
        Batch normalisation in it is built as such; ``architecture.folded()`` has none.
    quantized : bool
        With QKeras layers and quantizers, or the float twin.
    dtype : {"float32", "float64"}
        What it computes in. A quantized model is exact in float64; float32 is for training.
    seed : int
        For initial weights and dropout. Each layer draws from its own: from Keras' global one, other threads draw too.
    """
    load_tensorflow()
    import keras
    import qkeras

    inputs = keras.Input(architecture.input_shape, name="inputs", dtype=dtype)
    tensor = inputs
    if quantized:
        quantizer = architecture.input_format.format.qkeras_quantizer()
        tensor = qkeras.QActivation(quantizer, name=INPUT_QUANTIZER, dtype=dtype)(tensor)
    seeds = np.random.SeedSequence(seed).generate_state(len(architecture.steps)).tolist()
    for step, drawn in zip(architecture.steps, seeds, strict=True):
        layer = step.layer.keras_layer(step.name, quantized=quantized, dtype=dtype, seed=drawn)
        if layer is not None:
            tensor = layer(tensor)
    return keras.Model(inputs, tensor, name="quantized" if quantized else "float_twin")


def model_quantizers(model: Any) -> list[Any]:
    """The quantizers of a quantized model, in the order of ``Architecture.formats``."""
    import qkeras

    found: list[Any] = []
    for layer in model.layers:
        found += [layer.activation] if isinstance(layer, qkeras.QActivation) else getattr(layer, "quantizers", ())
    return found


def model_weights(model: Any) -> ModelWeights:
    """Copies of a model's weights."""
    return {
        layer.name: {
            _variable_name(variable): np.array(variable) for variable in layer.weights if "seed" not in variable.name
        }
        for layer in model.layers
        if layer.weights
    }


def set_model_weights(model: Any, weights: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
    """Give every weight of ``model`` the value of its name; biases that are not there become zero."""
    for layer in model.layers:
        for variable in layer.weights:
            name = _variable_name(variable)
            if "seed" in name:
                continue
            variable.assign(weights[layer.name][name] if name in weights[layer.name] else np.zeros(variable.shape))


def _variable_name(variable: Any) -> str:
    return str(variable.name).removeprefix("depthwise_")


def quantized_weights(architecture: Architecture, weights: ModelWeights) -> ModelWeights:
    """The weights that the firmware has, float64 words of each layer's formats; ``architecture`` must be folded."""
    formats = {
        step.name: {"kernel": step.layer.weight_format, "bias": step.layer.bias_format}
        for step in architecture.steps
        if isinstance(step.layer, ArithmeticLayer)
    }
    return {
        name: {variable: by_name[variable].quantize(array) for variable, array in weights[name].items()}
        for name, by_name in formats.items()
    }


def fold(architecture: Architecture, weights: ModelWeights) -> ModelWeights:
    """Weights of ``architecture.folded()`` that do what batch normalisation does, before any quantization.

    With scale = gamma / sqrt(moving_variance + epsilon): kernel × scale and (bias - moving_mean) × scale + beta, for
    each output channel.
    """
    folded: ModelWeights = {}
    last = ""
    for step in architecture.steps:
        if isinstance(step.layer, ArithmeticLayer):
            last = step.name
            folded[last] = dict(weights[last])
        elif step.layer.role == "normalization":
            statistics = weights[step.name]
            scale = statistics["gamma"] / np.sqrt(statistics["moving_variance"] + step.layer.model_dump()["epsilon"])
            kernel = folded[last]["kernel"]
            by_channel = (
                scale[:, None] if kernel.shape[-1] != scale.size else scale
            )  # depthwise kernels end in (channels, 1)
            bias = folded[last].get("bias", np.zeros_like(scale))
            with np.errstate(over="ignore", invalid="ignore"):  # a diverged network; its loss tells
                folded[last] = {
                    "kernel": kernel * by_channel,
                    "bias": (bias - statistics["moving_mean"]) * scale + statistics["beta"],
                }
    return folded
