"""The folder of the backend rtl for firmware engineers: it runs its Verilog on the vectors, and notices flips."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import pytest
from handover_facts import N_RTL_TEST, environment, hand_over_rtl, make
from small_study import snapshot

pytest.importorskip("da4ml")

from fpgaml.backends._rtl_ports import bench_values, port_notes
from fpgaml.backends._rtl_verilog import Port, Verilog
from fpgaml.convert import HLSProject
from fpgaml.handover import Certified, handed_over


@pytest.fixture(scope="module")
def handed(tmp_path_factory) -> tuple[HLSProject, Certified]:
    return hand_over_rtl(tmp_path_factory.mktemp("made") / "project")


def test_the_bench_knows_every_bit_and_the_text_says_when():
    verilog = Verilog("top", 12, 9, 5.0, (Port(0, 4, 2, True), Port(4, 0, 0, False)), (Port(0, 3, 1, False),))
    assert bench_values(verilog)["PACK"].strip() == "model_inp[0 +: 4] = in[0][3:0];"
    assert bench_values(verilog)["UNPACK"].strip() == "found[0] = model_out[0 +: 3];"
    assert (verilog.output_format.width, verilog.output_format.fraction, verilog.output_format.signed) == (3, 1, False)
    assert "after the 12th edge that follows" in port_notes(verilog)[1]
    two = Verilog("top", 1, 9, 5.0, verilog.inputs, (Port(0, 3, 1, False), Port(3, 5, 2, True)))
    # 3.5 and -4 to 3.75: unsigned words need a place more beside signed ones.
    assert (two.output_format.width, two.output_format.fraction, two.output_format.signed) == (5, 2, True)
    assert bench_values(two)["UNPACK"].split("\n")[1].strip() == "found[0] = found[0] <<< 1;"


@pytest.mark.slow
def test_the_folder_is_complete_checks_itself_and_names_flipped_bits(handed, tmp_path):
    project, facts = handed
    assert handed_over(project, facts.agreement)
    folder = shutil.copytree(project.directory, tmp_path / "copied here")
    certificate = json.loads((folder / "certificate.json").read_text(encoding="utf-8"))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {*certificate["files"], "certificate.json"}
    assert certificate["csim"]["words"] == N_RTL_TEST
    assert {"da4ml", "verilator"} < set(certificate["versions"])

    readme = (folder / "README.md").read_text(encoding="utf-8")
    verilog = Verilog.load(folder)
    assert "module tiny_rtl (\n    input clk," in readme
    assert "`model_inp[5 * i +: 5]`, two's complement" in readme
    assert f"latency: {verilog.latency_cycles} cycles" in readme
    assert f"| {certificate['working_points'][0]['word']} |" in readme
    assert "synth_design -top tiny_rtl -part xcvu9p-flga2577-2-e" in readme
    assert str(project.directory) not in readme
    passing = facts.test_scores >= certificate["working_points"][0]["score"]
    words = facts.test_scores * 2.0 ** verilog.outputs[0].fraction
    np.testing.assert_array_equal(words >= certificate["working_points"][0]["word"], passing)

    # A make that calls it, with options that Verilator's own make would not survive, where no Python is called python.
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    (tools / "python").chmod(0o755)
    hostile = {"MAKELEVEL": "1", "MAKEFLAGS": "ew -- CXX=/not/here", "CXX": "/not/here"}
    done = make(folder, "check", env=environment(PATH=f"{tools}:{os.environ['PATH']}", **hostile))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert done.stdout.splitlines()[1:] == ["words: 0 of 150 differ", "check: passed"]

    path = folder / "vectors" / "outputs.txt"
    lines = path.read_text(encoding="utf-8").split("\n")
    word = int(lines[3])
    path.write_text("\n".join([*lines[:3], str(word ^ 1), *lines[4:]]), encoding="utf-8")
    (folder / "interface.json").write_text((folder / "interface.json").read_text().replace('"low": 5', '"low": 4', 1))
    done = make(folder, "check")
    assert done.returncode == 2
    assert done.stdout.splitlines()[:2] == [
        "interface.json differs from the certificate",
        "vectors/outputs.txt differs from the certificate",
    ]
    event = (folder / "vectors" / "events.txt").read_text(encoding="utf-8").split("\n")[3].split()[0]
    assert f"vector 2 (test event {event}), output 0: expected word {word ^ 1}, found {word}" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["words: 1 of 150 differ", "check: FAILED"]


@pytest.mark.slow
def test_a_flipped_bit_of_a_constant_changes_words(handed, tmp_path):
    folder = shutil.copytree(handed[0].directory, tmp_path / "copied")
    path = next(path for path in sorted(folder.glob("src/*_stage0.v")) if "2'b10" in path.read_text(encoding="utf-8"))
    path.write_text(path.read_text(encoding="utf-8").replace("2'b10", "2'b00", 1), encoding="utf-8")
    done = make(folder, "check")
    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == f"src/{path.name} differs from the certificate"
    assert re.search(r"(?m)^vector \d+ \(test event \d+\), output 0: expected word -?\d+, found -?\d+$", done.stdout)
    assert done.stdout.splitlines()[-1] == "check: FAILED"


@pytest.mark.slow
def test_without_verilator_the_check_says_what_to_do(handed, tmp_path):
    folder = shutil.copytree(handed[0].directory, tmp_path / "copied")
    done = make(folder, "check-words", "VERILATOR=verilator-that-is-not-there")
    assert done.returncode == 2
    assert "verilator-that-is-not-there: not found. Install Verilator 5" in done.stdout
    assert snapshot(folder) == snapshot(handed[0].directory)
