"""What the Verilog of a network will cost, from its circuit, before Yosys has seen it.

da4ml's circuit is known exactly, and takes tenths of a second to seconds; its pipeline gives latency and registers.
What it does not tell is into how many look-up tables Yosys packs its adders, multiplexers and single bits. That is a
sum of counts times the factors below, fitted to netlists: benchmarks/lut_prediction.py, docs/costs.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fpgaml.architecture import Architecture
from fpgaml.backends._rtl_verilog import adders_in_stages, pipeline_stages
from fpgaml.builder import ModelWeights
from fpgaml.hardware import Hardware
from fpgaml.synthesis import Resources

ESTIMATES = ("bram_18k", "dsp", "ff", "interval_cycles", "latency_cycles", "latency_ns", "lut")
INPUT, SUMS, SUBTRACTION, CONSTANT, CHOICES, RECTIFIERS = -1, (0, 1), 1, 5, (6, -6), (2, -2)
"""da4ml's codes of operations (``da4ml.cmvm.types.Op``)."""

ORIGIN = "predicted from da4ml's circuit, fitted to netlists of Yosys before place and route"

LUTS: Mapping[str, float] = MappingProxyType(
    {"both": 0.974, "sign": 1.359, "carry": 0.300, "inverted": 0.113, "chosen": 0.660}
)
"""Look-up tables for each bit of ``circuit_bits``: fitted to 32 networks of 482 to 3,905 look-up tables."""
MARGINS: Mapping[str, float] = MappingProxyType({"lut": 1.2})
"""What a figure may be too low by, as a factor: the most in the benchmark, where a fit to others predicted, was 1.17.
Flip-flops are counted, and were never too low."""


def circuit_bits(circuit: Any) -> dict[str, float]:
    """Bits of a circuit's operations, by what a bit takes.

    Parameters
    ----------
    circuit : CombLogic
        da4ml's.

    Returns
    -------
    dict of name to number
        Of sums and differences, ``both``: bits that both numbers have. ``sign``: bits above the shorter one, which
        repeats its sign there. ``carry``: the same where it has no sign, so that only a carry passes. ``inverted``:
        bits below one of the numbers in a difference. ``chosen``: bits of a choice by one bit, between two numbers, or
        a number and a constant, which is a gate for each bit.
    """
    bits: Counter[str] = Counter(dict.fromkeys(LUTS, 0))
    for op in circuit.ops:
        if op.opcode in SUMS:
            bits.update(_sum_bits(op, circuit.ops[op.id0], circuit.ops[op.id1]))
        elif op.opcode in CHOICES + RECTIFIERS:
            bits["chosen"] += _width(op.qint)
    return dict(bits)


def _sum_bits(op: Any, one: Any, other: Any) -> dict[str, int]:
    """Bits of ``one`` plus or minus ``other``, the latter shifted by ``op.data``."""
    (signed, high, low), (other_signed, other_high, other_low) = _place(one.qint), _place(other.qint)
    other_high, other_low = other_high + op.data, other_low + op.data
    result_signed, result_high, _ = _place(op.qint)
    shorter_end, overlap_begin = min(high, other_high), max(low, other_low)
    repeated = (signed or other_signed) if high == other_high else signed if high < other_high else other_signed
    above = max(0, result_high + result_signed - max(shorter_end, overlap_begin))
    return {
        "both": max(0, shorter_end - overlap_begin),
        "sign" if repeated else "carry": above,
        "inverted": abs(low - other_low) if op.opcode == SUBTRACTION else 0,
    }


def _place(interval: Any) -> tuple[bool, int, int]:
    """Whether a number has a sign, and its highest bit's place plus 1 and its lowest bit's place, without the sign."""
    signed, integer, fraction = interval.precision
    return bool(signed), int(integer), -int(fraction)


def estimate(architecture: Architecture, weights: ModelWeights, hardware: Hardware) -> Resources:
    """What a folded network with these quantized weights will cost as Verilog of its own."""
    from fpgaml.backends._rtl_trace import trace_network

    circuit = trace_network(architecture, weights).network()
    stages = pipeline_stages(circuit, hardware.clock_period_ns)
    return Resources(
        origin=ORIGIN,
        lut=round(sum(LUTS[kind] * bits for kind, bits in circuit_bits(circuit).items())),
        ff=register_bits(circuit, stages),
        dsp=0,  # products are with constants: sums of shifted numbers
        bram_18k=0,
        latency_cycles=stages,
        interval_cycles=1,
        clock_period_ns=hardware.clock_period_ns,
    )


def register_bits(circuit: Any, stages: int) -> int:
    """Bits of the registers in ``stages`` pipeline stages: a number's, at every border of stages that it crosses.

    Inputs are registered first, outputs last; numbers that no output needs have no registers.
    """
    adders = adders_in_stages(circuit, stages)
    made = [max(0, math.floor(op.latency / (adders + 1e-9))) for op in circuit.ops]
    needed: dict[int, int] = dict.fromkeys(circuit.out_idxs, stages)
    for position in range(len(circuit.ops) - 1, -1, -1):
        if position in needed:
            for source in _sources(circuit.ops[position]):
                needed[source] = max(needed.get(source, 0), made[position])
    total = 0
    for position, last in needed.items():
        op = circuit.ops[position]
        if op.opcode != CONSTANT:
            total += _width(op.qint) * (max(0, last - made[position]) + (op.opcode == INPUT))
    return total


def _sources(op: Any) -> list[int]:
    """Positions of the operations that an operation takes its operands from."""
    if op.opcode == INPUT:
        return []
    operands = [op.id0, op.id1] + ([op.data & 0xFFFFFFFF] if op.opcode in CHOICES else [])
    return [position for position in operands if position >= 0]


def _width(interval: Any) -> int:
    """Bits of a number with this range and step."""
    return int(sum(map(int, interval.precision)))
