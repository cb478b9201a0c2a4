"""Random networks and deliberately awkward ones: firmware and model agree in every word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fuzz import integer_twin, random_networks
from networks import inputs_for, network, random_model

from fpgaml.architecture import InputFormat
from fpgaml.convert import convert
from fpgaml.csim import compare
from fpgaml.hardware import Hardware
from fpgaml.layers import Layer, layer_class, layer_kinds


def layer(kind: str, **fields) -> Layer:
    return layer_class(kind)(**fields)


def test_random_networks_are_of_every_kind():
    assert set(random_networks.FIELDS) == set(layer_kinds())
    assert set(integer_twin.FUNCTIONS) == set(layer_kinds()) - {"batchnorm"}  # which is folded


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(18))
def test_random_networks_are_exact_or_refused(seed):
    """About half are refused; see docs/exactness.md for how many more were tried."""
    outcome = random_networks.check_network(seed)
    assert outcome.verdict in ("exact", "refused"), outcome.text


WIDE = network(
    (6,),
    [
        layer("dense", units=5, bits=(16, 4)),
        layer("relu", bits=(24, 8)),
        layer("dense", units=5, bits=(16, 4)),
        layer("quantize", bits=(24, 8)),
        layer("dense", units=2, bits=(16, 4)),
    ],
    InputFormat(bits=(24, 8)),
)


@pytest.mark.slow
def test_products_beyond_24_bits_agree_because_the_reference_is_wide(tmp_path: Path):
    import keras

    from fpgaml.builder import build_model, set_model_weights

    trained = random_model(WIDE, seed=5)
    x = inputs_for(WIDE, 4000, seed=6)
    project = convert(trained, Hardware(), tmp_path / "project")
    assert compare(project, trained, x).exact
    narrow = build_model(WIDE, dtype="float32")
    set_model_weights(narrow, trained.weights)
    scores = keras.ops.convert_to_numpy(narrow(x)).astype(np.float64)
    assert (scores != trained.predict(x)).mean() > 0.5  # float32 cannot tell


@pytest.mark.slow
def test_saturation_keeps_its_value_where_fraction_bits_are_unused(tmp_path: Path):
    """hls4ml's own quantizer node narrows this ReLU to 5 fractional bits, and saturates lower."""
    architecture = network(
        (4,), [layer("dense", units=3, bits=(4, 3)), layer("relu", bits=(12, 1)), layer("dense", units=1, bits=(6, 2))]
    )
    trained = random_model(architecture, seed=1)
    project = convert(trained, Hardware(), tmp_path / "project")
    x = inputs_for(architecture, 2000, seed=2)
    assert (trained.layer_outputs(x)["relu_1"] == 2 - 2**-11).any()
    assert compare(project, trained, x).exact
