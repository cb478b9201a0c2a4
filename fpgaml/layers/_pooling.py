"""What the pooling kinds have in common."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar, Literal

import numpy as np

from fpgaml.errors import ExactnessError
from fpgaml.hardware import Hardware
from fpgaml.layers import Arithmetic, HlsNode, Layer, Pair, Role, Shape, Size, Values, Weights, require_rank
from fpgaml.layers._convolution import LAYOUT, hls_window, take_windows, window_shape


class Pooling(Layer):
    """One value for each window of each channel."""

    role: ClassVar[Role] = "pooling"
    operation: ClassVar[Literal["Max", "Average"]]

    @abc.abstractmethod
    def window(self, input_shape: Shape) -> tuple[int, ...]:
        """Size of the window along each axis of the image."""

    def stride(self, input_shape: Shape) -> tuple[int, ...]:
        """Step of the window along each axis; its size unless a kind says otherwise."""
        return self.window(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(…, channels) to (window positions …, channels)."""
        window, stride = self.window(input_shape), self.stride(input_shape)
        return (*window_shape(self, input_shape, window, stride, "valid"), input_shape[-1])

    def output_values(self, values: Values, input_shape: Shape) -> Values:
        """The same values for a maximum; more fractional bits for a mean.

        Raises
        ------
        ExactnessError
            A mean over a number of values that is no power of two: it has no finite binary fraction.
        """
        if self.operation == "Max":
            return values
        count = math.prod(self.window(input_shape))
        if count & (count - 1):
            raise ExactnessError(
                f"{self.kind} over {count} values is not exact: a division by {count} has no finite binary fraction. "
                "Allowed: windows of 2, 4, 8, 16, … values, or a maximum"
            )
        return Values(values.minimum, values.maximum, values.fraction + count.bit_length() - 1)

    def refusal(self, input_shape: Shape, hardware: Hardware) -> str | None:
        """Windows of an image that overlap or leave something out, where hls4ml reads it as a stream."""
        window, stride = self.window(input_shape), self.stride(input_shape)
        if not hardware.through_hls4ml or hardware.io_type == "io_parallel" or len(window) == 1 or window == stride:
            return None
        return (
            f"strides {stride} that are not the pool_size {window} stop hls4ml's C simulation with io_type io_stream. "
            "Allowed: no strides, or io_type io_parallel"
        )

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """hls4ml's pooling."""
        window, stride = self.window(input_shape), self.stride(input_shape)
        output_shape = (*window_shape(self, input_shape, window, stride, "valid"), input_shape[-1])
        node = hls_window(name, input_shape, output_shape, window, stride, "valid")
        node["pool_width"] = node.pop("filt_width")
        if len(window) == 1:
            node |= {"n_in": node["in_width"], "n_out": node["out_width"]}
        else:
            node["pool_height"] = node.pop("filt_height")
        return [{"class_name": f"{self.operation}Pooling{len(window)}D", **node}]

    def exact_outputs(self, values: Any, weights: Weights, arithmetic: Arithmetic) -> Any:
        """Largest value or mean of every window; the number of values of a mean is a power of two."""
        window = self.window(values.shape)
        windows = take_windows(values, window, self.stride(values.shape), "valid")
        if self.operation == "Max":
            pooled = np.max(windows, axis=1)
        else:
            pooled = np.sum(windows, axis=1) * (1 / math.prod(window))
        return pooled.reshape(self.output_shape(values.shape))


class WindowPooling1D(Pooling):
    """Pooling along a sequence.

    Parameters
    ----------
    pool_size : int
        Length of the window.
    strides : int, optional
        Step of the window; its length if not given.
    """

    pool_size: Size
    strides: Size | None = None

    def window(self, input_shape: Shape) -> tuple[int, ...]:
        """Length."""
        return (self.pool_size,)

    def stride(self, input_shape: Shape) -> tuple[int, ...]:
        """Step."""
        return (self.strides or self.pool_size,)

    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """Keras' pooling layer of the same name."""
        import keras

        layer = getattr(keras.layers, f"{self.operation}Pooling1D")
        return layer(self.pool_size, strides=self.strides, name=name, dtype=dtype)


class WindowPooling2D(Pooling):
    """Pooling over an image.

    Parameters
    ----------
    pool_size : int or (int, int)
        Height and width of the window.
    strides : int or (int, int), optional
        Steps of the window; its size if not given.
    """

    pool_size: Pair
    strides: Pair | None = None

    def window(self, input_shape: Shape) -> tuple[int, ...]:
        """Height and width."""
        return self.pool_size

    def stride(self, input_shape: Shape) -> tuple[int, ...]:
        """Steps."""
        return self.strides or self.pool_size

    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """Keras' pooling layer of the same name."""
        import keras

        layer = getattr(keras.layers, f"{self.operation}Pooling2D")
        return layer(self.pool_size, strides=self.strides, name=name, dtype=dtype)


class GlobalPooling(Pooling):
    """Pooling over everything but channels: the largest window, then the channels in one row."""

    rank: ClassVar[int]

    def window(self, input_shape: Shape) -> tuple[int, ...]:
        """The whole input."""
        require_rank(self, input_shape, self.rank + 1, LAYOUT[self.rank + 1])
        return input_shape[:-1]

    def output_shape(self, input_shape: Shape) -> Shape:
        """(…, channels) to (channels,)."""
        self.window(input_shape)
        return (input_shape[-1],)

    def keras_layer(self, name: str, *, quantized: bool, dtype: str, seed: int) -> Any:
        """Keras' pooling layer of the same name."""
        import keras

        return getattr(keras.layers, f"Global{self.operation}Pooling{self.rank}D")(name=name, dtype=dtype)

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """Pooling and a Reshape: hls4ml derives no exact types for its own global pooling."""
        return [
            *super().hls_nodes(name, input_shape, weights),
            {"class_name": "Reshape", "target_shape": [input_shape[-1]]},
        ]
