from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fpgaml import doctor


def program(folder: Path, name: str, *, says: str = "", leaves: int = 0) -> None:
    """A program in ``folder`` that prints ``says`` and ends with the code ``leaves``."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {leaves}\n")
    path.chmod(0o755)


@pytest.fixture
def only_path(tmp_path, monkeypatch):
    """A folder that is all there is on the PATH, but for the shell's own programs, which lie beside no compiler."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cat", "sh"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def named(findings, name):
    (finding,) = [finding for finding in findings if finding.name == name]
    return finding


def test_here_everything_required_is_found():
    findings = doctor.examine()
    assert [finding for finding in findings if finding.required and not finding.ok] == []
    assert doctor.exit_code(findings) == 0
    assert {finding.kind for finding in findings} == {"python", "package", "compiler", "vendor", "rtl", "machine"}
    for name in ("hls4ml", "qkeras-v3", "keras", "tensorflow", "numpy", "g++", "python", "import qkeras"):
        assert named(findings, name).required
        assert named(findings, name).found
    for name in ("vivado_hls", "vitis_hls", "vitis-run", "vivado", "yosys", "uproot", "pythia8mc"):
        assert not named(findings, name).required
        assert named(findings, name).needed_for


def test_nothing_heavy_is_imported():
    examined = "import sys, fpgaml.doctor as d; d.examine(); print([m for m in sys.modules if '.' not in m])"
    run = subprocess.run([sys.executable, "-c", examined], capture_output=True, text=True, check=True)
    assert "'packaging'" in run.stdout
    for heavy in ("tensorflow", "keras", "qkeras", "hls4ml", "matplotlib"):
        assert f"'{heavy}'" not in run.stdout


def test_every_package_says_what_it_is_for():
    packages = [finding for finding in doctor.examine_packages() if finding.kind == "package"]
    assert {finding.name for finding in packages} == set(doctor.PACKAGES)


def test_missing_package():
    finding = doctor.examine_package(Requirement("no-such-package-at-all>=1"))
    assert finding.required
    assert finding.found is None
    assert "pip install 'no-such-package-at-all>=1'" in finding.advice
    assert doctor.exit_code([finding]) == 1


def test_missing_package_of_an_extra_is_no_failure():
    finding = doctor.examine_package(Requirement("no-such-package-at-all"), extra="root")
    assert "pip install 'fpgaml[root]'" in finding.advice
    assert not finding.ok
    assert doctor.exit_code([finding]) == 0


def test_package_of_another_version():
    finding = doctor.examine_package(Requirement("numpy==1.0"))
    assert finding.found
    assert "numpy==1.0" in finding.advice
    assert finding.found in finding.advice
    assert doctor.exit_code([finding]) == 1


def distribution(folder: Path, name: str, version: str) -> None:
    """As much of an installed distribution as tells its name and version."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_tensorflow_by_its_other_name(tmp_path, monkeypatch):
    distribution(tmp_path, "tensorflow_cpu", "2.21.0")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    finding = doctor.examine_package(Requirement("tensorflow==2.21.0"))
    assert finding.found == "2.21.0 (tensorflow-cpu)"
    assert finding.ok


@pytest.mark.parametrize("rival", ["qkeras", "HGQ2"])
def test_rivals_for_the_name_qkeras(rival, tmp_path, monkeypatch):
    distribution(tmp_path, rival, "0.9.0")
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = doctor.examine_qkeras_owner()
    assert f"pip uninstall {rival}" in finding.advice
    assert doctor.exit_code([finding]) == 1


def test_a_folder_that_shadows_qkeras(tmp_path, monkeypatch):
    (tmp_path / "qkeras").mkdir()
    (tmp_path / "qkeras" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "qkeras", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = doctor.examine_qkeras_owner()
    assert finding.found == str(tmp_path / "qkeras" / "__init__.py")
    assert "rename it" in finding.advice


def test_no_compiler(only_path):
    finding = doctor.examine_compiler()
    assert finding.found is None
    assert "g++" in finding.advice
    assert doctor.exit_code([finding]) == 1


def test_a_compiler_that_cannot_compile(only_path):
    program(only_path, "g++", says="4.8.5", leaves=1)
    finding = doctor.examine_compiler()
    assert "C++17" in finding.advice
    assert doctor.exit_code([finding]) == 1


@pytest.mark.parametrize(
    ("name", "says", "version"),
    [
        ("vivado", "Vivado v2020.1 (64-bit)\nSW Build 2902540 on Wed May 27 19:54:35 MDT 2020", "2020.1"),
        ("vitis_hls", "****** Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v2022.2 (64-bit)", "2022.2"),
        ("make", "GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu", "4.3"),
    ],
)
def test_a_tool_on_the_path(name, says, version, only_path):
    program(only_path, name, says=says)
    (tool,) = [tool for tool in doctor.TOOLS if tool.name == name]
    finding = doctor.examine_tool(tool)
    assert finding.found == version
    assert finding.ok


def test_a_tool_that_does_not_start(only_path):
    program(only_path, "vivado", says="v2020.1", leaves=127)
    (tool,) = [tool for tool in doctor.TOOLS if tool.name == "vivado"]
    finding = doctor.examine_tool(tool)
    assert finding.found == doctor.UNKNOWN
    assert "does it start" in finding.advice
    assert doctor.exit_code([finding]) == 0


def test_a_tool_that_is_too_old(only_path):
    program(only_path, "verilator", says="Verilator 5.006 2023-01-22 rev (Debian 5.006-3)")
    finding = doctor.examine_tool(doctor.Tool("verilator", "rtl", "--version", "x", "Get it.", at_least="5.7"))
    assert finding.found == "5.006"
    assert "too old" in finding.advice


def test_a_wheel_does_as_well_as_the_tool(only_path):
    finding = doctor.examine_tool(doctor.Tool("verilator", "rtl", "--version", "x", "Get it.", wheel="numpy"))
    assert finding.found.endswith("(wheel numpy)")
    assert finding.ok


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("FPGAML_CACHE_DIR", str(file / "cache"))
    finding = named(doctor.examine_machine(), "cache")
    assert "FPGAML_CACHE_DIR" in finding.advice
    assert doctor.exit_code([finding]) == 1


def test_table_and_json_show_every_finding():
    from rich.console import Console

    findings = (
        doctor.Finding("one", "package", "1.0", "this", required=True),
        doctor.Finding("two", "package", None, "that", required=True, advice="Install [it]."),
        doctor.Finding("three", "vendor", None, "more", required=False, advice="Buy it."),
    )
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(doctor.table(findings))
    shown = console.export_text()
    assert [word in shown for word in ("one", "1.0", "missing", "Install [it].", "absent", "Buy it.")] == [True] * 6
    assert [(row["name"], row["ok"]) for row in json.loads(doctor.to_json(findings))] == [
        ("one", True),
        ("two", False),
        ("three", False),
    ]
