"""Counts against a hand-worked example and a loop over every product."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import network

from fpgaml.architecture import InputFormat
from fpgaml.cost import cost, used_bits
from fpgaml.layers import layer_class


def layer(kind, **fields):
    return layer_class(kind)(**fields)


@given(st.lists(st.integers(-(2**40), 2**40)))
def test_used_bits_are_those_of_the_binary_text(words):
    assert used_bits(words).tolist() == [len(f"{abs(word):b}".strip("0")) for word in words]


def test_a_dense_layer_by_hand():
    # Two inputs of 4 bits, one output, weights 1.5 (binary 1.1: 2 bits) and 4 (binary 100: 1 bit), one bias.
    architecture = network((2,), [layer("dense", units=1, bits=(8, 3), bias_bits=(6, 2))], InputFormat(bits=(4, 1)))
    found = cost(architecture, {"dense_1": {"kernel": np.array([[1.5], [4.0]]), "bias": np.array([0.0])}})
    assert found.parameters == 3
    assert found.multiply_accumulates == 2
    assert found.bops == 2 * 4 * 8
    assert found.ebops == 4 * 2 + 4 * 1
    assert found.weight_bits == 2 * 8 + 6
    # inputs -2 … 1.75; products up to 2 × 16 twice, plus a bias down to -4: -60 … 64, six fractional bits
    assert found.activation_bits == 2 * 4 + architecture.steps[0].output_values.width


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_convolution_counts_every_window(padding):
    rng = np.random.default_rng(1)
    conv = layer("conv2d", filters=3, kernel_size=2, strides=2, padding=padding, bits=(6, 1))
    architecture = network(
        (5, 4, 2), [conv, layer("relu", bits=(7, 2)), layer("flatten"), layer("dense", units=1, bits=(6, 1))]
    )
    kernel = conv.weight_format.quantize(rng.normal(size=(2, 2, 2, 3)))
    dense = np.zeros((architecture.steps[2].output_shape[0], 1))
    found = cost(architecture, {"conv2d_1": {"kernel": kernel}, "dense_1": {"kernel": dense}})
    height, width, _ = architecture.steps[0].output_shape
    words = conv.weight_format.words(kernel)
    by_hand = sum(
        8 * int(used_bits(words[index]))
        for _ in range(height * width)
        for index in itertools.product(*(range(size) for size in words.shape))
    )
    assert found.ebops == by_hand
    assert found.multiply_accumulates == height * width * words.size + dense.size
