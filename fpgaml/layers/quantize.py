"""Signed activation: only a change of number format."""

from __future__ import annotations

from typing import Any, ClassVar

from fpgaml.fixed_point import FixedPoint
from fpgaml.layers import Example, QuantizerLayer


class Quantize(QuantizerLayer):
    """Values are rounded to a signed format."""

    kind: ClassVar[str] = "quantize"
    example: ClassVar[Example] = Example(
        (10,),
        (
            {"bits": (7, 2)},
            {"bits": (5, 4)},
            {"bits": (12, 1)},
            {"bits": (6, 3), "rounding": "TRN"},
            {"bits": (5, 4), "rounding": "RND"},
            {"bits": (2, 8), "rounding": "TRN"},
        ),
    )

    @property
    def format(self) -> FixedPoint:
        """``quantized_bits(bits, integer, alpha=1)``, rounded as ``rounding`` says."""
        return FixedPoint.from_qkeras(*self.bits, rounding=self.rounding)

    def float_layer(self, name: str, dtype: str) -> Any:
        """Nothing: the float twin does not round."""
        return None
