"""Two-dimensional convolution of each channel by itself."""

from __future__ import annotations

from typing import Any, ClassVar

from fpgaml.hardware import Hardware
from fpgaml.layers import ArithmeticLayer, Example, HlsNode, Pair, Shape, Weights
from fpgaml.layers._convolution import Padding, hls_window, window_shape


class DepthwiseConv2D(ArithmeticLayer):
    """One filter for every channel.

    Parameters
    ----------
    kernel_size, strides : int or (int, int)
        Height and width.
    padding : {"valid", "same"}
        Windows inside the image only, or zeros around it.
    """

    kind: ClassVar[str] = "depthwise_conv2d"
    example: ClassVar[Example] = Example(
        (9, 8, 3), ({"kernel_size": 3, "bits": (6, 1)}, {"kernel_size": (2, 3), "padding": "same", "bits": (7, 1)})
    )

    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Padding = "valid"

    def output_shape(self, input_shape: Shape) -> Shape:
        """(height, width, channels) to (height, width, channels)."""
        return (*window_shape(self, input_shape, self.kernel_size, self.strides, self.padding), input_shape[-1])

    def fan_in(self, input_shape: Shape) -> int:
        """Values in a window of one channel."""
        return self.kernel_size[0] * self.kernel_size[1]

    def fan_out(self, input_shape: Shape) -> int:
        """Channels."""
        return input_shape[-1]

    def refusal(self, input_shape: Shape, hardware: Hardware) -> str | None:
        """Resource strategy with parallel inputs crashes hls4ml's C simulation."""
        if hardware.strategy == "resource" and hardware.io_type == "io_parallel":
            return (
                "strategy resource with io_type io_parallel crashes hls4ml's C simulation of depthwise convolutions. "
                "Allowed: strategy latency, or io_type io_stream"
            )
        return super().refusal(input_shape, hardware)

    def keras_layer(self, name: str, *, quantized: bool, dtype: str) -> Any:
        """``QDepthwiseConv2D``, or ``DepthwiseConv2D``."""
        import keras
        import qkeras

        layer = qkeras.QDepthwiseConv2D if quantized else keras.layers.DepthwiseConv2D
        return layer(
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            name=name,
            dtype=dtype,
            **self.quantizer_arguments(quantized=quantized, weight="depthwise"),
        )

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """hls4ml's DepthwiseConv2D."""
        output_shape = self.output_shape(input_shape)
        return [
            {
                "class_name": "DepthwiseConv2D",
                "weight_data": weights["kernel"],
                "depthwise_data": weights["kernel"],
                "bias_data": weights.get("bias"),
                "depth_multiplier": 1,
                **hls_window(name, input_shape, output_shape, self.kernel_size, self.strides, self.padding),
            }
        ]
