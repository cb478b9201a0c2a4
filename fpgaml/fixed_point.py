"""One fixed-point format: its ``ap_fixed`` type, its numpy quantizer and its QKeras quantizer.

QKeras counts the sign in ``bits`` but not in ``integer``; ``ap_fixed`` counts it in both. Here ``width`` and
``integer`` count it in both, as in ``ap_fixed``; "bits" always means QKeras' pair (bits, integer).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpgaml.errors import ExactnessError, did_you_mean

Rounding = Literal["TRN", "RND", "RND_CONV"]
ROUNDING: tuple[str, ...] = get_args(Rounding)
SATURATION = ("WRAP", "SAT", "SAT_SYM")

MAX_WIDTH = 53
"""Bits of a float64's significand: wider words have no exact reference."""

MAX_EXPONENT = 126
"""Steps and ranges lie between 2^-126, float32's smallest normal number, and 2^126: networks are trained in float32."""


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point number format.

    Parameters
    ----------
    width : int
        Bits of a word, the sign included; 1 to 53.
    integer : int
        Bits left of the binary point, the sign included; may be negative or larger than ``width``, as long as step and
        range keep ``MAX_EXPONENT``.
    signed : bool
        Two's complement if true.
    rounding : {"TRN", "RND", "RND_CONV"}
        Towards minus infinity, half up, half to even, as the ``ap_fixed`` modes of the same names (AMD UG1399, chapter
        on arbitrary precision types).
    saturation : {"WRAP", "SAT", "SAT_SYM"}
        Wrap around, clip, clip to a symmetric range.

    Raises
    ------
    ExactnessError
        A width that no word can have or that float64 cannot hold, a step or range that float32 cannot hold, or an
        unknown mode.
    """

    width: int
    integer: int
    signed: bool = True
    rounding: str = "RND_CONV"
    saturation: str = "SAT"

    def __post_init__(self) -> None:
        smallest = 2 if self.signed else 1
        if not smallest <= self.width <= MAX_WIDTH:
            kind = "signed" if self.signed else "unsigned"
            raise ExactnessError(
                f"fixed-point width {self.width} is not possible: a {kind} format has {smallest} to {MAX_WIDTH} bits"
                + (" (one signed bit means ±1 in QKeras, which no fixed-point type is)" if self.width == 1 else "")
            )
        if self.fraction > MAX_EXPONENT or self.integer - self.signed > MAX_EXPONENT:
            lowest = self.width - self.signed - MAX_EXPONENT
            raise ExactnessError(
                f"{self.width} bits of which {self.integer - self.signed} are integer bits without the sign are not "
                f"possible: float32, in which networks are trained, cannot hold such numbers. With {self.width} bits, "
                f"{lowest} to {MAX_EXPONENT} can be"
            )
        if self.rounding not in ROUNDING:
            raise ExactnessError(f"unknown rounding {self.rounding!r}; {did_you_mean(self.rounding, ROUNDING)}")
        if self.saturation not in SATURATION:
            raise ExactnessError(f"unknown saturation {self.saturation!r}; {did_you_mean(self.saturation, SATURATION)}")

    @classmethod
    @lru_cache(1024)  # a study is checked before work starts, and makes few formats many times
    def from_qkeras(
        cls, bits: int, integer: int, *, signed: bool = True, symmetric: bool = False, rounding: str = "RND_CONV"
    ) -> FixedPoint:
        """The format of ``quantized_bits(bits, integer)``, or without a sign of ``quantized_relu(bits, integer)``.

        QKeras itself knows no ``rounding`` but half to even.
        """
        return cls(bits, integer + signed, signed, rounding, "SAT_SYM" if symmetric else "SAT")

    @property
    def fraction(self) -> int:
        """Bits right of the binary point."""
        return self.width - self.integer

    @property
    def step(self) -> float:
        """Difference of two neighbouring values, one LSB."""
        return 2.0**-self.fraction

    @property
    def word_range(self) -> tuple[int, int]:
        """Smallest and largest integer word."""
        if not self.signed:
            return 0, 2**self.width - 1
        largest = 2 ** (self.width - 1) - 1
        return (-largest if self.saturation == "SAT_SYM" else -largest - 1), largest

    @property
    def minimum(self) -> float:
        """Smallest value."""
        return self.word_range[0] * self.step

    @property
    def maximum(self) -> float:
        """Largest value."""
        return self.word_range[1] * self.step

    @property
    def ap_type(self) -> str:
        """The C++ type.

        >>> FixedPoint.from_qkeras(8, 4).ap_type
        'ap_fixed<8,5,AP_RND_CONV,AP_SAT>'
        """
        return (
            f"ap_{'' if self.signed else 'u'}fixed<{self.width},{self.integer},AP_{self.rounding},AP_{self.saturation}>"
        )

    def words(self, values: ArrayLike) -> NDArray[np.int64]:
        """The integer words that ``values``, of any shape, become.

        Exact as long as a value's own significand fits float64; values must be finite.
        """
        scaled = np.asarray(values, dtype=np.float64) * 2.0**self.fraction
        if self.rounding == "RND_CONV":
            rounded = np.rint(scaled)
        elif self.rounding == "RND":
            floor = np.floor(scaled)
            rounded = floor + (scaled - floor >= 0.5)
        else:
            rounded = np.floor(scaled)
        low, high = self.word_range
        if self.saturation == "WRAP":
            rounded = np.mod(rounded - low, 2.0**self.width) + low
        return np.clip(rounded, low, high).astype(np.int64)

    def quantize(self, values: ArrayLike) -> NDArray[np.float64]:
        """``values`` in this format, as float64, which holds every word exactly."""
        return np.multiply(self.words(values), self.step, dtype=np.float64)

    def qkeras_quantizer(self) -> Any:
        """A QKeras quantizer with the same values: a ``quantized_bits``, or a ``quantized_relu`` if not signed.

        Raises
        ------
        ExactnessError
            There is none with this saturation.
        """
        if self.saturation == "WRAP" or (self.saturation == "SAT_SYM" and not self.signed):
            raise ExactnessError(f"QKeras has no quantizer for {self.ap_type}: it saturates, without a sign at zero")
        from fpgaml.quantizers import ExactBits, ExactReLU

        if self.signed:
            symmetric = int(self.saturation == "SAT_SYM")
            return ExactBits(self.width, self.integer - 1, symmetric=symmetric, alpha=1, rounding=self.rounding)
        return ExactReLU(self.width, self.integer, rounding=self.rounding)
