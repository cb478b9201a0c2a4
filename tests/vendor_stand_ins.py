"""STAND-INS for AMD's tools, none of which was at hand: what they do here says nothing of what the real ones do.

A stand-in ``vivado_hls``, ``vitis_hls`` or ``vitis-run`` runs the project's own ``build_prj.tcl``, as hls4ml wrote it,
in a real Tcl interpreter whose HLS commands do nothing but write reports of the form that hls4ml's parser and public
examples show. So fpgaml's process handling, hls4ml's script with its options, and the readers of reports are real; the
synthesis is not. The stand-in ``vivado`` is started by that script, as the real one would be.

What they shall do wrong stands in the environment variable ``STAND_IN``, as "<what> <HLS command>".
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tkinter import Tcl, TclError

VERSION = "Stand-in for Vivado(TM) HLS - High-Level Synthesis from C, C++ and SystemC v2019.2 (64-bit)"
COMMANDS = """
open_project open_solution set_top add_files config_array_partition config_compile config_schedule set_part create_clock
set_clock_uncertainty csim_design csynth_design cosim_design simulate export_design synth_design opt_design
report_utilization
"""

CSYNTH = """\
<?xml version="1.0" encoding="UTF-8"?>
<profile>
<ReportVersion><Version>2019.2</Version></ReportVersion>
<UserAssignments><unit>ns</unit><Part>{part}</Part><TargetClockPeriod>{clock}</TargetClockPeriod></UserAssignments>
<PerformanceEstimates>
<SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>4.375</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><unit>clock cycles</unit>
<Best-caseLatency>7</Best-caseLatency><Average-caseLatency>8</Average-caseLatency>
<Worst-caseLatency>9</Worst-caseLatency>
<Interval-min>1</Interval-min><Interval-max>2</Interval-max>
</SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates>
<Resources><BRAM_18K>4</BRAM_18K><DSP48E>26</DSP48E><FF>1500</FF><LUT>3200</LUT><URAM>0</URAM></Resources>
<AvailableResources>
<BRAM_18K>4320</BRAM_18K><DSP48E>6840</DSP48E><FF>2364480</FF><LUT>1182240</LUT><URAM>960</URAM>
</AvailableResources>
</AreaEstimates>
</profile>
"""

COSIM = """\
Report time       : Fri Nov 20 12:00:00 UTC 2026.
Solution          : solution1.
Simulation tool   : xsim.

+----------+----------+-----------------------------------------------+-----------------------------------------------+
|          |          |                    Latency                    |                    Interval                   |
+   RTL    +  Status  +-----------------------------------------------+-----------------------------------------------+
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |
+----------+----------+-----------------------------------------------+-----------------------------------------------+
|      VHDL|        NA|             NA|             NA|             NA|             NA|             NA|             NA|
|   Verilog|      Pass|              6|              6|              7|              1|              1|              1|
+----------+----------+-----------------------------------------------+-----------------------------------------------+
"""

UTILIZATION = """\
| Tool Version : Vivado v.2019.2 (lin64)
| Device       : xcvu9p
| Design State : Synthesized

1. CLB Logic
------------

+-------------------------+------+-------+-----------+-------+
|        Site Type        | Used | Fixed | Available | Util% |
+-------------------------+------+-------+-----------+-------+
| CLB LUTs*               | 2100 |     0 |   1182240 |  0.18 |
|   LUT as Logic          | 2050 |     0 |   1182240 |  0.17 |
| CLB Registers           | 1200 |     0 |   2364480 |  0.05 |
+-------------------------+------+-------+-----------+-------+
* Warning! The Final LUT count, after physical optimizations and full implementation, is typically lower.

2. BLOCKRAM
-----------

+-------------------+------+-------+-----------+-------+
|     Site Type     | Used | Fixed | Available | Util% |
+-------------------+------+-------+-----------+-------+
| Block RAM Tile    |  1.5 |     0 |      2160 |  0.07 |
|   RAMB36/FIFO*    |    1 |     0 |      2160 |  0.05 |
|   RAMB18          |    1 |     0 |      4320 |  0.02 |
| URAM              |    0 |     0 |       960 |  0.00 |
+-------------------+------+-------+-----------+-------+

3. ARITHMETIC
-------------

+----------------+------+-------+-----------+-------+
|    Site Type   | Used | Fixed | Available | Util% |
+----------------+------+-------+-----------+-------+
| DSPs           |   20 |     0 |      6840 |  0.29 |
+----------------+------+-------+-----------+-------+
"""


def stand_in(folder: Path, *names: str) -> Path:
    """Put stand-ins of these names into a folder, for the PATH; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n', encoding="utf-8")
        path.chmod(0o755)
    return folder


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


class Interpreter:
    """Tcl with stand-ins for the commands of Vivado HLS, Vitis HLS and Vivado."""

    def __init__(self, words: Sequence[str]) -> None:
        self.what, _, self.where = os.environ.get("STAND_IN", "").partition(" ")
        self.tcl = Tcl()
        self.tcl.setvar("argv", self.tcl.call("list", *words))
        self.tcl.eval("rename puts tcl_puts; source project.tcl")
        self.name, self.part, self.clock = map(self.tcl.getvar, ("project_name", "part", "clock_period"))
        self.solution = Path(f"{self.name}_prj/solution1")
        for command in COMMANDS.split():
            self.tcl.createcommand(command, self.command(command))
        self.tcl.createcommand("puts", self.puts)  # what Tcl itself writes is not flushed where it is killed
        self.tcl.createcommand("exit", lambda code="0": os._exit(int(code)))

    def puts(self, *text: str) -> None:
        if len(text) == 1:
            print(text[0], flush=True)
        else:
            self.tcl.call("tcl_puts", *text)

    def command(self, called: str) -> Callable[..., None]:
        def run(*arguments: str) -> None:
            with Path("commands.log").open("a", encoding="utf-8") as log:
                log.write(" ".join((called, *arguments)) + "\n")
            print("INFO: [STAND-IN 1-1]", called, flush=True)
            if self.where == called:
                self.misbehave()
            if self.where != called or self.what == "differ":
                self.report(called, arguments)

        return run

    def misbehave(self) -> None:
        complaints = {
            "fail": "[STAND-IN 1-2] Cannot do that.",
            "fill": "[STAND-IN 1-3] write failed: No space left on device",
            "miss": f"[HLS 200-1023] Part '{self.part}' is not installed.",
        }
        if self.what in complaints:
            print("ERROR:", complaints[self.what], flush=True)
            raise TclError
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "hang":
            group = subprocess.Popen(["sleep", "600"])
            apart = subprocess.Popen(["sleep", "600"], start_new_session=True)
            written(Path("hanging"), f"{os.getpid()} {group.pid} {apart.pid}")
            time.sleep(600)

    def report(self, called: str, arguments: Sequence[str]) -> None:
        """Write what the tool would leave of one command."""
        if called == "csim_design":
            written(Path("tb_data/csim_results.log"), "0.5 \n")
        elif called == "csynth_design":
            report = CSYNTH.format(part=self.part, clock=self.clock)
            written(self.solution / "syn/report" / f"{self.name}_csynth.xml", report)
            written(self.solution / "syn/verilog" / f"{self.name}.v", "module nothing; endmodule\n")
        elif called == "cosim_design":
            written(self.solution / "sim/verilog" / f"{self.name}.tcl", "log_wave -r /\nquit\n")
            written(self.solution / "sim/verilog/run_sim.tcl", "simulate\n")
        elif called == "simulate":  # in sim/verilog
            differs = self.what == "differ"
            written(Path("../report") / f"{self.name}_cosim.rpt", COSIM)
            written(Path("../../../../tb_data/rtl_cosim_results.log"), "0.25 \n" if differs else "0.5 \n")
        elif called == "report_utilization":
            written(Path(arguments[-1]), UTILIZATION)


def main(words: Sequence[str]) -> None:
    if list(words) in (["-version"], ["--version"]):
        print(VERSION)
        return
    script = words[1 + max(words.index(flag) for flag in ("-f", "--tcl", "-source") if flag in words)]
    try:
        Interpreter(words).tcl.eval(f"source {script}")
    except TclError as error:
        sys.exit(f'{error}\n    while executing\n"source {script}"')


if __name__ == "__main__":
    main(sys.argv[1:])
