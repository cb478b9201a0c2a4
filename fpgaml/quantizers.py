"""QKeras' quantizers, exact in any float type.

QKeras passes gradients through as ``x + stop_gradient(xq - x)``. In floating point that sum is only near ``xq`` when
``x`` is far larger (a saturated activation), and ``quantized_relu`` always computes in float32, which cannot hold the
sums of wide products. The subclasses here have QKeras' values and gradients, but their forward value is exactly a
word of the format, and they compute in the type of their input. Importing this module loads QKeras.
"""

from __future__ import annotations

from typing import Any

import qkeras
from keras import ops


def _straight_through(differentiable: Any, value: Any) -> Any:
    """``value`` forward, the gradient of ``differentiable`` backward; x - x is exactly zero."""
    return ops.stop_gradient(value) + (differentiable - ops.stop_gradient(differentiable))


class ExactBits(qkeras.quantized_bits):  # type: ignore[misc]
    """``quantized_bits`` with ``alpha=1``: two's complement, half to even, saturating; the gradient is 1 everywhere."""

    def __call__(self, x: Any) -> Any:
        """Quantize a tensor of any shape."""
        step = 2.0 ** (self.integer - self.bits + 1)
        largest = 2.0 ** (self.bits - 1) - 1
        words = ops.clip(ops.round(x / step), -largest if self.symmetric else -largest - 1, largest)
        return _straight_through(x, words * step)


class ExactReLU(qkeras.quantized_relu):  # type: ignore[misc]
    """``quantized_relu``: unsigned, half to even, saturating; the gradient is 1 inside the range and 0 outside."""

    def __call__(self, x: Any) -> Any:
        """Quantize a tensor of any shape."""
        step = 2.0 ** (self.integer - self.bits)
        largest = 2.0**self.bits - 1
        words = ops.clip(ops.round(x / step), 0.0, largest)
        return _straight_through(ops.clip(x, 0.0, largest * step), words * step)
