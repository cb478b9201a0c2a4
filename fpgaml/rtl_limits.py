"""What the backend rtl refuses before it begins: options it does not have, words too wide, networks too large."""

from __future__ import annotations

import re

from fpgaml.architecture import Architecture
from fpgaml.errors import ExactnessError, StudyError
from fpgaml.hardware import Hardware
from fpgaml.layers import ArithmeticLayer

MAX_PRODUCTS = 20_000
"""Products of one event. Each becomes adders of its own; docs/rtl.md says how long how many of them take."""
LUTS_PER_PRODUCT_BIT = 1.4
"""Look-up tables for each product and bit of its weight, where weights are dense: docs/rtl.md."""
WEIGHT_BITS = 24
"""da4ml's search for adders holds weights as float32."""
FRACTION_BITS = 31
"""da4ml adds constants with at most 32 fractional bits; rounding adds half a step."""
VALUE_EXPONENT = 60
"""da4ml's interpreter counts in integers of 64 bits."""
FAMILIES = {
    r"xc(vu|ku|zu|au)\d+(p|eg|ev|cg|dr)": "xcup",  # UltraScale+
    r"xc(u\d|k\d)": "xcup",  # Alveo and Kria, which hold UltraScale+ dies
    r"xc(vu|ku)\d+": "xcu",  # UltraScale
    r"x[acq]7[aksvz]": "xc7",
    r"xc6v": "xc6v",
    r"xc6s": "xc6s",
}
"""Yosys' name of a family by how the part's name begins; the first that fits."""
PARTS = ("xc6s", "xc6v", "xc7a", "xc7k", "xc7s", "xc7v", "xc7z", "xcau", "xck", "xcku", "xcu", "xcvu", "xczu")
"""Beginnings of the names of parts that ``FAMILIES`` knows, for people."""


def family_of(part: str) -> str:
    """Yosys' name of the family that a Xilinx part belongs to.

    Raises
    ------
    StudyError
        Yosys' Xilinx flow does not know the part's family.
    """
    for pattern, family in FAMILIES.items():
        if re.match(pattern, part.lower()):
            return family
    raise StudyError(
        f"hardware.part {part!r}: the backend rtl knows no such family. Allowed: parts whose names begin with "
        f"{', '.join(PARTS)}, such as xcvu9p-flga2577-2-e"
    )


def check_options(hardware: Hardware) -> None:
    """Refuse options that only hls4ml has, where they are not as they are if not given.

    Raises
    ------
    StudyError
        With each of them.
    """
    default = Hardware()
    others = [key for key in Hardware.model_fields if key not in ("backend", "part", "clock_period_ns")]
    wrong = [key for key in others if getattr(hardware, key) != getattr(default, key)]
    if wrong:
        raise StudyError(
            "hardware: the backend rtl unrolls everything, and has none of hls4ml's options to share hardware. Leave "
            f"out {', '.join(wrong)}"
        )
    family_of(hardware.part)


def check_size(architecture: Architecture) -> None:
    """Refuse a network whose circuit da4ml cannot hold exactly, or that nobody would want to wait for.

    Raises
    ------
    ExactnessError
        Words that are too wide.
    StudyError
        Too many products, with an estimate of what they would take.
    """
    for fixed in architecture.formats:
        if fixed.fraction > FRACTION_BITS:
            raise ExactnessError(
                f"the backend rtl holds {FRACTION_BITS} fractional bits, and {fixed.ap_type}, the format of an input, "
                f"of weights or of an activation, has {fixed.fraction}. Use fewer bits, or more integer bits"
            )
    products, luts, where = 0, 0.0, ("", 0)
    for step in architecture.steps:
        largest = step.output_values.largest
        if largest > 2.0**VALUE_EXPONENT:
            raise ExactnessError(
                f"{step.name}: its values reach {largest:.3g}, and the backend rtl holds up to 2^{VALUE_EXPONENT}. Use "
                "fewer integer bits in it or before it"
            )
        if isinstance(step.layer, ArithmeticLayer):
            width = step.layer.weight_format.width
            if width > WEIGHT_BITS:
                raise ExactnessError(
                    f"{step.name}: the backend rtl holds weights of {WEIGHT_BITS} bits, and these have {width}. Use "
                    "fewer bits"
                )
            found = step.layer.multiply_accumulates(step.input_shape)
            products, luts = products + found, luts + found * width * LUTS_PER_PRODUCT_BIT
            where = max(where, (step.name, found), key=lambda entry: entry[1])
    if products > MAX_PRODUCTS:
        raise StudyError(
            f"{products:,} products for one event, about {luts / 1000:,.0f} thousand LUTs: too many for hardware of "
            f"their own. Allowed for the backend rtl: {MAX_PRODUCTS:,}. Most are in {where[0]}, {where[1]:,}: use "
            "fewer filters or units there, strides or pooling before it, or a backend that shares "
            "multipliers: vivado, vitis"
        )
