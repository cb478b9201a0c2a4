"""What every layer kind must pass on every target: its firmware agrees with the model in every word, or it is refused.

The cells of the table in the documentation are written from these tests: see ``conftest.py``.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from networks import example_network, inputs_for, random_model

from fpgaml.backends import get_backend
from fpgaml.convert import convert
from fpgaml.csim import compare
from fpgaml.errors import ExactnessError
from fpgaml.hardware import Hardware
from fpgaml.layers import layer_class, layer_kinds
from fpgaml.train import TrainedModel

N_EVENTS = 2000
HLS_TARGETS = list(itertools.product(("vivado", "vitis"), ("io_parallel", "io_stream"), ("latency", "resource")))
TARGETS = [*HLS_TARGETS, ("rtl", "io_parallel", "latency")]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "io_type", "strategy"), TARGETS)
@pytest.mark.parametrize("kind", layer_kinds())
def test_firmware_agrees_in_every_word(kind, backend, io_type, strategy, tmp_path: Path, record_property):
    architecture = example_network(kind)
    hardware = Hardware(backend=backend, io_type=io_type, strategy=strategy)
    trained = random_model(architecture, seed=1)
    cell = (kind, f"{backend} {io_type} {strategy}")
    try:
        trained.firmware.check_hardware(hardware)
    except ExactnessError as error:
        with pytest.raises(ExactnessError):
            convert(trained, hardware, tmp_path / "project")
        assert not (tmp_path / "project").exists()
        record_property("conformance", [*cell, "refused", str(error).split(": ", 1)[1]])
        return
    project = convert(trained, hardware, tmp_path / "project")
    x = inputs_for(architecture, N_EVENTS, seed=2)
    # Compiling the Verilog of each kind would take minutes; test_rtl.py does it for a network of all kinds.
    interpreted = get_backend(backend).interpret(project.directory, x.reshape(N_EVENTS, -1).astype(float))
    if interpreted is not None:
        assert interpreted.shape == (N_EVENTS, 3)
        assert (interpreted != trained.predict(x)).sum() == 0
        record_property("conformance", [*cell, "exact", f"0 of {interpreted.size} words"])
        return
    agreement = compare(project, trained, x, processes=1)
    assert agreement.words == N_EVENTS * 3
    assert agreement.mismatches == 0, str(agreement)
    record_property("conformance", [*cell, "exact", f"0 of {agreement.words} words"])


@pytest.mark.parametrize("kind", layer_kinds())
def test_a_kind_says_what_it_is(kind):
    cls = layer_class(kind)
    assert cls.kind == kind
    assert cls.example.fields
    assert all(documented.__doc__ for documented in (cls, cls.keras_layer, cls.output_shape))


@pytest.mark.slow
@pytest.mark.parametrize("kind", layer_kinds())
def test_shapes_and_parameters_are_those_of_keras(kind):
    architecture = example_network(kind)
    outputs = random_model(architecture, seed=1).layer_outputs(inputs_for(architecture, 2, seed=1))
    for step in architecture.folded().steps:
        if step.name in outputs:
            assert outputs[step.name].shape == (2, *step.output_shape)
    model = TrainedModel(architecture.folded(), random_model(architecture, seed=1).weights).keras_model
    parameters = sum(step.layer.parameters(step.input_shape) for step in architecture.folded().steps)
    assert parameters == model.count_params()


@pytest.mark.slow
@pytest.mark.parametrize("kind", layer_kinds())
def test_values_stay_in_the_range_that_is_derived(kind):
    architecture = example_network(kind).folded()
    outputs = random_model(architecture, seed=3).layer_outputs(inputs_for(architecture, 200, seed=4))
    for step in architecture.steps:
        values = outputs.get(step.name)
        if values is not None:
            assert values.min() >= step.output_values.minimum
            assert values.max() <= step.output_values.maximum
            words = values * 2.0**step.output_values.fraction
            assert (words == words.round()).all()
