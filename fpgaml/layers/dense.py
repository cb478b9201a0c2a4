"""Fully connected layer."""

from __future__ import annotations

from typing import Any, ClassVar

from fpgaml.layers import Arithmetic, ArithmeticLayer, Example, HlsNode, Shape, Size, Weights, require_rank


class Dense(ArithmeticLayer):
    """Every output is the sum of all inputs, each times a weight, plus a bias.

    Parameters
    ----------
    units : int
        Number of outputs.
    """

    kind: ClassVar[str] = "dense"
    example: ClassVar[Example] = Example(
        (12,),
        (
            {"units": 7, "bits": (6, 1)},
            {"units": 5, "bits": (9, 3), "bias_bits": (5, 2)},
            {"units": 4, "bits": (4, 0), "use_bias": False},
        ),
    )

    units: Size

    def output_shape(self, input_shape: Shape) -> Shape:
        """(n_inputs,) to (units,)."""
        require_rank(self, input_shape, 1, "(n_inputs,)")
        return (self.units,)

    def fan_in(self, input_shape: Shape) -> int:
        """All inputs."""
        return input_shape[0]

    def fan_out(self, input_shape: Shape) -> int:
        """All outputs."""
        return self.units

    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """``QDense``, or ``Dense``."""
        import keras
        import qkeras

        layer = qkeras.QDense if quantized else keras.layers.Dense
        return layer(self.units, name=name, dtype=dtype, **self.quantizer_arguments(quantized=quantized, seed=seed))

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """hls4ml's Dense."""
        return [
            {
                "class_name": "Dense",
                "data_format": "channels_last",
                "weight_data": weights["kernel"],
                "bias_data": weights.get("bias"),
                "n_in": input_shape[0],
                "n_out": self.units,
            }
        ]

    def exact_outputs(self, values: Any, weights: Weights, arithmetic: Arithmetic) -> Any:
        """One row times the matrix of weights, plus biases."""
        sums = arithmetic.matmul(values.reshape(1, -1), weights["kernel"]).reshape(self.units)
        return sums + weights["bias"] if self.use_bias else sums
