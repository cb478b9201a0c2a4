"""Two-dimensional convolution."""

from __future__ import annotations

from typing import Any, ClassVar

from fpgaml.errors import StudyError
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

    def output_shape(self, input_shape: Shape) -> Shape:
        """(height, width, channels) to (window positions down, across, filters).

        Raises
        ------
        StudyError
            A window does not fit. Or an image of one channel is one window wide, and the steps differ: there oneDNN,
            with which TensorFlow trains in float32, reads beyond the image.
        """
        output_shape = super().output_shape(input_shape)
        down, across = self.strides
        if (input_shape[-1], output_shape[1], down) == (1, 1, 1) and across > 1:
            raise StudyError(
                f"strides {self.strides} are not possible where an image of one channel is one window wide: TensorFlow "
                "reads beyond it. Allowed: the same steps down and across"
            )
        return output_shape

    def skips_rows(self, input_shape: Shape) -> bool:
        """As other convolutions, but hls4ml has windows of one value for themselves, and right."""
        return self.window != (1, 1) and super().skips_rows(input_shape)

    def fan_out(self, input_shape: Shape) -> int:
        """Filters."""
        return self.filters

    def keras_arguments(self, *, quantized: bool, seed: int) -> dict[str, Any]:
        """Filters and quantizers."""
        return {"filters": self.filters, **self.quantizer_arguments(quantized=quantized, seed=seed)}
