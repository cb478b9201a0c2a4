"""AMD's tools: what they report, and how they fail. The tools here are stand-ins, see ``vendor_stand_ins``."""

from __future__ import annotations

import os
import shutil

import psutil
import pytest
from networks import example_network, random_model

from fpgaml.backends import get_backend
from fpgaml.backends._vendor_reports import read_cosim, read_csynth, read_utilization
from fpgaml.errors import AgreementError, OutputError
from fpgaml.hardware import Hardware
from fpgaml.synthesis import Resources

pytest.importorskip("tkinter", reason="the stand-ins need a Tcl interpreter")

from vendor_stand_ins import COSIM, CSYNTH, UTILIZATION, stand_in

STEPS = ("csynth", "cosim", "logic")


def written(folder, text):
    (folder / "report").write_text(text, encoding="utf-8")
    return folder / "report"


def test_c_synthesis(tmp_path):
    report = read_csynth(written(tmp_path, CSYNTH.format(part="xcvu9p", clock=5)), tool="Vivado HLS")
    assert report.resources == Resources(
        origin="Vivado HLS 2019.2, C synthesis",
        lut=3200,
        ff=1500,
        dsp=26,
        bram_18k=4,
        uram=0,
        latency_cycles=9,
        interval_cycles=2,
        clock_period_ns=5.0,
        clock_estimate_ns=4.375,
    )
    assert report.resources.latency_ns == 45
    shares = {"lut": 3200 / 1182240, "ff": 1500 / 2364480, "dsp": 26 / 6840, "bram_18k": 4 / 4320, "uram": 0}
    assert report.utilisation == pytest.approx(shares)


def test_c_synthesis_of_vitis_calls_dsps_otherwise_and_may_leave_the_latency_open(tmp_path):
    text = (
        CSYNTH.format(part="x", clock=5).replace("DSP48E", "DSP").replace("case" + "Latency>9<", "caseLatency>undef<")
    )
    text = text.replace("<Interval-max>2<", "<Interval-max>?<").replace("<URAM>960<", "<URAM>0<")
    report = read_csynth(written(tmp_path, text), tool="Vitis HLS")
    assert report.resources.dsp == 26
    assert report.resources.latency_cycles is None
    assert report.resources.latency_ns is None
    assert report.resources.interval_cycles is None
    assert "uram" not in report.utilisation  # of a part that has none


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "no XML at all",
        CSYNTH[:700],
        "<profile></profile>",
        CSYNTH.replace("3200", "many"),
        CSYNTH.replace("EstimatedClockPeriod", "Other"),
    ],
    ids=["empty", "text", "cut off", "bare", "no number", "no clock"],
)
def test_what_is_no_report_of_c_synthesis(broken, tmp_path):
    with pytest.raises(OutputError, match="report: cannot be read as a report of C synthesis"):
        read_csynth(written(tmp_path, broken.replace("{clock}", "5")), tool="Vivado HLS")


@pytest.mark.parametrize("more", ["", "                 99|"], ids=["vivado", "vitis"])
def test_co_simulation(more, tmp_path):
    text = "\n".join(line + more if line.startswith("|   Verilog") else line for line in COSIM.splitlines())
    passed, found = read_cosim(written(tmp_path, text), tool="Vivado HLS 2019.2", clock_period_ns=5)
    assert passed
    assert (found.latency_cycles, found.interval_cycles, found.latency_ns) == (7, 1, 35)
    assert found.lut is None
    assert found.origin == "Vivado HLS 2019.2, co-simulation"


def test_co_simulation_that_failed_or_saw_one_event(tmp_path):
    text = COSIM.replace("Pass", "Fail").replace("              1|", "             NA|")
    passed, found = read_cosim(written(tmp_path, text), tool="x", clock_period_ns=5)
    assert not passed
    assert (found.latency_cycles, found.interval_cycles) == (7, None)


def test_what_is_no_report_of_co_simulation(tmp_path):
    with pytest.raises(OutputError, match="no line of Verilog or VHDL"):
        read_cosim(written(tmp_path, COSIM[:400]), tool="x", clock_period_ns=5)
    with pytest.raises(OutputError, match="absent: cannot be read"):
        read_cosim(tmp_path / "absent", tool="x", clock_period_ns=5)


def test_logic_synthesis(tmp_path):
    report = read_utilization(written(tmp_path, UTILIZATION), tool="Vivado", clock_period_ns=5)
    assert report.resources == Resources(
        origin="Vivado, logic synthesis", lut=2100, ff=1200, dsp=20, bram_18k=3, uram=0, clock_period_ns=5
    )
    assert report.utilisation["bram_18k"] == pytest.approx(1.5 / 2160)


def test_logic_synthesis_for_a_part_with_slices_and_another_column(tmp_path):
    text = UTILIZATION.replace("CLB LUTs*", "Slice LUTs*").replace("CLB Registers", "Slice Registers")
    text = text.replace("| Fixed |", "| Fixed | Prohibited |").replace("|     0 |", "|     0 |          7 |")
    report = read_utilization(written(tmp_path, text), tool="Vivado", clock_period_ns=5)
    assert (report.resources.lut, report.resources.ff, report.resources.bram_18k) == (2100, 1200, 3)
    assert report.utilisation["lut"] == pytest.approx(2100 / 1182240)


def test_what_is_no_report_of_logic_synthesis(tmp_path):
    with pytest.raises(OutputError, match="no row of LUTs and of registers"):
        read_utilization(written(tmp_path, UTILIZATION[:400]), tool="Vivado", clock_period_ns=5)


@pytest.fixture(scope="module", params=["vivado", "vitis"])
def whole_project(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "project"
    trained = random_model(example_network("dense"), seed=1)
    hardware = Hardware(backend=request.param, clock_period_ns=4.0)
    get_backend(request.param).write(
        folder, name="tiny", architecture=trained.firmware, weights=trained.quantized_weights, hardware=hardware
    )
    return folder, hardware


@pytest.fixture
def synthesize(whole_project, tmp_path, monkeypatch):
    """Synthesizes a copy of the project, with stand-ins on the PATH; ``.project`` is the copy."""
    folder, hardware = whole_project
    project = shutil.copytree(folder, tmp_path / "project")
    tool = {"vivado": "vivado_hls", "vitis": "vitis-run"}[hardware.backend]
    monkeypatch.setenv("PATH", f"{stand_in(tmp_path / 'bin', tool, 'vivado')}{os.pathsep}{os.environ['PATH']}")

    def run(*steps, wrong="", timeout_s=None):
        monkeypatch.setenv("STAND_IN", wrong)
        return get_backend(hardware.backend).synthesize(
            project, name="tiny", hardware=hardware, steps=steps or STEPS, timeout_s=timeout_s
        )

    run.project, run.tool, run.bin = project, tool, tmp_path / "bin"
    return run


def test_all_steps(synthesize):
    found = synthesize()
    assert (found.tool, found.version, found.clock_period_ns) == (synthesize.tool, "2019.2", 4.0)
    assert [(step.step, step.status) for step in found.steps] == [(step, "done") for step in STEPS]
    assert found.step("csynth").resources.lut == 3200
    assert found.step("cosim").resources.latency_cycles == 7
    assert found.step("logic").resources.lut == 2100
    assert "zeros only" in found.step("cosim").message
    assert all(step.wall_s > 0 for step in found.steps)
    # The last word on each figure: of logic synthesis the area, of co-simulation the latency.
    assert found.resources.lut == 2100
    assert found.resources.latency_ns == 28
    assert found.resources.clock_estimate_ns == 4.375
    assert found.resources.origin.startswith("Vivado, logic synthesis; ")


def commands(project):
    """What hls4ml's script asked of the tool, without arguments, and without what it does every time."""
    each = "set_top add_files config_array_partition config_compile config_schedule set_part create_clock"
    called = [line.split() for line in (project / "commands.log").read_text().splitlines()]
    return [
        " ".join(words[:2]) if words[0].startswith("open") else words[0]
        for words in called
        if words[0] not in (*each.split(), "set_clock_uncertainty", "open_solution")
    ]


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        ("csynth", ["open_project -reset", "csynth_design"]),
        ("cosim", ["open_project tiny_prj", "csim_design", "cosim_design"]),
        ("logic", ["open_project tiny_prj", "synth_design", "opt_design", "report_utilization"]),
    ],
)
def test_a_step_does_what_it_says_and_no_more(step, asked, synthesize):
    synthesize("csynth")
    (synthesize.project / "commands.log").unlink()
    assert synthesize(step).step(step).status == "done"
    assert commands(synthesize.project) == asked


def test_steps_that_nobody_asked_for_are_not_run(synthesize):
    assert [step.status for step in synthesize("csynth").steps] == ["done", "not run", "not run"]


def test_a_step_whose_basis_is_missing(synthesize):
    step = synthesize("cosim").step("cosim")
    assert step.status == "failed"
    assert "needs csynth" in step.message
    assert not (synthesize.project / "commands.log").exists()


@pytest.mark.parametrize(
    ("wrong", "step", "told"),
    [
        ("fail csynth_design", "csynth", "ended with exit code 1 and wrote no tiny_csynth.xml"),
        ("fail csynth_design", "csynth", "STAND-IN 1-2] Cannot do that"),
        ("silent csynth_design", "csynth", "wrote no tiny_csynth.xml"),
        ("kill csynth_design", "csynth", "was killed by SIGKILL"),
        ("fill csynth_design", "csynth", "The disk is full"),
        ("miss set_part", "csynth", "Set hardware.part to a part that this installation has"),
        ("fail cosim_design", "cosim", "Cannot do that"),
        ("differ simulate", "cosim", "C simulation and RTL differ"),
        ("fail synth_design", "logic", "wrote no vivado_synth.rpt"),
        ("silent report_utilization", "logic", "wrote no vivado_synth.rpt"),
    ],
)
def test_a_tool_that_fails(wrong, step, told, synthesize):
    synthesize("csynth", step)  # whose reports must not be taken for those of the run that fails
    found = synthesize(step, wrong=wrong).step(step)
    assert found.status == "failed"
    assert told in found.message
    assert f"synthesis_{step}.log" in found.message
    assert found.wall_s is not None


def test_a_report_that_is_cut_off(synthesize, monkeypatch):
    monkeypatch.setattr(
        "fpgaml.backends._vendor.read_csynth", lambda path, tool: read_csynth(written(path.parent, "<pro"), tool=tool)
    )
    step = synthesize("csynth").step("csynth")
    assert step.status == "failed"
    assert "cannot be read as a report of C synthesis" in step.message


def test_a_tool_that_takes_too_long_is_ended_with_all_it_started(synthesize):
    step = synthesize("csynth", wrong="hang csynth_design", timeout_s=8).step("csynth")
    assert step.status == "timed out"
    assert "longer than 0.133 minutes" in step.message
    assert step.resources is None
    pids = list(map(int, (synthesize.project / "hanging").read_text().split()))
    assert len(pids) == 3
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_logic_synthesis_needs_vivado_too(synthesize):
    (synthesize.bin / "vivado").unlink()
    found = synthesize()
    assert [step.status for step in found.steps] == ["done", "done", "tool not found"]
    assert found.step("logic").message.startswith("vivado: not on the PATH")


@pytest.mark.parametrize("backend", ["vivado", "vitis"])
def test_on_a_machine_without_them(backend, tmp_path, monkeypatch):
    """True of the machine on which this was written, with or without the empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = get_backend(backend).synthesize(
        tmp_path, name="tiny", hardware=Hardware(backend=backend), steps=["csynth", "logic"], timeout_s=None
    )
    assert found.version is None
    assert [step.status for step in found.steps] == ["tool not found", "not run", "tool not found"]
    assert "vivado" in found.step("logic").message
    assert list(tmp_path.iterdir()) == []


def test_vitis_hls_does_for_releases_before_vitis_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{stand_in(tmp_path / 'bin', 'vitis_hls')}{os.pathsep}{os.environ['PATH']}")
    trained = random_model(example_network("dense"), seed=1)
    hardware = Hardware(backend="vitis")
    backend, project = get_backend("vitis"), tmp_path / "project"
    backend.write(
        project, name="a", architecture=trained.firmware, weights=trained.quantized_weights, hardware=hardware
    )
    found = backend.synthesize(project, name="a", hardware=hardware, steps=["csynth"], timeout_s=None)
    assert found.tool == "vitis_hls"
    assert found.step("csynth").status == "done"


def test_a_project_for_another_part(synthesize):
    path = synthesize.project / "project.tcl"
    path.write_text(path.read_text(encoding="utf-8").replace("xcvu9p", "xcvu13p"), encoding="utf-8")
    with pytest.raises(AgreementError, match=r"project.tcl: builds for .*'xcvu13p-flga2577-2-e'"):
        synthesize("csynth")


def test_a_folder_without_a_project(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{stand_in(tmp_path / 'bin', 'vivado_hls')}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(OutputError, match=r"build_prj.tcl.*not complete"):
        get_backend("vivado").synthesize(tmp_path, name="a", hardware=Hardware(), steps=["csynth"], timeout_s=None)
