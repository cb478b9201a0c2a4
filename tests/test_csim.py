"""C simulation: shapes, processes, cache, what it says when words differ, when tools are missing or crash."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import inputs_for, network, random_model

from fpgaml import csim as csim_module
from fpgaml.backends import _compiler, get_backend
from fpgaml.convert import HLSProject, convert
from fpgaml.csim import compare, csim
from fpgaml.errors import DataError, OutputError, StudyError, ToolError
from fpgaml.hardware import Hardware
from fpgaml.layers import layer_class
from fpgaml.train import TrainedModel

pytestmark = pytest.mark.slow

ARCHITECTURE = network(
    (4,),
    [
        layer_class("dense")(units=4, bits=(8, 2)),
        layer_class("relu")(bits=(8, 4)),
        layer_class("dense")(units=4, bits=(8, 2)),
        layer_class("dropout")(rate=0.5),
        layer_class("quantize")(bits=(8, 4)),
        layer_class("dense")(units=2, bits=(8, 2)),
    ],
)
TRAINED = random_model(ARCHITECTURE, seed=1)


@pytest.fixture(scope="module")
def whole_project(tmp_path_factory: pytest.TempPathFactory) -> HLSProject:
    return convert(TRAINED, Hardware(), tmp_path_factory.mktemp("csim") / "project", name="tiny")


@pytest.fixture
def project(whole_project: HLSProject, tmp_path: Path) -> HLSProject:
    """A copy that a test may edit."""
    shutil.copytree(whole_project.directory, tmp_path / "project")
    return HLSProject.load(tmp_path / "project")


@pytest.mark.parametrize("n_events", [0, 1, 2, 5])
def test_scores_have_one_row_per_event(whole_project, n_events):
    x = inputs_for(ARCHITECTURE, n_events, seed=1)
    simulation = csim(whole_project, x)
    assert simulation.scores.shape == (n_events, 2)
    np.testing.assert_array_equal(simulation.scores, TRAINED.predict(x) if n_events else np.empty((0, 2)))


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_processes_do_not_change_scores(whole_project, processes, monkeypatch):
    monkeypatch.setattr(csim_module, "CHUNK", 37)
    x = inputs_for(ARCHITECTURE, 300, seed=2)
    simulation = csim(whole_project, x, processes=processes)
    assert simulation.processes == processes
    np.testing.assert_array_equal(simulation.scores, TRAINED.predict(x))


def test_a_build_is_kept_until_the_project_changes(project):
    x = inputs_for(ARCHITECTURE, 10, seed=3)
    csim(project, x)
    assert csim(project, x).build_s == 0
    source = project.directory / "firmware" / "tiny.cpp"
    source.write_text(source.read_text() + "// edited\n")
    assert csim(project, x).build_s > 0


def edit_weight(project: HLSProject, layer: str, position: int, lsb: float) -> None:
    """Move one weight in the file that the simulation reads."""
    files = sorted((project.directory / "firmware" / "weights").glob("w*.txt"), key=lambda path: int(path.stem[1:]))
    path = files[{"dense_1": 0, "dense_2": 1, "dense_3": 2}[layer]]
    values = path.read_text().split(",")
    values[position] = repr(float(values[position]) + lsb * 2.0**-5)
    path.write_text(",".join(values))


@pytest.mark.parametrize("layer", ["dense_1", "dense_2", "dense_3"])
def test_the_first_layer_that_differs_is_named(project, layer):
    edit_weight(project, layer, 0, 40)
    x = inputs_for(ARCHITECTURE, 2000, seed=4)
    agreement = compare(project, TRAINED, x)
    assert not agreement.exact
    assert agreement.words == 4000
    first = agreement.first_difference
    assert first.layer == layer
    simulated, reference = agreement.simulation.scores, TRAINED.predict(x)
    assert agreement.mismatches == (simulated != reference).sum()
    assert first.event == np.flatnonzero((simulated != reference).any(axis=1))[0]
    assert first.lsb != 0
    assert f"event {first.event}" in str(agreement)
    assert json.loads(json.dumps(agreement.to_json()))["first_difference"]["layer"] == layer


def test_the_size_of_a_difference_is_in_steps_of_the_layer(project):
    # One bias more by 2^-5; a score's step is 2^-5 (weights) times 2^-3 (activations).
    path = max((project.directory / "firmware" / "weights").glob("b*.txt"), key=lambda path: int(path.stem[1:]))
    values = path.read_text().split(",")
    values[0] = repr(float(values[0]) - 2.0**-5)
    path.write_text(",".join(values))
    agreement = compare(project, TRAINED, inputs_for(ARCHITECTURE, 100, seed=5))
    assert agreement.first_difference == csim_module.Difference("dense_3", 0, -8.0)
    assert agreement.mismatches == 100


def test_a_simulation_that_crashes_is_an_error(project):
    source = project.directory / "firmware" / "tiny.cpp"
    source.write_text(source.read_text().replace("nnet::dense", "__builtin_trap(); nnet::dense", 1))
    with pytest.raises(ToolError, match=r"crashed \(signal 4\)"):
        csim(project, inputs_for(ARCHITECTURE, 10, seed=6))


def test_a_full_disk_is_told(whole_project):
    x = inputs_for(ARCHITECTURE, 10, seed=6)  # of 320 bytes, which are less than what is buffered
    csim(whole_project, x)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(OutputError, match=r"File too large\. Free some room there"):
            csim(whole_project, x, processes=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    build, _ = csim_module._build(get_backend(whole_project.hardware.backend), whole_project)
    command = [build / "csim", "/dev/zero", "/dev/full", "4", "2"]
    done = subprocess.run(command, cwd=build, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "error: cannot write /dev/full: No space left on device\n")


def test_sources_that_do_not_compile_are_an_error(project):
    source = project.directory / "firmware" / "tiny.cpp"
    source.write_text(source.read_text() + "\nint broken = ;\n")
    with pytest.raises(ToolError, match=r"(?s)does not compile.*tiny.cpp:.*error"):
        csim(project, inputs_for(ARCHITECTURE, 10, seed=7))


def test_a_missing_compiler_is_an_error(project, monkeypatch):
    monkeypatch.setattr(_compiler, "COMPILER", "g++-that-is-not-there")
    with pytest.raises(ToolError, match="Install a C"):
        csim(project, inputs_for(ARCHITECTURE, 10, seed=8))


def test_inputs_of_another_shape_are_an_error(whole_project):
    with pytest.raises(DataError, match=r"\(10, 5\), the project takes \(n_events, 4\)"):
        csim(whole_project, np.zeros((10, 5)))


def test_what_is_no_project_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="not found"):
        HLSProject.load(tmp_path)
    (tmp_path / "fpgaml.json").write_text('{"name": "x"}')
    with pytest.raises(OutputError, match="describes no HLS project"):
        HLSProject.load(tmp_path)


def test_a_project_does_not_replace_what_is_none(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="holds something that is no HLS project"):
        convert(TRAINED, Hardware(), tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("name", ["1st", "a-b", "", "a b"])
def test_a_name_that_is_no_identifier_is_refused(name, tmp_path):
    with pytest.raises(StudyError, match="no C"):
        convert(TRAINED, Hardware(), tmp_path / "project", name=name)


def test_an_unknown_backend_is_refused():
    with pytest.raises(StudyError, match="did you mean 'vivado'"):
        get_backend("vivadoo")


def test_what_was_asked_for_is_in_the_written_project(whole_project, tmp_path):
    hardware = Hardware(
        backend="vitis", part="xc7z020clg400-1", clock_period_ns=4.5, strategy="resource", reuse_factor=2
    )
    project = convert(TRAINED, hardware, tmp_path / "vitis", name="tiny")
    parameters = (project.directory / "firmware" / "parameters.h").read_text()
    assert parameters.count("reuse_factor = 2;") == 3
    assert "strategy = nnet::resource" in parameters
    script = "".join(path.read_text() for path in project.directory.glob("*.tcl"))
    assert "xc7z020clg400-1" in script
    assert "4.5" in script
    assert "ap_fixed<8,3,AP_RND_CONV,AP_SAT,0> inputs_t" in (project.directory / "firmware" / "defines.h").read_text()
    assert HLSProject.load(project.directory) == project
    assert replace(project, hardware=whole_project.hardware).architecture == whole_project.architecture


def trained_to_nothing() -> TrainedModel:
    """What training can leave of layers, one after the other: sums that are all zero, or far below the next step.

    Rounding down, the last activation gives more than zero: the first step below.
    """
    dense, relu, quantize = (layer_class(kind) for kind in ("dense", "relu", "quantize"))
    architecture = network(
        (4,),
        [
            *(dense(units=3, bits=(2, 1)), relu(bits=(4, -1))),  # weights and biases zero
            *(dense(units=3, bits=(8, 2)), relu(bits=(12, 12))),  # sums in [-0.125, 0.125]
            *(dense(units=3, bits=(8, 2)), quantize(bits=(4, 6), rounding="RND")),  # sums in [-1, 1], steps of 8
            *(dense(units=3, bits=(8, 2)), relu(bits=(1, 1), rounding="TRN")),  # sums in [-0.5, 0.5]
            *(dense(units=3, bits=(8, 2)), quantize(bits=(4, 5), rounding="TRN")),  # the same, -4 where below zero
            dense(units=2, bits=(8, 4)),
        ],
    )
    rng = np.random.default_rng(1)
    weights = {}
    for number, scale in enumerate([0, 2**-5, 2**-3, 2**-3, 2**-3, 1], start=1):
        (step,) = (step for step in architecture.steps if step.name == f"dense_{number}")
        (n_in,), (n_out,) = step.input_shape, step.output_shape
        weights[step.name] = {
            "kernel": rng.choice([-scale, scale], (n_in, n_out)),
            "bias": rng.choice([-scale, scale], n_out),
        }
    return TrainedModel(architecture, weights)


@pytest.mark.parametrize(
    "options",
    [{}, {"backend": "vitis", "io_type": "io_stream", "strategy": "resource"}, {"backend": "rtl"}],
    ids=str,
)
def test_layers_that_only_give_zero_are_exact(options, tmp_path):
    trained = trained_to_nothing()
    x = inputs_for(trained.firmware, 500, seed=3)
    outputs = trained.layer_outputs(x)
    activations = [step.name for step in trained.firmware.steps if step.layer.role == "quantizer"]
    assert [np.unique(outputs[name]).tolist() for name in activations] == [[0.0]] * 4 + [[-4.0, 0.0]]
    project = convert(trained, Hardware(**options), tmp_path / "p", name="tiny")
    if options == {"backend": "rtl"}:
        inputs = x.astype(np.float64)
        assert np.array_equal(get_backend("rtl").interpret(project.directory, inputs), trained.predict(x))
        return
    assert compare(project, trained, x, processes=1).exact


def test_scores_of_an_image_are_one_row(tmp_path):
    """A reshape at the end, also before an activation, is none of hls4ml's nodes: it would warn of it."""
    layers = {kind: layer_class(kind) for kind in ("conv1d", "quantize", "global_max_pooling1d", "flatten")}
    conv = layers["conv1d"](filters=2, kernel_size=2, bits=(4, 1))
    rounded = [conv, layers["quantize"](bits=(6, 2))]
    for number, (last, n_outputs) in enumerate(
        [
            ([conv], 6),
            ([*rounded, layers["flatten"]()], 6),
            ([*rounded, layers["global_max_pooling1d"](), layers["quantize"](bits=(3, 2))], 2),
        ]
    ):
        trained = random_model(network((4, 1), last), seed=5)
        x = inputs_for(trained.firmware, 50, seed=6)
        assert trained.predict(x).shape == (50, n_outputs)
        options = {"backend": "vitis", "io_type": "io_stream"} if number % 2 else {}
        project = convert(trained, Hardware(**options), tmp_path / str(number), name="tiny")
        if number == 2:
            assert compare(project, trained, x, processes=1).exact
