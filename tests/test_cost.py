"""Counts against a hand-worked example and a loop over every product."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import network

from fpgaml.architecture import InputFormat
from fpgaml.cost import cost, layer_ebops, used_bits
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


def every_product(architecture, weights):
    """Effective bit operations, one product after the other; an input outside the image is no input."""
    total = 0
    for step in architecture.steps:
        if step.name not in weights:
            continue
        kernel, bits = weights[step.name]["kernel"], step.input_values.width
        words = step.layer.weight_format.words(kernel)
        for index in itertools.product(*map(range, kernel.shape)):
            used = len(f"{abs(words[index]):b}".strip("0"))
            if step.layer.kind == "dense":
                total += bits * used
                continue
            for place in itertools.product(*map(range, step.output_shape[:-1])):
                at = [
                    where * stride + cell - before
                    for where, stride, cell, before in zip(
                        place, step.layer.step, index, zeros_before(step), strict=False
                    )
                ]
                inside = all(0 <= x < n for x, n in zip(at, step.input_shape, strict=False))
                total += bits * used * inside
    return total


def zeros_before(step):
    """Zeros that padding "same" puts before the image: the smaller half (TensorFlow's convolution guide)."""
    if step.layer.padding == "valid":
        return [0] * len(step.layer.window)
    missing = [
        max((out - 1) * stride + size - n, 0)
        for out, stride, size, n in zip(
            step.output_shape, step.layer.step, step.layer.window, step.input_shape, strict=False
        )
    ]
    return [zeros // 2 for zeros in missing]


CONVOLUTIONS = {
    "conv2d": ((5, 4, 2), {"filters": 3, "kernel_size": (2, 3), "strides": (2, 1)}),
    "depthwise_conv2d": ((5, 4, 2), {"kernel_size": (3, 2), "strides": 2}),
    "conv1d": ((7, 2), {"filters": 3, "kernel_size": 3, "strides": 2}),
}


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_effective_bit_operations_are_those_of_every_product(kind, padding):
    rng = np.random.default_rng(1)
    shape, fields = CONVOLUTIONS[kind]
    conv = layer(kind, padding=padding, bits=(6, 1), **fields)
    dense = layer("dense", units=2, bits=(5, 0))
    architecture = network(shape, [conv, layer("relu", bits=(7, 2)), layer("flatten"), dense])
    channels = (shape[-1], 1) if kind == "depthwise_conv2d" else (shape[-1], 3)
    kernels = {
        "dense_1": dense.weight_format.quantize(rng.normal(size=(architecture.steps[2].output_shape[0], 2))),
        f"{kind}_1": conv.weight_format.quantize(rng.normal(size=(*conv.window, *channels))),
    }
    weights = {name: {"kernel": kernel} for name, kernel in kernels.items()}
    found = cost(architecture, weights)
    assert found.ebops == every_product(architecture, weights)
    assert found.ebops == sum(
        layer_ebops(step, kernels[step.name]) for step in architecture.steps if step.name in kernels
    )
    positions = np.prod(architecture.steps[0].output_shape[:-1])
    assert found.multiply_accumulates == positions * kernels[f"{kind}_1"].size + kernels["dense_1"].size


def test_a_convolution_by_hand():
    # One channel of four values, windows of two with weights 3 (binary 11: 2 bits) and -4 (1 bit), inputs of 8 bits.
    conv = layer("conv1d", filters=1, kernel_size=2, padding="same", bits=(6, 3), use_bias=False)
    score = [layer("relu", bits=(7, 2)), layer("flatten"), layer("dense", units=1, bits=(6, 1))]
    architecture = network((4, 1), [conv, *score])
    kernels = {"conv1d_1": np.array([3.0, -4.0]).reshape(2, 1, 1), "dense_1": np.zeros((4, 1))}
    # Four windows; the zero of padding stands behind the last value, where the second weight has nothing to do.
    assert cost(architecture, {name: {"kernel": kernel} for name, kernel in kernels.items()}).ebops == 8 * (
        4 * 2 + 3 * 1
    )
