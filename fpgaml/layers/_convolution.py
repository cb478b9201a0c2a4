"""What convolutions have in common, and what pooling shares with them: how windows lie on an image."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar, Literal

from fpgaml.errors import StudyError
from fpgaml.layers import ArithmeticLayer, HlsNode, Layer, Shape, Weights, require_rank

Padding = Literal["valid", "same"]
LAYOUT = {2: "(width, channels)", 3: "(height, width, channels)"}


def window_shape(
    layer: Layer, input_shape: Shape, window: tuple[int, ...], strides: tuple[int, ...], padding: Padding
) -> Shape:
    """Number of window positions along each axis of an image, without channels.

    Raises
    ------
    StudyError
        The window is larger than the image.
    """
    rank = len(window) + 1
    require_rank(layer, input_shape, rank, LAYOUT[rank])
    image = input_shape[:-1]
    if padding == "same":
        return tuple(math.ceil(n / stride) for n, stride in zip(image, strides, strict=True))
    if any(size > n for size, n in zip(window, image, strict=True)):
        raise StudyError(f"{layer.kind} window {window} is larger than its input {image}; allowed: at most {image}")
    return tuple((n - size) // stride + 1 for n, size, stride in zip(image, window, strides, strict=True))


def hls_window(
    name: str,
    input_shape: Shape,
    output_shape: Shape,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
) -> dict[str, Any]:
    """hls4ml's own description of the windows."""
    from hls4ml.converters.keras_v3.conv import gen_conv_config

    geometry: dict[str, Any] = gen_conv_config(
        input_shape, output_shape, window, strides, padding, "channels_last", name
    )
    return {"data_format": "channels_last", **geometry}


class Convolution(ArithmeticLayer):
    """Filters that slide over an image or along a sequence.

    Parameters
    ----------
    padding : {"valid", "same"}
        Windows inside the input only, or zeros around it.
    """

    keras_name: ClassVar[str]
    """Keras' class; QKeras' has a Q before it, and hls4ml's is the same."""

    padding: Padding = "valid"

    @property
    @abc.abstractmethod
    def window(self) -> tuple[int, ...]:
        """Size of the window along each axis."""

    @property
    @abc.abstractmethod
    def step(self) -> tuple[int, ...]:
        """Step of the window along each axis."""

    @abc.abstractmethod
    def keras_arguments(self, *, quantized: bool, seed: int) -> dict[str, Any]:
        """What the Keras layer has beside window, step and padding."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """(…, channels) to (window positions …, output channels)."""
        positions = window_shape(self, input_shape, self.window, self.step, self.padding)
        return (*positions, self.fan_out(input_shape))

    def fan_in(self, input_shape: Shape) -> int:
        """Values in a window."""
        return math.prod(self.window) * input_shape[-1]

    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """QKeras' layer, or Keras'."""
        import keras
        import qkeras

        layer = getattr(qkeras, f"Q{self.keras_name}") if quantized else getattr(keras.layers, self.keras_name)
        return layer(
            kernel_size=self.window,
            strides=self.step,
            padding=self.padding,
            name=name,
            dtype=dtype,
            **self.keras_arguments(quantized=quantized, seed=seed),
        )

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """hls4ml's convolution."""
        geometry = hls_window(name, input_shape, self.output_shape(input_shape), self.window, self.step, self.padding)
        kernel, bias = weights["kernel"], weights.get("bias")
        return [{"class_name": self.keras_name, "weight_data": kernel, "bias_data": bias, **geometry}]
