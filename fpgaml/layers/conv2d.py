"""Two-dimensional convolution."""

from __future__ import annotations

from typing import Any, ClassVar

from fpgaml.layers import Example, Pair, Shape, Size
from fpgaml.layers._convolution import Convolution


class Conv2D(Convolution):
    """Filters that slide over an image.

    Parameters
    ----------
    filters : int
        Number of filters, the channels of the output.
    kernel_size, strides : int or (int, int)
        Height and width.
    """

    kind: ClassVar[str] = "conv2d"
    keras_name: ClassVar[str] = "Conv2D"
    example: ClassVar[Example] = Example(
        (9, 8, 2),
        (
            {"filters": 3, "kernel_size": 3, "bits": (6, 1)},
            {"filters": 4, "kernel_size": (2, 3), "strides": (1, 2), "padding": "same", "bits": (7, 1)},
        ),
    )

    filters: Size
    kernel_size: Pair
    strides: Pair = (1, 1)

    @property
    def window(self) -> tuple[int, ...]:
        """Height and width."""
        return self.kernel_size

    @property
    def step(self) -> tuple[int, ...]:
        """Steps down and across."""
        return self.strides

    def fan_out(self, input_shape: Shape) -> int:
        """Filters."""
        return self.filters

    def keras_arguments(self, *, quantized: bool, seed: int) -> dict[str, Any]:
        """Filters and quantizers."""
        return {"filters": self.filters, **self.quantizer_arguments(quantized=quantized, seed=seed)}
