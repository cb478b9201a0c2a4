"""Weights by name, folding, quantized weights."""

from __future__ import annotations

import numpy as np
import pytest
from fuzz.random_networks import FIELDS
from networks import inputs_for, network

from fpgaml.builder import build_model, fold, model_weights, quantized_weights, set_model_weights
from fpgaml.errors import FpgamlError
from fpgaml.layers import layer_class, layer_kinds

pytestmark = pytest.mark.slow


def layer(kind, **fields):
    return layer_class(kind)(**fields)


NETWORK = network(
    (8, 8, 2),
    [
        layer("conv2d", filters=3, kernel_size=3, bits=(8, 2), use_bias=False),
        layer("batchnorm"),
        layer("relu", bits=(12, 4)),
        layer("depthwise_conv2d", kernel_size=3, bits=(8, 2)),
        layer("batchnorm", epsilon=0.01),
        layer("quantize", bits=(12, 4)),
        layer("flatten"),
        layer("dropout", rate=0.3),
        layer("dense", units=4, bits=(8, 2)),
        layer("batchnorm"),
    ],
)


def random_weights(model):
    rng = np.random.default_rng(1)
    return {
        name: {
            key: rng.uniform(0.5, 1.5, array.shape) if "variance" in key else rng.normal(size=array.shape)
            for key, array in found.items()
        }
        for name, found in model_weights(model).items()
    }


def test_weights_come_back_as_they_were_set():
    model = build_model(NETWORK, dtype="float64")
    weights = random_weights(model)
    set_model_weights(model, weights)
    found = model_weights(model)
    assert (
        found.keys()
        == weights.keys()
        == {"conv2d_1", "batchnorm_1", "depthwise_conv2d_1", "batchnorm_2", "dense_1", "batchnorm_3"}
    )
    for name, arrays in weights.items():
        assert arrays.keys() == found[name].keys()
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[name][key], array)


def test_folded_float_twin_does_what_batch_normalisation_does():
    model = build_model(NETWORK, quantized=False, dtype="float64")
    weights = random_weights(model)
    set_model_weights(model, weights)
    folded = build_model(NETWORK.folded(), quantized=False, dtype="float64")
    set_model_weights(folded, fold(NETWORK, weights))
    x = inputs_for(NETWORK, 50, seed=1)
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(folded.predict(x, verbose=0), expected, rtol=1e-9, atol=1e-6 * np.abs(expected).max())


def test_quantized_weights_are_those_that_qkeras_computes_with():
    architecture = NETWORK.folded()
    model = build_model(architecture, dtype="float64")
    weights = random_weights(model)
    set_model_weights(model, weights)
    quantized = quantized_weights(architecture, weights)
    dense = model.get_layer("dense_1")
    np.testing.assert_array_equal(dense.kernel_quantizer_internal(dense.kernel), quantized["dense_1"]["kernel"])
    np.testing.assert_array_equal(dense.bias_quantizer_internal(dense.bias), quantized["dense_1"]["bias"])
    assert quantized["conv2d_1"].keys() == {"kernel", "bias"}


@pytest.mark.parametrize("kind", [kind for kind in layer_kinds() if kind[-2:] in ("1d", "2d")])
def test_what_is_accepted_can_be_trained(kind):
    """TensorFlow has no gradient, or no forward pass, for some combinations of windows, steps and images."""
    import tensorflow as tf

    rng = np.random.default_rng(list(kind.encode()))
    n_accepted = 0
    for _ in range(16):
        shape = (*(int(size) for size in rng.integers(1, 8, int(kind[-2]))), int(rng.integers(1, 4)))
        try:
            layer = layer_class(kind)(**FIELDS[kind](rng, shape))
            output_shape = layer.output_shape(shape)
        except (FpgamlError, ValueError):
            continue
        n_accepted += 1
        x = tf.constant(rng.normal(size=(2, *shape)), tf.float32)
        for quantized in (True, False):
            keras_layer = layer.keras_layer("layer", quantized=quantized, dtype="float32", seed=1)
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = keras_layer(x, training=True)
                total = tf.reduce_sum(outputs**2)
            assert outputs.shape == (2, *output_shape)
            for gradient in tape.gradient(total, [x, *keras_layer.trainable_variables]):
                assert np.isfinite(gradient).all()
    assert n_accepted >= 5
