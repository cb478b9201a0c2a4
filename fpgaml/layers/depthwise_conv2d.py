"""Two-dimensional convolution of each channel by itself."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fpgaml.hardware import Hardware
from fpgaml.layers import Arithmetic, Example, HlsNode, Pair, Shape, Weights
from fpgaml.layers._convolution import Convolution


class DepthwiseConv2D(Convolution):
    """One filter for every channel.

    Parameters
    ----------
    kernel_size, strides : int or (int, int)
        Height and width.
    """

    kind: ClassVar[str] = "depthwise_conv2d"
    keras_name: ClassVar[str] = "DepthwiseConv2D"
    example: ClassVar[Example] = Example(
        (9, 8, 3), ({"kernel_size": 3, "bits": (6, 1)}, {"kernel_size": (2, 3), "padding": "same", "bits": (7, 1)})
    )

    kernel_size: Pair
    strides: Pair = (1, 1)

    def model_post_init(self, context: Any) -> None:
        """Check the widths, and the strides, of which TensorFlow's convolution has one."""
        super().model_post_init(context)
        down, across = self.strides
        if down != across:
            raise ValueError(
                f"strides {self.strides} are not possible: TensorFlow trains no {self.kind} whose steps down and "
                f"across differ. Allowed: equal ones, such as {max(self.strides)}"
            )

    @property
    def window(self) -> tuple[int, ...]:
        """Height and width."""
        return self.kernel_size

    @property
    def step(self) -> tuple[int, ...]:
        """Steps down and across."""
        return self.strides

    def fan_in(self, input_shape: Shape) -> int:
        """Values in a window of one channel."""
        return math.prod(self.window)

    def fan_out(self, input_shape: Shape) -> int:
        """Channels."""
        return input_shape[-1]

    def refusal(self, input_shape: Shape, hardware: Hardware) -> str | None:
        """Resource strategy with parallel inputs crashes hls4ml's C simulation."""
        if hardware.through_hls4ml and (hardware.strategy, hardware.io_type) == ("resource", "io_parallel"):
            return (
                "strategy resource with io_type io_parallel crashes hls4ml's C simulation of depthwise convolutions. "
                "Allowed: strategy latency, or io_type io_stream"
            )
        return super().refusal(input_shape, hardware)

    def keras_arguments(self, *, quantized: bool, seed: int) -> dict[str, Any]:
        """Quantizers."""
        return self.quantizer_arguments(quantized=quantized, seed=seed, weight="depthwise")

    def hls_nodes(self, name: str, input_shape: Shape, weights: Weights) -> list[HlsNode]:
        """hls4ml's depthwise convolution."""
        (node,) = super().hls_nodes(name, input_shape, weights)
        return [{**node, "depthwise_data": weights["kernel"], "depth_multiplier": 1}]

    def exact_sums(self, windows: Any, kernel: NDArray[np.float64], arithmetic: Arithmetic) -> Any:
        """One matrix of one column for every channel."""
        columns = kernel.reshape(-1, windows.shape[-1])
        sums = [arithmetic.matmul(windows[:, :, c], columns[:, c : c + 1]) for c in range(windows.shape[-1])]
        return np.concatenate(sums, axis=1)
