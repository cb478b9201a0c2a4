"""da4ml's symbols of a circuit, with what they lack: rounding half to even, saturation by bits, matrices once.

A symbol is da4ml's ``FixedVariable``: a number that a wire of the circuit will carry, with its range and step, and
when it is ready, counted in adders. da4ml rounds half up or truncates; QKeras rounds half to even.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fpgaml.fixed_point import FixedPoint

if TYPE_CHECKING:
    from da4ml.trace import FixedVariable, FixedVariableArray

UNITS = (1, -1, -1)
"""Costs are counted in bits of adders, delays in adders, however wide."""


class CircuitArithmetic:
    """Matrices and quantizers on arrays of symbols; see ``fpgaml.layers.Arithmetic``."""

    def __init__(self) -> None:
        self._solutions: dict[Any, Any] = {}

    def matmul(self, rows: FixedVariableArray, matrix: NDArray[np.float64]) -> FixedVariableArray:
        """Every row times the matrix, as adders that da4ml shares between the columns."""
        from da4ml.trace import FixedVariableArray

        sums = [self._row_sums(list(row), matrix) for row in rows]
        return FixedVariableArray(np.array(sums, dtype=object), rows.solver_options)

    def quantize(self, values: FixedVariableArray, fixed: FixedPoint) -> FixedVariableArray:
        """Each value rounded and saturated, in about the time of two adders."""
        from da4ml.trace import FixedVariableArray

        words = [quantize(value, fixed) for value in values.ravel()]
        return FixedVariableArray(np.array(words, dtype=object).reshape(values.shape), values.solver_options)

    def _row_sums(self, row: Sequence[FixedVariable], matrix: NDArray[np.float64]) -> list[FixedVariable]:
        """The sums of one row; rows with the same ranges, as those of a convolution, share one search for adders."""
        used = [i for i, value in enumerate(row) if value.low != value.high and matrix[i].any()]
        constant = np.array([float(value.low) if value.low == value.high else 0.0 for value in row]) @ matrix
        if not used:
            return [_constant(float(c)) for c in constant]
        start = min(row[i].latency for i in used)
        ranges = tuple(tuple(map(float, row[i].qint)) for i in used)
        delays = tuple(float(row[i].latency - start) for i in used)
        part = np.ascontiguousarray(matrix[used], dtype=np.float32)
        key = part.tobytes(), part.shape, ranges, delays
        if key not in self._solutions:
            from da4ml.cmvm.api import solve
            from numba.typed import List as NumbaList

            self._solutions[key] = solve(
                part,
                qintervals=NumbaList([row[i].qint for i in used]),
                latencies=NumbaList(delays),
                adder_size=UNITS[0],
                carry_size=UNITS[1],
            )
        sums = self._solutions[key](np.array([row[i] for i in used], dtype=object))
        # A column of zeros gives a plain number.
        sums = [_constant(float(value)) if isinstance(value, (int, float)) else value for value in sums]
        return [value + float(c) for value, c in zip(sums, constant, strict=True)]


def quantize(value: FixedVariable, fixed: FixedPoint) -> FixedVariable:
    """``value`` rounded and saturated, as ``fixed`` says.

    Rounding down drops the bits below; rounding to the nearest adds half a step before. Half to even: where all the
    dropped bits were zero then there was a tie, and the last bit left is cleared. Saturation looks at the bits above.
    Beside the one addition, which da4ml merges with a bias, that is a few look-up tables, counted as the time of one
    more adder.
    """
    if value.low == value.high:
        return _constant(float(fixed.quantize(float(value.low))))
    fraction = fixed.fraction
    if _steps(value) <= fraction:
        return _saturated(value, None, fixed, _Logic(value.latency + 1))
    raised = value if fixed.rounding == "TRN" else value + 2.0 ** -(fraction + 1)
    logic = _Logic(raised.latency + 1)
    if fixed.rounding != "RND_CONV":
        return _saturated(_without_bits_after(raised, fraction), None, fixed, logic)
    no_tie = logic.any([_bit(raised, -place) for place in range(fraction + 1, _steps(raised) + 1)])
    last = logic.choose(no_tie, raised.quantize(0, 1 - fraction, fraction), 0.0)
    return _saturated(_without_bits_after(raised, fraction), last, fixed, logic)


def _saturated(value: FixedVariable, last: FixedVariable | None, fixed: FixedPoint, logic: _Logic) -> FixedVariable:
    """``value``, whose last bit is ``last`` where that is given, cut to the range of ``fixed``."""
    if value.low == value.high and last is None:
        return _constant(float(fixed.quantize(float(value.low))))
    top = fixed.integer - fixed.signed
    inside = value.quantize(fixed.signed and value.low < 0, top, fixed.fraction)
    if last is not None:
        inside = _without_bits_after(inside, fixed.fraction - 1) + last
        inside.latency = logic.ready
    above = [_bit(value, place) for place in range(top, value.kif[1])]
    high = logic.choose(logic.any(above), fixed.maximum, inside)
    low = logic.choose(logic.all(above), inside, fixed.minimum) if fixed.signed else 0.0
    result = logic.choose(_sign(value), low, high) if value.low < 0 else high
    return result.max_of(fixed.minimum) if fixed.saturation == "SAT_SYM" else result


class _Logic:
    """Logic without carries, all of it ready at one time.

    A bit is a symbol that is 0 or -1, one signed bit: da4ml's interpreter takes the topmost bit of an unsigned symbol
    for 1 always.
    """

    def __init__(self, ready: float) -> None:
        self.ready = ready

    def choose(self, bit: FixedVariable, one: FixedVariable | float, zero: FixedVariable | float) -> FixedVariable:
        """``one`` where ``bit`` is set, ``zero`` where it is not."""
        one, zero = (_constant(value) if isinstance(value, float) else value for value in (one, zero))
        if bit.low == bit.high:
            return one if bit.low else zero
        if one is zero:
            return one
        chosen = bit.msb_mux(one, zero)
        chosen.latency = self.ready
        for constant in chosen._from:  # noqa: SLF001
            if constant.opr == "const":
                constant.latency = self.ready  # da4ml has made them ready with the symbol, later than this
        return chosen

    def any(self, bits: Sequence[FixedVariable]) -> FixedVariable:
        """Set where any bit is."""
        if len(bits) < 2:
            return bits[0] if bits else _constant(0.0)
        half = len(bits) // 2
        return self.choose(self.any(bits[:half]), -1.0, self.any(bits[half:]))

    def all(self, bits: Sequence[FixedVariable]) -> FixedVariable:
        """Set where every bit is."""
        if len(bits) < 2:
            return bits[0] if bits else _constant(-1.0)
        half = len(bits) // 2
        return self.choose(self.all(bits[:half]), self.all(bits[half:]), 0.0)


def _constant(value: float) -> FixedVariable:
    from da4ml.trace import FixedVariable

    return FixedVariable.from_const(value, hwconf=UNITS)


def _steps(value: FixedVariable) -> int:
    """Bits right of the binary point."""
    return int(value.kif[2])


def _bit(value: FixedVariable, place: int) -> FixedVariable:
    """The bit of weight 2^place."""
    if -place > _steps(value):
        return _constant(0.0)
    from da4ml.trace import FixedVariable

    weight = 2.0**place
    bit = FixedVariable(
        -weight,
        0,
        weight,
        _from=(value,),
        _factor=abs(value._factor),  # noqa: SLF001  as da4ml's own ``quantize`` does
        opr="wrap",
        latency=value.latency,
        hwconf=value.hwconf,
    )
    return bit * 2.0**-place


def _sign(value: FixedVariable) -> FixedVariable:
    """Set where ``value``, which can be, is negative."""
    return _bit(value, value.kif[1])


def _without_bits_after(value: FixedVariable, fraction: int) -> FixedVariable:
    """Rounded down to steps of 2^-fraction."""
    negative, integer, _ = value.kif
    return value.quantize(negative, max(integer, -fraction), fraction)
