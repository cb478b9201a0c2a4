"""Rectified linear activation, quantized without a sign."""

from __future__ import annotations

from typing import Any, ClassVar

from fpgaml.fixed_point import FixedPoint
from fpgaml.layers import Example, QuantizerLayer


class ReLU(QuantizerLayer):
    """Negative values become zero, the others are rounded to an unsigned format."""

    kind: ClassVar[str] = "relu"
    example: ClassVar[Example] = Example(
        (10,),
        (
            {"bits": (7, 2)},
            {"bits": (4, 4)},
            {"bits": (12, 1)},
            {"bits": (6, 3), "rounding": "TRN"},
            {"bits": (5, 4), "rounding": "RND"},
        ),
    )

    @property
    def format(self) -> FixedPoint:
        """``quantized_relu(bits, integer)``, rounded as ``rounding`` says."""
        return FixedPoint.from_qkeras(*self.bits, signed=False, rounding=self.rounding)

    def float_layer(self, name: str, dtype: str) -> Any:
        """Keras' ReLU."""
        import keras

        return keras.layers.ReLU(name=name, dtype=dtype)
