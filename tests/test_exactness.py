"""Random small networks and deliberately awkward ones: firmware and model agree in every word."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, reject, settings
from networks import entry, inputs_for, network, random_model

from fpgaml.architecture import Architecture, InputFormat
from fpgaml.convert import convert
from fpgaml.csim import compare
from fpgaml.errors import ExactnessError, StudyError
from fpgaml.fixed_point import ROUNDING
from fpgaml.hardware import Hardware
from fpgaml.layers import Layer, layer_class

weight_bits = st.tuples(st.integers(2, 12), st.integers(-2, 4))
value_bits = st.tuples(st.integers(2, 14), st.integers(0, 6))


def layer(kind: str, **fields) -> Layer:
    return layer_class(kind)(**fields)


@st.composite
def activations(draw) -> Layer:
    kind, rounding = draw(st.sampled_from(["relu", "quantize"])), draw(st.sampled_from(ROUNDING))
    return layer(kind, bits=draw(value_bits), rounding=rounding)


@st.composite
def architectures(draw) -> Architecture:
    """One or two convolutions or none, maybe pooling, maybe batch normalisation, dense layers, random widths."""
    rank = draw(st.integers(0, 2))
    shape = (*(draw(st.integers(5, 8)) for _ in range(rank)), draw(st.integers(1, 3)))
    arithmetic = {"use_bias": st.booleans(), "bits": weight_bits, "bias_bits": st.none() | weight_bits}
    layers: list[Layer] = []

    def add(kind: str, **fields) -> None:
        layers.append(layer(kind, **fields, **{name: draw(values) for name, values in arithmetic.items()}))
        if draw(st.booleans()):
            layers.append(layer("batchnorm"))

    if rank:
        for _ in range(draw(st.integers(1, 2))):
            padding = draw(st.sampled_from(["valid", "same"]))
            kind = draw(st.sampled_from(["conv2d", "depthwise_conv2d"] if rank == 2 else ["conv1d"]))
            filters = {} if kind == "depthwise_conv2d" else {"filters": draw(st.integers(1, 3))}
            add(kind, **filters, kernel_size=draw(st.integers(1, 3)), padding=padding)
            layers.append(draw(activations()))
        if draw(st.booleans()):
            pooling = draw(st.sampled_from(["max", "average"]))
            layers.append(layer(f"{pooling}_pooling{rank}d", pool_size=2 if rank == 1 else (1, 2)))
            if draw(st.booleans()):
                layers.append(draw(activations()))
        layers.append(layer("flatten"))
    for _ in range(draw(st.integers(0, 1))):
        add("dense", units=draw(st.integers(1, 5)))
        layers.append(draw(activations()))
    add("dense", units=draw(st.integers(1, 3)))
    input_format = InputFormat(bits=draw(value_bits), signed=draw(st.booleans()))
    try:
        return network(shape, layers, input_format)
    except StudyError:
        reject()  # the kernels left too small an image for the pooling


@pytest.mark.slow
@given(
    architecture=architectures(),
    backend=st.sampled_from(["vivado", "vitis"]),
    io_type=st.sampled_from(["io_parallel", "io_stream"]),
    strategy=st.sampled_from(["latency", "resource"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=16, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_random_networks_agree(architecture, backend, io_type, strategy, seed):
    hardware = Hardware(backend=backend, io_type=io_type, strategy=strategy)
    note(str([entry(found) for found in architecture.layers]))
    trained = random_model(architecture, seed)
    try:
        trained.firmware.check_hardware(hardware)
    except ExactnessError:
        return
    with tempfile.TemporaryDirectory() as directory:
        project = convert(trained, hardware, Path(directory) / "project")
        agreement = compare(project, trained, inputs_for(architecture, 2000, seed), processes=1)
    assert agreement.exact, str(agreement)


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
