"""What is counted of a network's words is what plain counting gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from networks import random_model

from fpgaml.architecture import Architecture, InputFormat
from fpgaml.errors import DataError
from fpgaml.fixed_point import ROUNDING, FixedPoint
from fpgaml.layers import layer_class
from fpgaml.word_use import network_word_use, word_use


def shortest_width(words):
    """Bits of the shortest two's complement word, sign included where needed, that holds all, trailing zeros cut."""
    if not any(words):
        return 0
    while not any(word % 2 for word in words):
        words = [word // 2 for word in words]
    signed = min(words) < 0
    width = 1
    while True:
        low, high = (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if signed else (0, 2**width - 1)
        if low <= min(words) and max(words) <= high:
            return width
        width += 1


@pytest.mark.parametrize("signed", [True, False])
def test_the_width_in_use_is_that_of_the_shortest_word(signed):
    fixed = FixedPoint(6, 3, signed=signed)
    generator = np.random.default_rng(1)
    low, high = fixed.word_range
    for _ in range(200):
        words = generator.integers(low, high + 1, generator.integers(1, 4)) // 2 ** generator.integers(0, 6)
        found = word_use("words", fixed, words * fixed.step)
        assert found.width_used == shortest_width(words.tolist())
        assert found.unused == 6 - found.width_used >= 0
        assert found.largest == np.abs(words).max() * fixed.step
        divisor = math.gcd(*(abs(word) for word in words.tolist()))
        assert found.smallest == (divisor & -divisor) * fixed.step


def test_shares_of_values_beyond_the_range_and_rounded_to_zero():
    signed = word_use("x", FixedPoint(8, 4), [0.0, 0.01, -0.01, 7.96, 7.97, -8.03, -8.04, 100.0, 0.5, 1.0])
    assert (signed.saturated, signed.zeroed, signed.zeros) == (0.3, 0.2, 0.3)
    # what is negative becomes zero on purpose
    relu = word_use("x", FixedPoint(8, 4, signed=False), [-100.0, -0.001, 0.0, 0.001, 15.96, 16.0, 1.0, 2.0])
    assert (relu.saturated, relu.zeroed, relu.zeros) == (1 / 8, 1 / 8, 4 / 8)


@pytest.mark.parametrize("rounding", ROUNDING)
def test_what_saturates_is_what_a_wider_word_would_hold(rounding):
    fixed = FixedPoint(4, 3, rounding=rounding)
    wider = FixedPoint(8, 7, rounding=rounding)
    values = np.arange(-80, 80) / 8
    words = wider.words(values)
    found = word_use("x", fixed, values)
    assert found.saturated == np.mean((words < -8) | (words > 7))
    assert found.zeroed == np.mean((words == 0) & (values != 0))


def test_nothing_but_zeros():
    found = word_use("x", FixedPoint(8, 4), np.zeros(5))
    assert (found.width_used, found.largest, found.smallest, found.typical, found.zeros) == (0, 0, 0, (0, 0), 1)


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_what_cannot_be_counted_is_named(values):
    with pytest.raises(DataError, match="dense_1 weights: needs values, and all of them finite"):
        word_use("dense_1 weights", FixedPoint(8, 4), values)


def test_all_formats_of_a_network_from_input_to_output():
    conv, relu, flatten, dense = (layer_class(kind) for kind in ("conv2d", "relu", "flatten", "dense"))
    layers = (
        conv(filters=2, kernel_size=(2, 1), bits=(8, 2)),
        relu(bits=(6, 2)),
        flatten(),
        dense(units=1, bits=(7, 1), use_bias=False),
    )
    trained = random_model(Architecture((4, 1, 1), InputFormat(bits=(8, 2)), layers), seed=1)
    x = np.random.default_rng(2).normal(size=(50, 4, 1, 1)) * 3
    found = {use.name: use for use in network_word_use(trained, x)}
    assert list(found) == ["input", "conv2d_1 weights", "conv2d_1 biases", "relu_1", "dense_1 weights"]
    sums = trained.layer_outputs(x)["conv2d_1"]
    assert found["relu_1"] == word_use("relu_1", layers[1].format, sums)
    assert found["relu_1"].saturated == pytest.approx((sums >= layers[1].format.maximum + 2**-5).mean())
    assert found["dense_1 weights"].fixed == layers[3].weight_format
    assert found["input"].n_values == x.size
