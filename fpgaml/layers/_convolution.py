"""What convolutions have in common, and what pooling shares with them: how windows lie on an image."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fpgaml.errors import StudyError
from fpgaml.hardware import Hardware
from fpgaml.layers import (
    Arithmetic,
    ArithmeticLayer,
    HlsNode,
    Layer,
    Shape,
    Weights,
    factors_text,
    require_rank,
)

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


def window_cells(
    image: Shape, window: tuple[int, ...], strides: tuple[int, ...], padding: Padding
) -> NDArray[np.int64]:
    """Which cells of an image, counted row by row, each window covers; -1 for a zero outside of it.

    Shape (n_windows, n_cells), windows and cells row by row. Padding "same" puts the smaller half of the zeros before
    the image, as TensorFlow does.
    """
    rank = len(image)
    numbers = np.arange(math.prod(image)).reshape(image)
    if padding == "same":
        missing = [
            max((math.ceil(n / stride) - 1) * stride + size - n, 0)
            for n, stride, size in zip(image, strides, window, strict=True)
        ]
        numbers = np.pad(numbers, [(zeros // 2, zeros - zeros // 2) for zeros in missing], constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, window)
    steps = tuple(slice(None, None, stride) for stride in strides)
    cells = windows[steps + (slice(None),) * rank].reshape(-1, math.prod(window))
    return np.asarray(cells, dtype=np.int64)


def take_windows(values: Any, window: tuple[int, ...], strides: tuple[int, ...], padding: Padding) -> Any:
    """The values in each window: from shape (…, channels) to (n_windows, n_cells, channels)."""
    *image, channels = values.shape
    cells = window_cells(tuple(image), window, strides, padding)
    flat = values.reshape(-1, channels)
    if (cells < 0).any():
        flat = np.concatenate([flat, np.zeros((1, channels))])  # cell -1 is the last
    return flat[cells]


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

    def positions(self, input_shape: Shape) -> int:
        """Number of places at which the window stands."""
        return math.prod(self.output_shape(input_shape)[:-1])

    def uses(self, input_shape: Shape) -> NDArray[np.int64]:
        """Places at which a cell of the window is inside the image."""
        inside = window_cells(input_shape[:-1], self.window, self.step, self.padding) >= 0
        return np.asarray(inside.sum(axis=0), dtype=np.int64).reshape(*self.window, 1, 1)

    def reuse_factors(self, input_shape: Shape, hardware: Hardware) -> list[int]:
        """With io_parallel, at most the products of one output: hls4ml's C simulation stops above."""
        factors = super().reuse_factors(input_shape, hardware)
        if hardware.io_type == "io_stream":
            return factors
        return [factor for factor in factors if factor <= self.fan_in(input_shape)]

    def refusal(self, input_shape: Shape, hardware: Hardware) -> str | None:
        """What hls4ml would do in another way: a parallelization factor, steps between rows, what every layer has."""
        factor, positions = hardware.parallelization_factor, self.positions(input_shape)
        if hardware.through_hls4ml and factor > 1:
            if hardware.io_type == "io_stream":
                return (
                    f"parallelization_factor {factor} does nothing with io_type io_stream, which computes one position "
                    "after the other. Allowed: 1, or io_type io_parallel"
                )
            if positions % factor:
                divisors = [divisor for divisor in range(1, positions + 1) if positions % divisor == 0]
                return (
                    f"parallelization_factor {factor} does not divide its {positions} positions evenly. "
                    f"Allowed: {factors_text(divisors, factor)}"
                )
        if hardware.through_hls4ml and hardware.io_type == "io_stream" and self.skips_rows(input_shape):
            return (
                f"with io_type io_stream, hls4ml takes no steps from row to row for windows of one row, {self.window}: "
                f"strides {self.step} would be 1 down. Allowed: windows of two rows, 1 down, or io_type io_parallel"
            )
        return super().refusal(input_shape, hardware)

    def skips_rows(self, input_shape: Shape) -> bool:
        """Whether windows of one row go down an image in steps of more than one row."""
        return len(self.window) == 2 and self.window[0] == 1 < self.step[0] and input_shape[0] > 1

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

    def exact_outputs(self, values: Any, weights: Weights, arithmetic: Arithmetic) -> Any:
        """Every window in one row, times the filters in columns, plus biases."""
        windows = take_windows(values, self.window, self.step, self.padding)
        sums = self.exact_sums(windows, weights["kernel"], arithmetic)
        if self.use_bias:
            sums = sums + weights["bias"]
        return sums.reshape(self.output_shape(values.shape))

    def exact_sums(self, windows: Any, kernel: NDArray[np.float64], arithmetic: Arithmetic) -> Any:
        """Sums without biases, shape (n_windows, output channels), of windows (n_windows, n_cells, channels)."""
        return arithmetic.matmul(windows.reshape(len(windows), -1), kernel.reshape(-1, kernel.shape[-1]))
