"""Options of the hardware, for the model and for single layers: refused before training, or found in the files."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from networks import inputs_for, network, random_model
from small_study import IMAGE_STUDY, write_study

from fpgaml.architecture import InputFormat
from fpgaml.backends import get_backend
from fpgaml.convert import HLSProject, convert
from fpgaml.csim import compare
from fpgaml.errors import AgreementError, ExactnessError, StudyError
from fpgaml.hardware import Hardware
from fpgaml.hls_limits import check_limits, exceeded_limits
from fpgaml.layers import layer_class, valid_reuse_factors
from fpgaml.study import Study

DENSE, CONV, RELU, QUANTIZE, FLATTEN = map(layer_class, ("dense", "conv2d", "relu", "quantize", "flatten"))


def load(folder, hardware):
    """The small image study, whose convolution stands at three positions, on other hardware."""
    return Study.load(write_study(folder, IMAGE_STUDY.replace("{backend: vivado}", hardware)))


def wide(units, **hardware):
    """The limits that a dense layer of 100 inputs exceeds."""
    return exceeded_limits(network((100,), [DENSE(units=units, bits=(6, 1))]), Hardware(**hardware))


def test_a_layer_has_what_the_model_has_and_its_own_in_its_place():
    hardware = Hardware(reuse_factor=2, layers={"dense_1": {"reuse_factor": 4, "strategy": "resource"}})
    assert hardware.for_layer("dense_1") == Hardware(reuse_factor=4, strategy="resource")
    assert hardware.for_layer("dense_2") == Hardware(reuse_factor=2)
    assert Hardware(**hardware.model_dump(mode="json")) == hardware


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        (
            "{layers: {dense_2: {reuse_factor: 2}}}",
            r":17: hardware.layers: no layer 'dense_2'.*Allowed: conv2d_1, dense_1",
        ),
        ("{layers: {dense_1: {reuse: 2}}}", r"did you mean 'reuse_factor'"),
        ("{layers: {dense_1: {strategy: fast}}}", r"layers.dense_1.strategy: .*latency"),
        ("{layers: {dense_1: {parallelization_factor: 2}}}", "dense_1: has no parallelization_factor"),
        (
            "{layers: {dense_1: {strategy: resource, reuse_factor: 4}}}",
            r"layers\[3\] \(dense\): reuse_factor 4 does not divide.*Allowed: 1, 2, 3, 6",
        ),
        ("{parallelization_factor: 2}", r"\(conv2d\): parallelization_factor 2 does not divide its 3 .*Allowed: 1, 3"),
        ("{io_type: io_stream, parallelization_factor: 3}", "does nothing with io_type io_stream.*Allowed: 1"),
        ("{accumulator_bits: 0}", "accumulator_bits"),
    ],
)
def test_what_cannot_be_is_refused_before_training(tmp_path, hardware, message):
    with pytest.raises((StudyError, ExactnessError)) as raised:
        load(tmp_path, hardware)
    assert re.search(message, str(raised.value)), raised.value


PARTS = (
    "xcvu9p-flga2577-2-e",
    "XCVU13P-FLGA2577-1-I",
    "xczu7ev-ffvc1156-2-e",
    "xcu250-figd2104-2L-e",
    "xcu280-fsvh2892-2L-e-es1",
    "xcu50-fsvh2104-2-e",
    "xck26-sfvc784-2LV-c",
    "xcvc1902-vsva2197-2MP-e-S",
    "xcvp1202-vsva2785-2MHP-e-S",
    "xcku115-flvb2104-2-i",
    "xqku040-rba676-1-m",
    "xc7z020clg400-1",
    "xc7z020-clg400-1",
    "XC7VX690TFFG1927-2",
    "xc7k325tffg900-2L",
    "xc7a35ticsg324-1L",
    "xa7z020clg400-1I",
    "xc6vlx240tff1156-1",
    "xc6slx45-3csg324",
)


@pytest.mark.parametrize("part", PARTS)
def test_parts_as_the_vendor_writes_them(part):
    assert {Hardware(backend=backend, part=part).part for backend in ("vivado", "vitis", "rtl")} == {part}


@pytest.mark.parametrize(
    "part", ["xc${x}y", "[exec touch x]", 'x"y', "xcvu9p flga2577", "xcvu9p\n-flga2577-2-e", "x;y", "", "x" * 99]
)
@pytest.mark.parametrize("backend", ["vivado", "vitis", "rtl"])
def test_a_part_that_a_script_would_run_is_refused_before_training(tmp_path, backend, part):
    message = (
        r":17: hardware.part: should be a part's name, letters, digits and dashes, such as xcvu9p-flga2577-2-e, found"
    )
    with pytest.raises(StudyError, match=message):
        load(tmp_path, f"{{backend: {backend}, part: {json.dumps(part)}}}")


@pytest.mark.parametrize(
    "part", ["xcu50", "xcvu9p", "xc7z020", "xcvu9p-flga2577", "xcvu9p-2-e", "5SGXEA7K2F40C2", "virtex"]
)
def test_a_part_without_package_or_speed_is_refused_before_training(tmp_path, part):
    message = (
        "hardware.part: should be a part of AMD with device, package and speed grade, such as .*, xcu50-fsvh2104-2-e"
    )
    with pytest.raises(StudyError, match=message):
        load(tmp_path, f"{{part: {part}}}")
    with pytest.raises(StudyError, match=message):
        load(tmp_path, f"{{part: {part}, backend: vitis}}")


def test_another_backend_gets_what_it_understands_and_can_use():
    hardware = Hardware(reuse_factor=2, part="xcu50-fsvh2104-2-e", clock_period_ns=3.0)
    assert hardware.for_backend("vitis") == hardware.model_copy(update={"backend": "vitis"})
    rtl = Hardware(backend="rtl", part="xcu50", clock_period_ns=3.0)
    assert hardware.model_copy(update={"part": "xcu50"}).for_backend("rtl") == rtl
    with pytest.raises(StudyError, match=r"hardware for vivado: part: .* device, package and speed grade"):
        rtl.for_backend("vivado")


def test_of_many_factors_those_next_to_the_one_asked_for_are_told(tmp_path):
    factors = valid_reuse_factors(720, 720)
    assert len(factors) > 40
    layer = DENSE(units=720, bits=(6, 1))
    with pytest.raises(
        ExactnessError, match=r"reuse_factor 723 .* Allowed: 1?\d\d, .* 720, 1440, .* and \d+ more"
    ) as raised:
        network((720,), [layer]).check_hardware(Hardware(strategy="resource", reuse_factor=723))
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("bits", "allowed"),
    [((8, 32), None), ((8, 31), True), ((8, -25), True), ((8, -26), None), ((40, 7), True), ((40, 6), None)],
)
def test_weights_that_hls4ml_cannot_read_are_refused(bits, allowed):
    found = network((3,), [DENSE(units=1, bits=bits)], InputFormat(bits=(2, 1)))
    found.check_hardware(Hardware(backend="rtl"))
    if allowed:
        found.check_hardware(Hardware())
        return
    width, lowest = bits[0], bits[0] - 33
    message = rf"cannot hold weights or biases with bits .* Allowed: \[{width}, {lowest}\] to \[{width}, 31\]"
    with pytest.raises(ExactnessError, match=message):
        found.check_hardware(Hardware())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inputs", "first", "middle", "last"),
    [((8, 80), (6, 31), RELU(bits=(8, 117)), (6, -27)), ((8, -50), (6, -27), QUANTIZE(bits=(8, -80)), (6, -27))],
    ids=["large", "small"],
)
def test_numbers_as_far_out_as_is_allowed_are_exact(tmp_path, inputs, first, middle, last):
    layers = [DENSE(units=3, bits=first, use_bias=False), middle, DENSE(units=1, bits=last, use_bias=False)]
    found = network((3,), layers, InputFormat(bits=inputs))
    found.check_hardware(Hardware())
    trained, x = random_model(found, seed=1), inputs_for(found, 500, seed=1)
    project = convert(trained, Hardware(), tmp_path / "project")
    agreement = compare(project, trained, x, processes=1)
    assert agreement.exact, str(agreement)
    assert len(set(trained.predict(x).ravel())) > 20


def test_options_of_a_layer_can_be_choices(tmp_path):
    hardware = "{strategy: resource, layers: {dense_1: {reuse_factor: $reuse}}}\nchoices: {reuse: [1, 3, 6]}"
    study = load(tmp_path, hardware)
    assert [study.point({"reuse": n}).hardware.for_layer("dense_1").reuse_factor for n in (1, 3, 6)] == [1, 3, 6]
    with pytest.raises(ExactnessError, match=r"reuse_factor 4 .*Allowed: 1, 2, 3, 6.*with reuse: 4"):
        load(tmp_path, hardware.replace("[1, 3, 6]", "[1, 4]"))


def test_products_side_by_side_have_a_limit_and_a_cure():
    assert wide(40) == ()  # 4000
    (limit,) = wide(60)
    assert limit.certain
    assert "6000 products side by side, more than the 4096" in limit.message
    assert "strategy: resource and a reuse_factor of 2, 4, 5, 10, 20, 25, …" in limit.message
    assert "layers: {dense_1:" in limit.message
    assert wide(60, layers={"dense_1": {"strategy": "resource", "reuse_factor": 2}}) == ()
    (limit,) = wide(60, strategy="resource")
    assert not limit.certain
    (limit,) = wide(60, backend="vitis")
    assert not limit.certain


def test_what_an_hls_tool_certainly_fails_on_is_refused(tmp_path):
    check_limits(network((100,), [DENSE(units=60, bits=(6, 1))]), Hardware(backend="vitis"))
    last = "  - {kind: dense, units: 1, bits: [8, 2]}\n"
    more = last.replace("1,", "$units,") + "  - {kind: relu, bits: [8, 3]}\n"
    text = IMAGE_STUDY.replace("filters: 2", "filters: 4").replace("[2, 1]", "[4, 1]").replace(last, more + last)
    message = r":19: hardware: dense_1: 20000 products.*reuse_factor of 8, 16, 20, .*with units: 5000"
    with pytest.raises(StudyError, match=message):
        Study.load(write_study(tmp_path, text + "choices: {units: [4, 5000]}\n"))


@pytest.mark.parametrize(
    ("shape", "filters", "options", "message"),
    [
        ((40, 40, 1), 4, {}, "conv2d_1: 6084 values side by side.*io_stream"),  # 39 × 39 × 4
        ((40, 40, 1), 4, {"io_type": "io_stream"}, None),
        ((200, 200, 1), 1, {}, "inputs: 320000 bits in one port.*io_stream"),
        ((200, 200, 1), 1, {"io_type": "io_stream"}, "inputs: a stream of 40000 words.*smaller images"),
        ((4, 4, 600), 1, {"io_type": "io_stream"}, "inputs: 4800 bits in one word.*io_parallel"),
        ((17, 17, 9), 8, {"parallelization_factor": 16}, "conv2d_1: 4608 products.*smaller parallelization_factor"),
        ((17, 17, 9), 8, {"parallelization_factor": 8}, None),
    ],
)
def test_large_convolutions_have_limits_and_cures(shape, filters, options, message):
    layers = [CONV(filters=filters, kernel_size=2, bits=(6, 1)), RELU(bits=(8, 2)), FLATTEN()]
    limits = exceeded_limits(network(shape, layers), Hardware(**options))
    if message is None:
        assert limits == ()
    else:
        assert re.search(message, str(limits[0])), limits


LAYERS = [
    CONV(filters=2, kernel_size=(3, 2), bits=(6, 1)),
    RELU(bits=(8, 2)),
    FLATTEN(),
    DENSE(units=4, bits=(7, 1)),
    RELU(bits=(8, 2)),
    DENSE(units=1, bits=(7, 1)),
]
TRAINED = random_model(network((6, 5, 1), LAYERS), seed=1)
OPTIONS = {"strategy": "resource", "layers": {"conv2d_1": {"strategy": "latency", "parallelization_factor": 4}}}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    return convert(TRAINED, Hardware(**OPTIONS), tmp_path_factory.mktemp("hardware") / "project", name="tiny")


@pytest.fixture
def project(converted, tmp_path):
    """A copy that a test may edit."""
    return HLSProject.load(shutil.copytree(converted.directory, tmp_path / "project"))


def check(project):
    get_backend("vivado").check_files(
        project.directory,
        name=project.name,
        architecture=TRAINED.firmware,
        weights=TRAINED.quantized_weights,
        hardware=project.hardware,
        effective=project.effective,
    )


@pytest.mark.slow
def test_accumulators_are_as_wide_as_they_must_be_and_a_limit_is_kept(converted, tmp_path):
    widths = {
        name: int(re.search(r"<(\d+)", facts["accumulator"])[1])
        for name, facts in converted.effective.items()
        if "accumulator" in facts
    }
    enough = Hardware(**OPTIONS, accumulator_bits=max(widths.values()))
    convert(TRAINED, enough, tmp_path / "enough")
    layers = {**OPTIONS["layers"], "dense_1": {"accumulator_bits": widths["dense_1"] - 1}}
    with pytest.raises(ExactnessError, match=f"dense_1 needs {widths['dense_1']} bits, and accumulator_bits allows"):
        convert(TRAINED, enough.model_copy(update={"layers": Hardware(layers=layers).layers}), tmp_path / "narrow")
    assert not (tmp_path / "narrow").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("firmware/parameters.h", "n_partitions = 4", "n_partitions = 16", "n_partitions of conv2d_1 is 16, not 4"),
        ("firmware/parameters.h", "nnet::resource", "nnet::latency", "strategy of dense_1 is latency, not resource"),
        (
            "firmware/parameters.h",
            "reuse_factor = 1;",
            "reuse_factor = 2;",
            "reuse_factor of conv2d_1 is 1 and 2, not 1",
        ),
        ("firmware/defines.h", "AP_RND_CONV,AP_SAT", "AP_RND,AP_SAT", "inputs_t is fixed<8,3,RND,SAT,0>, not"),
        ("firmware/defines.h", "dense_1_accum_t", "other_t", "dense_1_accum_t is None, not fixed<"),
        ("project.tcl", "clock_period 5.0", "clock_period 4", "clock_period is 4, not 5.0"),
        ("project.tcl", "xcvu9p", "xcvu7p", "part is xcvu7p-flga2577-2-e, not xcvu9p"),
        ("firmware/weights/b3.txt", ".", ".5", "b3.h and b3.txt hold different numbers"),
    ],
)
def test_files_that_hold_something_else_are_named(project, file, before, after, message):
    check(project)
    path = project.directory / file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(AgreementError, match=re.escape(message)):
        check(project)
