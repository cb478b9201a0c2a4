"""``fpgaml synthesize`` on a run: the order of things, what is kept, what is refused.

AMD's tools are stand-ins here, see ``vendor_stand_ins``; project, C simulation and command are real.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from small_study import fpgaml, snapshot, write_study

from fpgaml.cli import main
from fpgaml.network_synthesis import NetworkSynthesis
from fpgaml.run_directory import working_in
from fpgaml.stages import (
    begin,
    chosen_network,
    convert_network,
    hand_over_network,
    simulate_network,
    train_network,
)
from fpgaml.study import Study

pytest.importorskip("tkinter", reason="the stand-ins need a Tcl interpreter")

from vendor_stand_ins import stand_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run as far as C simulation; a report is of no use here."""
    folder = tmp_path_factory.mktemp("synthesis")
    study, output = Study.load(write_study(folder)), folder / "output"
    network = chosen_network(study, None, output)
    with working_in(output, make=True):
        data = begin(study, None, output, "fpgaml run", None)
        train_network(network, data, None)
        convert_network(study, network, None)
        simulate_network(network, data, None)
        hand_over_network(study, network, data, None)
    return output


@pytest.fixture
def output(finished, tmp_path, monkeypatch):
    """A copy of the run, with stand-ins on the PATH."""
    monkeypatch.setenv("PATH", f"{stand_in(tmp_path / 'bin', 'vivado_hls', 'vivado')}{os.pathsep}{os.environ['PATH']}")
    return shutil.copytree(finished, tmp_path / "run" / "output")


def project_of(output: Path, kind: str = "hls") -> Path:
    (project,) = (output / f"{kind}_projects").iterdir()
    return project


def stored(output: Path, backend: str = "vivado") -> NetworkSynthesis:
    (path,) = (output / "synthesis").glob(f"*-{backend}.json")
    return NetworkSynthesis.load(path)


def statuses(output: Path) -> list[str]:
    return [step.status for step in stored(output).synthesis.steps]


def edit(project: Path) -> None:
    """Set the first weight to another value, in the file that is synthesized and in the one that csim reads."""
    text = min((project / "firmware" / "weights").glob("w*.txt"))
    header = text.with_suffix(".h")
    first, comma, rest = text.read_text(encoding="utf-8").partition(",")
    turned = str(-float(first) or 1.0)
    text.write_text(turned + comma + rest, encoding="utf-8")
    begin, brace, end = header.read_text(encoding="utf-8").partition("= {")
    header.write_text(begin + brace + turned + comma + end.partition(",")[2], encoding="utf-8")


def test_without_tools_it_says_what_is_missing_and_the_next_best_thing(output, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert main(["synthesize", str(output)]) == 2
    out, error = capsys.readouterr()
    assert out.count("tool not found") == 3
    assert "fpgaml synthesize RUN --backend rtl" in error
    assert "pip install 'fpgaml[rtl]'" in error
    assert statuses(output) == ["tool not found"] * 3


def test_missing_tools_are_told_before_another_backend_is_converted(output, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    before = snapshot(output)
    assert main(["synthesize", str(output), "--backend", "vitis"]) == 2
    error = capsys.readouterr().err
    assert "no step asked for can run, so nothing has been begun: vitis-run or vitis_hls" in error
    assert "fpgaml synthesize RUN --backend rtl" in error
    assert snapshot(output) == before


def test_the_time_limit_holds_for_the_comparison_too(output, monkeypatch, capsys):
    monkeypatch.setenv("PATH", f"{stand_in(output.parent / 'bin', 'vitis-run')}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FPGAML_CACHE_DIR", str(output.parent / "cache"))  # nothing has been compiled before
    asked = ["synthesize", str(output), "--backend", "vitis", "--steps", "csynth", "--events", "601"]
    assert main([*asked, "--timeout", "0.005"]) == 2
    error = capsys.readouterr().err
    assert "timed out in the comparison with the model, before the first step: g++ took longer than 0.00" in error
    assert "--timeout gives it more" in error
    assert project_of(output, "vitis").exists()
    assert not (output / "synthesis").exists()
    assert not list((output.parent / "cache" / "csim").iterdir())  # no half of a compilation


def test_all_steps_once(output, capsys):
    assert main(["synthesize", str(output)]) == 0
    text = capsys.readouterr().out
    assert "0 of 120 words differ over 120 events: 120 test events" in text
    assert "LUT 2,100" in text
    before = snapshot(output)
    assert main(["synthesize", str(output), "--json"]) == 0
    assert snapshot(output) == before  # nothing has been run again
    told = json.loads(capsys.readouterr().out)
    assert told == stored(output).to_json()
    assert told["resources"]["lut"] == 2100
    assert told["project"] == f"hls_projects/{project_of(output).name}"
    assert told["agreement"]["mismatches"] == 0


def test_what_is_finished_is_kept_when_a_later_step_fails(output, monkeypatch, capsys):
    monkeypatch.setenv("STAND_IN", "fail synth_design")
    assert main(["synthesize", str(output)]) == 2
    assert "logic (failed)" in capsys.readouterr().err
    assert statuses(output) == ["done", "done", "failed"]
    monkeypatch.setenv("STAND_IN", "fail csynth_design")  # which is not run again
    (project_of(output) / "commands.log").unlink()
    assert main(["synthesize", str(output)]) == 0
    assert statuses(output) == ["done"] * 3
    assert (project_of(output) / "commands.log").read_text().count("open_project") == 1


def test_more_events_than_the_test_events(output):
    assert main(["synthesize", str(output), "--steps", "csynth", "--events", "650"]) == 0
    assert stored(output).agreement["composition"] == {"test": 120, "other": 480, "drawn": 50}
    assert stored(output).agreement["mismatches"] == 0


def test_steps_one_after_the_other(output, capsys):
    assert main(["synthesize", str(output), "--steps", "cosim"]) == 1
    assert "needs csynth" in capsys.readouterr().out
    assert main(["synthesize", str(output), "--steps", "csynth"]) == 0
    assert main(["synthesize", str(output), "--steps", "cosim"]) == 0
    assert statuses(output) == ["done", "done", "not run"]


def test_co_simulation_that_differs_is_a_check_that_failed(output, monkeypatch, capsys):
    monkeypatch.setenv("STAND_IN", "differ simulate")
    assert main(["synthesize", str(output), "--steps", "csynth", "cosim"]) == 1
    assert "a check has failed: cosim" in capsys.readouterr().err


def test_a_tool_that_takes_too_long(output, monkeypatch, capsys):
    monkeypatch.setenv("STAND_IN", "hang cosim_design")
    assert main(["synthesize", str(output), "--timeout", "0.1"]) == 2
    assert "cosim (timed out)" in capsys.readouterr().err
    assert statuses(output)[:2] == ["done", "timed out"]


def test_a_project_that_was_edited_is_refused(output, capsys):
    assert main(["synthesize", str(output), "--steps", "csynth"]) == 0
    edit(project_of(output))
    before = snapshot(output)
    capsys.readouterr()
    assert main(["synthesize", str(output)]) == 1
    error = capsys.readouterr().err
    assert "was changed since `fpgaml csim` compared it" in error
    assert f"`fpgaml convert {output}`" in error
    assert snapshot(output) == before


def test_a_build_script_that_was_edited_is_refused(output, capsys):
    with (project_of(output) / "project.tcl").open("a", encoding="utf-8") as script:
        script.write('set part "xc7z020clg400-1"\n')
    assert main(["synthesize", str(output)]) == 1
    assert "(project.tcl). If that was wanted" in capsys.readouterr().err
    assert not (output / "synthesis").exists()


def test_an_interrupt_ends_the_tool_and_keeps_what_is_finished(output):
    command = [sys.executable, "-m", "fpgaml.cli", "synthesize", str(output)]
    running = subprocess.Popen(
        command, env={**os.environ, "STAND_IN": "hang cosim_design"}, stderr=subprocess.PIPE, text=True
    )
    hanging, patience = project_of(output) / "hanging", time.monotonic() + 120
    while not (hanging.exists() and hanging.read_text()) and time.monotonic() < patience:
        time.sleep(0.1)
    running.send_signal(signal.SIGTERM)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 143
    assert "interrupted" in error
    assert statuses(output) == ["done", "not run", "not run"]
    pids = list(map(int, hanging.read_text().split()))
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_a_full_disk(output):
    # The kernel refuses every byte that this process would write to a file, as it does on a full disk.
    full = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))}
    before = snapshot(output)
    done = fpgaml("synthesize", output, **full)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert snapshot(output) == before


@pytest.mark.parametrize(
    ("removed", "told"),
    [("csim", "`fpgaml csim {output}` does"), ("hls_projects", "`fpgaml convert {output}` does")],
)
def test_the_stages_before_it(removed, told, output, capsys):
    shutil.rmtree(output / removed)
    assert main(["synthesize", str(output)]) == 2
    assert told.format(output=output) in capsys.readouterr().err
    assert not (output / "synthesis").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--backend", "vitsi"], "did you mean 'vitis'?"),
        (["--steps", "cosym"], "backend vivado has no step 'cosym'; did you mean 'cosim'?"),
        (["--trial", "abc"], "no trial 'abc'"),
    ],
)
def test_what_does_not_exist(arguments, told, output, capsys):
    assert main(["synthesize", str(output), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_another_backend_is_converted_and_compared_first(output, capsys, monkeypatch):
    monkeypatch.setenv("PATH", f"{stand_in(output.parent / 'bin', 'vitis-run')}{os.pathsep}{os.environ['PATH']}")
    asked = ["synthesize", str(output), "--backend", "vitis", "--steps", "csynth", "--events", "700"]
    assert main(asked) == 0
    text = capsys.readouterr().out
    assert "over 700 events: 120 test events, 480 others of the data set, 100 drawn" in text
    found = stored(output, "vitis")
    assert found.agreement["composition"] == {"test": 120, "other": 480, "drawn": 100}
    assert (found.synthesis.tool, found.synthesis.resources.lut) == ("vitis-run", 3200)
    before = snapshot(output)
    assert main(asked) == 0
    assert snapshot(output) == before
    assert (project_of(output, "vitis") / "certificate.json").exists()  # handed over, as the study's own

    (path,) = (output / "synthesis").glob("*-vitis.json")
    kept = path.read_text(encoding="utf-8")
    first = {"layer": "relu_1", "event": 3, "lsb": 1.0}
    agreement = {**found.agreement, "mismatches": 1, "first_difference": first}
    path.write_text(json.dumps({**found.to_json(), "agreement": agreement, "synthesis": None}), encoding="utf-8")
    capsys.readouterr()
    assert main(asked) == 1
    assert "differ in 1 of 700 words" in capsys.readouterr().err
    assert stored(output, "vitis").synthesis is None  # what differs is not synthesized
    path.write_text(kept, encoding="utf-8")

    edit(project_of(output, "vitis"))
    capsys.readouterr()
    assert main(asked) == 1
    assert "was changed since it was compared with the model. Remove that folder" in capsys.readouterr().err
    # As it tells: the project as it is, which is not what was asked for.
    (output / "synthesis" / f"{project_of(output).name}-vitis.json").unlink()
    assert main(asked) == 1
    assert "weights" in capsys.readouterr().err
    assert not list((output / "synthesis").glob("*-vitis.json"))
