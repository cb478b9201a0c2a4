"""One-dimensional convolution."""

from __future__ import annotations

from typing import Any, ClassVar

from fpgaml.layers import Example, Shape, Size
from fpgaml.layers._convolution import Convolution


class Conv1D(Convolution):
    """Filters that slide along a sequence.

    Parameters
    ----------
    filters : int
        Number of filters, the channels of the output.
    kernel_size, strides : int
        Length and step of the window.
    """

    kind: ClassVar[str] = "conv1d"
    keras_name: ClassVar[str] = "Conv1D"
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

    @property
    def window(self) -> tuple[int, ...]:
        """Length."""
        return (self.kernel_size,)

    @property
    def step(self) -> tuple[int, ...]:
        """Step."""
        return (self.strides,)

    def fan_out(self, input_shape: Shape) -> int:
        """Filters."""
        return self.filters

    def keras_arguments(self, *, quantized: bool, seed: int) -> dict[str, Any]:
        """Filters and quantizers."""
        return {"filters": self.filters, **self.quantizer_arguments(quantized=quantized, seed=seed)}
