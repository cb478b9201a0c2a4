"""One-dimensional convolution."""

from __future__ import annotations

from typing import Any, ClassVar

from fpgaml.layers import ArithmeticLayer, Example, HlsNode, Shape, Size, Weights
from fpgaml.layers._convolution import Padding, hls_window, window_shape


class Conv1D(ArithmeticLayer):
    """Filters that slide along a sequence.

    Parameters
    ----------
    filters : int
        Number of filters, the channels of the output.
    kernel_size, strides : int
        Length and step of the window.
    padding : {"valid", "same"}
        Windows inside the sequence only, or zeros around it.
    """

    kind: ClassVar[str] = "conv1d"
    example: ClassVar[Example] = Example(
        (16, 2),
        (
            {"filters": 3, "kernel_size": 3, "bits": (6, 1)},
            {"filters": 4, "kernel_size": 2, "strides": 2, "padding": "same", "bits": (7, 1)},
        ),
    )

    filters: Size
    kernel_size: Size
    strides: Size = 1
    padding: Padding = "valid"

    def output_shape(self, input_shape: Shape) -> Shape:
        """(width, channels) to (width, filters)."""
        return (*window_shape(self, input_shape, (self.kernel_size,), (self.strides,), self.padding), self.filters)

    def fan_in(self, input_shape: Shape) -> int:
        """Values in a window."""
        return self.kernel_size * input_shape[-1]

    def fan_out(self, input_shape: Shape) -> int:
        """Filters."""
        return self.filters

    def keras_layer(self, name: str, *, quantized: bool, dtype: str) -> Any:
        """``QConv1D``, or ``Conv1D``."""
        import keras
        import qkeras

        layer = qkeras.QConv1D if quantized else keras.layers.Conv1D
        return layer(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            name=name,
            dtype=dtype,
            **self.quantizer_arguments(quantized=quantized),
        )

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """hls4ml's Conv1D."""
        output_shape = self.output_shape(input_shape)
        return [
            {
                "class_name": "Conv1D",
                "weight_data": weights["kernel"],
                "bias_data": weights.get("bias"),
                **hls_window(name, input_shape, output_shape, (self.kernel_size,), (self.strides,), self.padding),
            }
        ]
