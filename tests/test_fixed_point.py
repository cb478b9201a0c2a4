"""One FixedPoint against numpy by hand, QKeras, and the ap_fixed headers that hls4ml ships."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fpgaml.errors import ExactnessError
from fpgaml.fixed_point import MAX_EXPONENT, ROUNDING, SATURATION, FixedPoint

SIGNED = [(2, 1), (3, 1), (4, 4), (5, 7), (6, 0), (8, 3), (7, -2)]
UNSIGNED = [(1, 1), (1, 0), (3, 2), (4, 6), (6, 6), (8, 4), (7, -1)]
SMALL = [
    FixedPoint(width, integer, signed, rounding, saturation)
    for signed, formats in ((True, SIGNED), (False, UNSIGNED))
    for (width, integer), rounding, saturation in itertools.product(formats, ROUNDING, SATURATION)
    if signed or saturation != "SAT_SYM"
]
WIDE = [
    FixedPoint.from_qkeras(*bits, signed=signed, symmetric=symmetric)
    for bits in [(10, 2), (12, 4), (14, 4), (16, 4), (16, 6), (18, 0), (24, 8), (32, 8), (40, 12)]
    for signed, symmetric in [(True, False), (True, True), (False, False)]
]


def values_of(fixed: FixedPoint) -> np.ndarray:
    """Words, ties between them and points beside those, to twice the range on either side; a sample if wide."""
    low, high = fixed.word_range
    span = high - low + 1
    if fixed.width <= 12:
        quarters = np.arange(4 * (low - 2 * span), 4 * (high + 2 * span) + 1) / 4
    else:
        rng = np.random.default_rng(fixed.width)
        words = rng.integers(low - span // 8, high + span // 8, 4000)
        edges = np.array([low - 1, low, low + 1, -1, 0, 1, high - 1, high, high + 1])
        words = np.concatenate([words, edges])
        quarters = (words[:, None] + np.array([-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75])).ravel()
    return quarters * fixed.step


def exact_word(value: float, fixed: FixedPoint) -> int:
    """The obvious way, in rational numbers."""
    scaled = Fraction(value) * Fraction(2) ** fixed.fraction
    floor = scaled.numerator // scaled.denominator
    rest = scaled - floor
    up = {
        "TRN": False,
        "RND": rest >= Fraction(1, 2),
        "RND_CONV": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1),
    }[fixed.rounding]
    word = floor + up
    low, high = fixed.word_range
    if fixed.saturation == "WRAP":
        return (word - low) % 2**fixed.width + low
    return min(max(word, low), high)


@pytest.mark.parametrize("fixed", SMALL + WIDE, ids=lambda fixed: fixed.ap_type)
def test_words_are_those_of_exact_arithmetic(fixed):
    values = values_of(fixed)[:: 1 if fixed.width <= 8 else 37]
    assert fixed.words(values).tolist() == [exact_word(value, fixed) for value in values.tolist()]


@pytest.mark.slow
def test_words_are_those_of_the_ap_fixed_headers(tmp_path: Path):
    formats = SMALL + WIDE
    cases = "\n".join(f"    run<{fixed.ap_type}>(argv[1], {number});" for number, fixed in enumerate(formats))
    program = tmp_path / "formats.cpp"
    program.write_text(f"""
#include "ap_fixed.h"
#include <fstream>
#include <string>
#include <vector>
template <class T> void run(const std::string &folder, int number) {{
    const std::string name = folder + "/" + std::to_string(number);
    std::ifstream in(name + ".in", std::ios::binary);
    std::ofstream out(name + ".out", std::ios::binary);
    double value;
    while (in.read(reinterpret_cast<char *>(&value), sizeof value)) {{
        const double quantized = T(value).to_double();
        out.write(reinterpret_cast<const char *>(&quantized), sizeof quantized);
    }}
}}
int main(int argc, char **argv) {{
{cases}
}}
""")
    headers = Path(str(files("hls4ml"))) / "templates" / "vivado" / "ap_types"
    subprocess.run(
        ["g++", "-std=c++17", "-w", "-O1", f"-I{headers}", str(program), "-o", str(tmp_path / "formats")], check=True
    )
    for number, fixed in enumerate(formats):
        values_of(fixed).astype(np.float64).tofile(tmp_path / f"{number}.in")
    subprocess.run([str(tmp_path / "formats"), str(tmp_path)], check=True)
    compared = 0
    for number, fixed in enumerate(formats):
        values = values_of(fixed)
        found = np.fromfile(tmp_path / f"{number}.out")
        assert np.array_equal(found, fixed.quantize(values)), fixed.ap_type
        compared += len(values)
    assert compared > 500_000


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_those_of_qkeras(dtype):
    import keras
    import qkeras

    wide = [dataclasses.replace(fixed, rounding=rounding) for fixed in WIDE for rounding in ROUNDING]
    for fixed in [fixed for fixed in SMALL if fixed.saturation != "WRAP"] + wide:
        values = values_of(fixed).astype(dtype)
        if dtype == "float32" and fixed.width > 22:
            continue  # a quarter step more than 24 bits away from the sign is no float32
        own = keras.ops.convert_to_numpy(fixed.qkeras_quantizer()(keras.ops.convert_to_tensor(values)))
        assert own.dtype == dtype
        assert np.array_equal(own, fixed.quantize(values)), fixed.ap_type
        if fixed.rounding != "RND_CONV":
            continue  # QKeras has no other
        # QKeras' ReLU takes no negative integer, and its sums are exact up to about half of float32's bits.
        if dtype == "float32" and 1 < fixed.width <= 12 and (fixed.signed or fixed.integer >= 0):
            if fixed.signed:
                symmetric = int(fixed.saturation == "SAT_SYM")
                theirs = qkeras.quantized_bits(fixed.width, fixed.integer - 1, symmetric=symmetric, alpha=1)
            else:
                theirs = qkeras.quantized_relu(fixed.width, fixed.integer)
            assert np.array_equal(keras.ops.convert_to_numpy(theirs(values)), own), fixed.ap_type


@pytest.mark.slow
def test_gradients_are_those_of_qkeras():
    import qkeras
    import tensorflow as tf

    values = tf.constant(np.linspace(-20, 20, 401, dtype=np.float32))
    for signed, rounding in itertools.product((True, False), ROUNDING):
        own = FixedPoint.from_qkeras(8, 3, signed=signed, rounding=rounding)
        theirs = qkeras.quantized_bits(8, 3, alpha=1) if signed else qkeras.quantized_relu(8, 3)
        gradients = []
        for quantizer in (own.qkeras_quantizer(), theirs):
            with tf.GradientTape() as tape:
                tape.watch(values)
                outputs = quantizer(values)
            gradients.append(tape.gradient(outputs, values).numpy())
        inside = np.abs(values.numpy()) > 1e-6  # at zero itself relu has no gradient of its own
        assert np.array_equal(gradients[0][inside], gradients[1][inside])


@pytest.mark.slow
def test_qkeras_own_sum_is_not_a_word_where_it_saturates():
    """Why there are quantizers of our own: remove them when this fails."""
    import keras
    import qkeras

    fixed = FixedPoint.from_qkeras(8, 0)
    values = np.random.default_rng(1).uniform(1e3, 1e6, 1000).astype(np.float32)
    theirs = keras.ops.convert_to_numpy(qkeras.quantized_bits(8, 0, alpha=1)(values))
    assert (theirs != fixed.maximum).any()
    assert (keras.ops.convert_to_numpy(fixed.qkeras_quantizer()(values)) == fixed.maximum).all()


@given(
    bits=st.integers(2, 30),
    integer=st.integers(-4, 12),
    signed=st.booleans(),
    values=st.lists(st.floats(-1e6, 1e6), max_size=20),
)
def test_quantizing_twice_changes_nothing(bits, integer, signed, values):
    fixed = FixedPoint.from_qkeras(bits, integer, signed=signed)
    once = fixed.quantize(values)
    assert np.array_equal(fixed.quantize(once), once)
    assert np.all((once >= fixed.minimum) & (once <= fixed.maximum))


@pytest.mark.parametrize(
    ("bits", "signed", "ap_type", "step", "minimum", "maximum"),
    [
        ((8, 4), True, "ap_fixed<8,5,AP_RND_CONV,AP_SAT>", 2**-3, -16, 16 - 2**-3),
        ((12, 4), False, "ap_ufixed<12,4,AP_RND_CONV,AP_SAT>", 2**-8, 0, 16 - 2**-8),
        ((6, -1), True, "ap_fixed<6,0,AP_RND_CONV,AP_SAT>", 2**-6, -0.5, 0.5 - 2**-6),
        ((4, 4), True, "ap_fixed<4,5,AP_RND_CONV,AP_SAT>", 2, -16, 14),
    ],
)
def test_qkeras_bits(bits, signed, ap_type, step, minimum, maximum):
    fixed = FixedPoint.from_qkeras(*bits, signed=signed)
    assert (fixed.ap_type, fixed.step, fixed.minimum, fixed.maximum) == (ap_type, step, minimum, maximum)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 1, "integer": 1}, "±1 in QKeras"),
        ({"width": 0, "integer": 1, "signed": False}, "1 to 53"),
        ({"width": 54, "integer": 10}, "2 to 53"),
        ({"width": 8, "integer": 128}, "8 bits of which 127 are integer bits.* With 8 bits, -119 to 126 can be"),
        ({"width": 8, "integer": -119}, "8 bits of which -120 are integer bits.* With 8 bits, -119 to 126 can be"),
        ({"width": 8, "integer": -119, "signed": False}, "8 bits of which -119 are.* With 8 bits, -118 to 126 can be"),
        ({"width": 53, "integer": 2**31}, "53 bits of which 2147483647 are integer bits"),
        ({"width": 8, "integer": 4, "rounding": "RND_CON"}, "did you mean 'RND_CONV'"),
        ({"width": 8, "integer": 4, "saturation": "CLIP"}, "Allowed: SAT, SAT_SYM, WRAP"),
    ],
)
def test_impossible_formats_are_refused(arguments, message):
    with pytest.raises(ExactnessError, match=message):
        FixedPoint(**arguments)


@pytest.mark.parametrize("signed", [True, False])
def test_step_and_range_are_numbers_of_float32_as_far_out_as_a_format_may_be(signed):
    for integer in (-MAX_EXPONENT + 8 - signed, MAX_EXPONENT):
        fixed = FixedPoint.from_qkeras(8, integer, signed=signed)
        for value in (fixed.step, fixed.maximum, 1 / fixed.step):
            assert float(np.float32(value)) == value
            assert value >= np.finfo(np.float32).tiny
        assert fixed.quantize([fixed.step, 0.0, fixed.maximum]).tolist() == [fixed.step, 0.0, fixed.maximum]


@pytest.mark.parametrize(
    "arguments",
    [{"saturation": "WRAP"}, {"rounding": "TRN", "saturation": "WRAP"}, {"signed": False, "saturation": "SAT_SYM"}],
)
def test_formats_that_qkeras_does_not_have_get_no_quantizer(arguments):
    with pytest.raises(ExactnessError, match="QKeras has no quantizer"):
        FixedPoint(8, 4, **arguments).qkeras_quantizer()
