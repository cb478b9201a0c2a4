"""QKeras' quantizers, exact in any float type, with a choice of rounding, and widths that may change in a traced graph.

QKeras passes gradients through as ``x + stop_gradient(xq - x)``. In floating point that sum is only near ``xq`` when
``x`` is far larger (a saturated activation), and ``quantized_relu`` always computes in float32, which cannot hold the
sums of wide products. The subclasses here have QKeras' values and gradients, but their forward value is exactly a
word of the format, and they compute in the type of their input. Their rounding, named as ``FixedPoint`` does, is a part
of the graph; gradients do not depend on it. Importing this module loads QKeras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import qkeras
import tensorflow as tf


class _Width:
    """Step and largest word of a quantizer: numbers, or after ``let_vary`` variables that a traced graph reads."""

    step: Any
    largest: Any

    def let_vary(self) -> None:
        """Have graphs that are traced from now on read the width whenever they run."""
        self.step, self.largest = (tf.Variable(value, trainable=False) for value in (self.step, self.largest))

    def assign(self, other: _Width) -> None:
        """Take the width of another quantizer of the same class and rounding; ``let_vary`` comes first."""
        self.step.assign(other.step)
        self.largest.assign(other.largest)

    def format(self, x: Any) -> tuple[Any, Any]:
        """Step and largest word in the type of ``x``."""
        values = (self.step, self.largest)
        if isinstance(self.step, tf.Variable):
            return tuple(tf.cast(value, x.dtype) for value in values)
        return tuple(tf.constant(value, x.dtype) for value in values)  # a cast of a number goes by way of float32


class ExactBits(_Width, qkeras.quantized_bits):  # type: ignore[misc]
    """``quantized_bits`` with ``alpha=1``: two's complement, rounded, saturating; the gradient is 1 everywhere."""

    def __init__(self, bits: int, integer: int, *, rounding: str = "RND_CONV", **arguments: Any) -> None:
        super().__init__(bits, integer, **arguments)
        self._quantized = _BITS[rounding]
        self.step, self.largest = 2.0 ** (integer - bits + 1), 2.0 ** (bits - 1) - 1

    def __call__(self, x: Any) -> Any:
        """Quantize a tensor of any shape."""
        x = tf.convert_to_tensor(x)
        step, largest = self.format(x)
        return self._quantized(x, step, -largest if self.symmetric else -largest - 1, largest)


class ExactReLU(_Width, qkeras.quantized_relu):  # type: ignore[misc]
    """``quantized_relu``: unsigned, rounded, saturating; the gradient is 1 inside the range and 0 outside."""

    def __init__(self, bits: int, integer: int, *, rounding: str = "RND_CONV") -> None:
        super().__init__(bits, integer)
        self._quantized = _RELU[rounding]
        self.step, self.largest = 2.0 ** (integer - bits), 2.0**bits - 1

    def __call__(self, x: Any) -> Any:
        """Quantize a tensor of any shape."""
        x = tf.convert_to_tensor(x)
        return self._quantized(x, *self.format(x))


class WithinRange(keras.constraints.Constraint):  # type: ignore[misc]
    """QKeras' constraint on weights, for widths that may change: at most the end of the range, or 1 if more."""

    def __init__(self, quantizer: ExactBits) -> None:
        self.quantizer = quantizer

    def __call__(self, w: Any) -> Any:
        """Clip a tensor of any shape."""
        step, largest = self.quantizer.format(w)
        bound = tf.maximum(step * (largest + 1), tf.ones_like(step))
        return tf.clip_by_value(w, -bound, bound)


def _half_up(x: Any) -> Any:
    floor = tf.floor(x)
    return floor + tf.cast(x - floor >= 0.5, x.dtype)  # x + 0.5 would round where x has no bit left for the half


_ROUND: dict[str, Callable[[Any], Any]] = {"RND_CONV": tf.round, "RND": _half_up, "TRN": tf.floor}

# Gradients are written out: what TensorFlow derives from clip, round and stop_gradient took a third of training.

Gradient = Callable[[Any], tuple[Any, ...]]


def _quantized_bits(rounded: Callable[[Any], Any]) -> Callable[..., Any]:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def quantized(x: Any, step: Any, lowest: Any, largest: Any) -> tuple[Any, Gradient]:
        words = tf.clip_by_value(rounded(x * (1 / step)), lowest, largest)  # by a power of two: the product is exact
        return words * step, lambda upstream: (upstream, None, None, None)

    return quantized  # type: ignore[no-any-return]


def _quantized_relu(rounded: Callable[[Any], Any]) -> Callable[..., Any]:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def quantized(x: Any, step: Any, largest: Any) -> tuple[Any, Gradient]:
        clipped = tf.clip_by_value(x * (1 / step), tf.zeros_like(largest), largest)

        def gradient(upstream: Any) -> tuple[Any, ...]:
            # TensorFlow's gradient of relu6 does the masking in one pass, for a range from 0 to 6
            return tf.raw_ops.Relu6Grad(gradients=upstream, features=clipped * (6 / largest)), None, None

        return rounded(clipped) * step, gradient

    return quantized  # type: ignore[no-any-return]


_BITS = {name: _quantized_bits(rounded) for name, rounded in _ROUND.items()}
_RELU = {name: _quantized_relu(rounded) for name, rounded in _ROUND.items()}
